"""`senet-train --help | head -1`: a reader that goes ends a command quietly."""

import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from compare_runs import write_run
from PIL import Image
from support import TINY, Senet

from senet_train import cli
from senet_train.commands.command_line import write_then_print
from senet_train.commands.compare import main as compare
from senet_train.commands.data_check.cli import main as check
from senet_train.commands.evaluate.cli import main as evaluate
from senet_train.commands.export.cli import main as export
from senet_train.commands.inspect.cli import main as inspect
from senet_train.commands.predict.cli import main as predict
from senet_train.commands.profile.cli import main as profile
from senet_train.system import console
from senet_train.system.console import CLOSED_PIPE, end_quietly
from senet_train.training import run

SENET_TRAIN = ["-c", "from senet_train.cli import entry; entry()"]
COMPARE = ["-c", "import sys; from senet_train.commands.compare import main; sys.exit(main())"]
COMMANDS = {
    "help": [*SENET_TRAIN, "--help"],
    "cfg": [*SENET_TRAIN, "--cfg", "job"],
    "table": [*COMPARE, "runs"],
    "argparse": [*COMPARE, "-h"],
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_nothing_is_said_to_nobody(tmp_path: Path, kind: str) -> None:
    for seed in range(2):
        write_run(tmp_path / "runs", "resnet20", seed, 0.7)
        write_run(tmp_path / "runs", "se", seed, 0.7, changes={"attention.name": "se"})
    reading, writing = os.pipe()
    os.close(reading)  # as if the reader were done before the first line
    words = [sys.executable, *COMMANDS[kind]]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, cwd=tmp_path, text=True)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in ((0, CLOSED_PIPE) if kind == "argparse" else (CLOSED_PIPE,))


def test_another_broken_pipe_is_an_error() -> None:
    """A data worker's, say: standard output is well."""

    def worker_is_gone() -> int:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        end_quietly(worker_is_gone)
    assert end_quietly(lambda: 4) == 4


def test_a_run_that_cannot_print_its_table_has_finished(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody_reads(*arguments: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(run, "print_summary", nobody_reads)
    monkeypatch.setattr(cli, "is_of_the_reader", lambda error: True)
    result = senet(*TINY, "trainer.max_epochs=1")
    assert result.code == CLOSED_PIPE
    assert "error" not in result.err
    assert len(list(tmp_path.glob("outputs/*/*/seed0/result.json"))) == 1


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs and with images, one of which is broken."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for arm in ("model=resnet8", "model=se_resnet8"):
            words = [word for word in TINY if not word.startswith(("model=", "ratio="))]
            ratio = ["ratio=4"] * arm.startswith("model=se_")
            assert cli.main([*words, arm, *ratio, "trainer.max_epochs=1"]) == 0
    for number in range(4):
        file = folder / f"images/{'ab'[number % 2]}/{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(file)
    (folder / "images/a/broken.png").write_bytes(b"no picture")
    return folder


class Gone(io.StringIO):
    """Standard output whose reader has gone."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError


FILES = {
    "compare": (compare, ["outputs", "--out", "out"], "out/index.html"),
    "compare's arms": (compare, ["outputs", "--tensorboard", "out"], "out/*/events.*"),
    "evaluate": (evaluate, ["RUN", "--out", "out"], "out/evaluation.json"),
    "inspect": (inspect, ["RUN", "--no-knockout"], "outputs/*/*/seed0/inspect/index.html"),
    "profile": (profile, ["RUN", "--batch-sizes", "1", "--out", "out.csv"], "out.csv"),
    "predict": (predict, ["RUN", "images", "--out", "out.csv"], "out.csv"),
    "export": (export, ["RUN", "--format", "safetensors", "--out", "out"], "out/*.md"),
    "check": (check, ["check", "images", "--out", "out.csv", "--exclude", "left.txt"], "left.txt"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_written_though_the_reader_has_gone(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unrendered: None, name: str
) -> None:
    """`senet-compare outputs --out report | head` once left no report."""
    command, words, pattern = FILES[name]
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    [run] = tmp_path.glob("outputs/*/se_*/seed0")
    with open("nobody", "w") as nobody, monkeypatch.context() as patch:
        gone = Gone()
        patch.setattr(gone, "fileno", nobody.fileno, raising=False)
        patch.setattr(console, "reader_has_gone", lambda: True)
        patch.setattr(sys, "stdout", gone)
        code = command([word.replace("RUN", str(run)) for word in words])
    assert code == CLOSED_PIPE
    assert len(list(tmp_path.glob(pattern))) >= 1


def test_what_cannot_be_written_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> list[str]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_then_print(full, lambda: print("the verdicts"))
    assert capsys.readouterr().out == "the verdicts\n"
