"""Every file of a run, damaged in every way, before every command that reads runs.

Whatever the file is, a command ends soon, with a code that it may have and at most one line of
error; it writes nothing but what is its own, and not much.
"""

import random
import resource
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fuzzing
import pytest
from damaged_files import DAMAGES, odd_value
from fuzzing import Command, Fuzz
from PIL import Image
from support import ROOT, TINY, run_folders

from senet_train.cli import main as train
from senet_train.commands import compare
from senet_train.commands.board import cli as board
from senet_train.commands.command_line import exit_code_of
from senet_train.commands.evaluate import cli as evaluate
from senet_train.commands.export import cli as export
from senet_train.commands.inspect import cli as inspect
from senet_train.commands.predict import cli as predict
from senet_train.commands.profile import cli as profile
from senet_train.networks import stopwatch
from senet_train.runs.status import read_status, write_status

LINE = (*TINY, "trainer.max_epochs=1", "trainer.kernel=composed")
PLAIN = tuple("model=resnet8" if word.startswith("model=") else word for word in LINE)
PLAIN = tuple(word for word in PLAIN if not word.startswith("ratio="))
MEMORY_KIB = 1 << 20

# The names of the files in a run's folder; those that begin with `../` are beside it.
FILES = (
    *("status.json", "result.json", "config.yaml", "classes.json", "weights.json", "metrics.csv"),
    *("correct.npz", "predictions.npz", "run.log", "checkpoints/best.ckpt"),
    *("checkpoints/last.ckpt", "inspect/layers.csv", "inspect/knockouts.csv"),
    *("events.out.tfevents.0", "../identity.json", "../.seed0.lock"),
)


def prepare_board(run: Path) -> int:
    """What senet-board does before it listens: both ways."""

    def prepare() -> int:
        board.refuse_without_runs(run.parent)
        Path("out").mkdir()
        board.write_arms_of(Path("outputs"), Path("out"))
        return 0

    return exit_code_of(prepare)


def go_on(run: Path) -> int:
    """The line of a run that a signal has ended, as far as its status can say so."""
    if read_status(run) is not None:
        write_status(run, "interrupted")
    return train(LINE)


# Command -> what it runs, and whether the run's folder is its own to write to.
COMMANDS: dict[str, Command] = {
    "senet-train": (lambda run: train(LINE), True),
    "senet-train, going on": (go_on, True),
    "senet-compare": (lambda run: compare.main(["outputs", "--out", "out"]), False),
    "senet-predict": (lambda run: predict.main([str(run), "image.png"]), False),
    "senet-evaluate": (lambda run: evaluate.main([str(run), "--out", "out"]), False),
    "senet-export": (
        lambda run: export.main([str(run), "--format", "safetensors", "--out", "out/"]),
        False,
    ),
    "senet-inspect": (lambda run: inspect.main([str(run), "--no-knockout"]), True),
    "senet-profile": (lambda run: profile.main([str(run), "--batch-sizes", "1"]), False),
    "senet-board": (prepare_board, False),
}
CASES = [(file, kind, name) for file in FILES for kind in DAMAGES for name in COMMANDS]


@pytest.fixture(scope="module", autouse=True)
def brief() -> Iterator[None]:
    """Times are measured briefly, and pictures are not drawn: their text is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopwatch, "SECONDS", 0.0)
        patch.setattr(stopwatch, "LEAST_ROUNDS", 2)
        patch.setattr("senet_train.commands.inspect.files.draw_pictures", lambda found: [])
        patch.setattr("senet_train.commands.evaluate.files.draw_pictures", lambda found: [])
        patch.setattr("senet_train.compare.write_reports.draw_pictures", lambda *block: [])
        yield


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, brief: None) -> Path:
    """A working folder with an arm and its control, both trained, and an inspected run."""
    base = tmp_path_factory.mktemp("table")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        assert train(PLAIN) == 0
        assert train(LINE) == 0
        for run in run_folders(base):
            (run / "weights.json").write_text('{"file": "x", "sha256": "0"}')
            next(run.glob("*tfevents*")).rename(run / "events.out.tfevents.0")
            (run / "inspect").mkdir()
            (run / "inspect" / "layers.csv").write_text(
                "stage,mean,sd_over_images,constant,between_classes\n1,0.5,0.1,0,0.1\n"
            )
            (run / "inspect" / "knockouts.csv").write_text("stage,held_points\n1,0.5\n")
    Image.new("RGB", (8, 8), "white").save(base / "image.png")
    with tarfile.open(ROOT / "tests/runs/made_before.tar.xz") as archive:
        archive.extractall(
            base / "before", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )
    return base


def fuzz(cases: list[tuple[str, str, str]], runner: Fuzz) -> None:
    """Try the cases and say what was found; fails if anything was."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case in cases:
        runner.try_case(*case)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    runner.report()
    assert grown < MEMORY_KIB


@pytest.fixture
def runner(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fuzz:
    return Fuzz(COMMANDS, table, tmp_path, capsys)


def test_a_sample_of_damaged_run_folders(runner: Fuzz) -> None:
    """Every damage and every command, with files that a seed draws."""
    draw = random.Random(0)
    kinds = [kind for kind in DAMAGES if not kind.startswith("cut")] + ["cut at 50 %"]
    names = list(COMMANDS) * len(kinds)
    cases = [(draw.choice(FILES), kind, name) for kind, name in zip(kinds, names, strict=False)]
    fuzz(cases, runner)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_damaged_run_folder(file: str, runner: Fuzz) -> None:
    fuzz([case for case in CASES if case[0] == file], runner)


ODD_FILES = ("status.json", "result.json", "config.yaml", "classes.json", "metrics.csv")
ODD_FILES += ("inspect/layers.csv", "weights.json", "../identity.json")
READERS = ("senet-train", "senet-compare", "senet-predict", "senet-export", "senet-board")


def try_odd_values(seeds: range, runner: Fuzz) -> None:
    """One value of a file is another, before a command: both drawn by each seed."""
    for seed in seeds:
        draw = random.Random(seed)
        file, command = draw.choice(ODD_FILES), draw.choice(READERS)
        runner.try_case(file, f"with odd value {seed}", command, odd_value(seed))
    runner.report()


def test_a_few_odd_values(runner: Fuzz) -> None:
    try_odd_values(range(8), runner)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_odd_values(part: int, runner: Fuzz) -> None:
    try_odd_values(range(100 * part, 100 * part + 100), runner)


def raise_error(run: Path) -> int:
    raise KeyError("what nobody caught")


def write_outside(run: Path) -> int:
    Path("outside", "mine").touch()
    (run / "mine").touch()
    return 0


def say_two_errors(run: Path) -> int:
    print("error: one\nerror: ValueError: two", file=sys.stderr)
    return 2


FAULTS: dict[str, tuple[Callable[[Path], int], list[str]]] = {
    "raises": (raise_error, ["ended with KeyError: 'what nobody caught'"]),
    "writes": (write_outside, ["touched outputs/", "touched outside/mine"]),
    "says too much": (say_two_errors, ["exit code 2 and 2 lines", "not for a user"]),
    "hangs": (lambda run: time.sleep(60), ["ended with TimeoutError: hangs"]),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_command_is_noticed(
    fault: str, runner: Fuzz, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    call, words = FAULTS[fault]
    monkeypatch.setitem(COMMANDS, fault, (call, False))
    monkeypatch.setattr(fuzzing, "SECONDS", 1)
    runner.try_case("status.json", "empty", fault)
    for word in words:
        assert any(word in line for line in runner.found), runner.found
