"""The command from end to end: records, finding finished runs, overwriting, ends and exit codes."""

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support import (
    CONF,
    ROOT,
    TINY,
    Command,
    Senet,
    run_folders,
    status_of,
    wait_for,
    weights_in,
    write_image,
)
from torch import nn

from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.config import options
from senet_train.config.hydra_arguments import config_flags
from senet_train.runs.record import read_record


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file's modification time and bytes."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(f.relative_to(folder)): (f.stat().st_mtime_ns, f.read_bytes()) for f in files}


def only_run(base: Path) -> Path:
    [folder] = run_folders(base)
    return folder


def metrics(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without its times."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in r.items() if k not in ("seconds", "images_per_second")} for r in rows]


def equal_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_leaves_what_the_readme_says(senet: Senet, tmp_path: Path) -> None:
    result = senet(*TINY)
    assert result.code == 0
    assert "test top-1" in result.out
    assert "se_resnet8-r4: " in result.err
    folder = only_run(tmp_path)
    names = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    events = {name for name in names if "tfevents" in name}
    assert len(events) == 1
    assert names - events == {
        "status.json",
        "plan.json",
        "config.yaml",
        "classes.json",
        "result.json",
        "metrics.csv",
        "predictions.npz",
        "correct.npz",
        "run.log",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    }
    assert status_of(folder)["state"] == "finished"
    top = {path.name for path in tmp_path.iterdir()}
    assert top == {"outputs"}  # Hydra wrote nothing


def test_the_record_is_right(tiny_run: Path) -> None:
    folder = tiny_run
    record = read_record(folder / "result.json")
    rows = metrics(folder)
    best = max(rows, key=lambda r: (float(r["val_top1"]), -float(r["val_loss"])))
    assert record.metrics.best_epoch == int(best["epoch"])
    assert record.metrics.val_top1 == float(best["val_top1"])
    assert record.metrics.val_loss_last == float(rows[-1]["val_loss"])
    with np.load(folder / "predictions.npz", allow_pickle=False) as saved:
        correct = saved["top5"][:, 0] == saved["label"]
        assert saved["image_id"].tolist() == [f"fake/test/{i}" for i in range(20)]
        assert saved["probability_true"].dtype == np.float16
        assert (saved["probability_first"] >= saved["probability_true"]).all()
    assert record.metrics.test_top1 == correct.mean()
    with np.load(folder / "correct.npz", allow_pickle=False) as packed:
        bits = np.unpackbits(packed["bits"], count=int(packed["num_images"]))
    assert bits.astype(bool).tolist() == correct.tolist()
    assert record.arm == folder.parent.name
    assert record.identity.startswith(record.arm.rpartition("-")[2])
    assert (record.cost.parameters, record.cost.attention_parameters) == (80_210, 2_688)
    assert [slot.hidden for slot in record.attention] == [4, 8, 16]
    assert record.cost.images_per_second > 0
    assert set(record.cost.inference_ms) == {"1", "128"}
    assert record.overrides == list(TINY)
    assert record.environment.precision == "32"


def test_the_same_command_finds_the_run_and_touches_nothing(senet: Senet, tmp_path: Path) -> None:
    first = senet(*TINY)
    before = snapshot(tmp_path)
    again = senet(*TINY)
    assert again.code == 0
    assert "found finished" in again.err
    assert again.out == first.out
    assert snapshot(tmp_path) == before


@pytest.mark.usefixtures("finished_run")
def test_other_code_is_mentioned(senet: Senet, monkeypatch) -> None:
    monkeypatch.setattr("senet_train.runs.finished.code_hash", lambda: "f" * 64)
    again = senet(*TINY)
    assert "made by other code" in again.err
    assert "ffffffff" in again.err


def test_overwrite_is_bit_identical(senet: Senet, tmp_path: Path, finished_run: Path) -> None:
    folder = finished_run
    before, rows = weights_in(folder), metrics(folder)
    stamp = (folder / "result.json").stat().st_mtime_ns
    assert senet(*TINY, "overwrite=true").code == 0
    assert (folder / "result.json").stat().st_mtime_ns != stamp
    assert metrics(folder) == rows
    assert equal_weights(weights_in(folder), before)
    assert not (tmp_path / "outputs" / ".aside").exists()
    # Negative control: another seed is another run.
    senet(*TINY, "seed=1")
    other = folder.with_name("seed1")
    assert metrics(other) != rows
    assert not equal_weights(weights_in(other), before)


def test_workers_change_nothing(senet: Senet, tmp_path: Path, tmp_path_factory) -> None:

    tree = tmp_path_factory.mktemp("tree")
    for part, count in (("train", 8), ("val", 2)):
        for i in range(count):
            for name in ("a", "b"):
                write_image(tree / part / name / f"{i}.png", i, (20, 24))
    arguments = [
        *("data=imagenet_subset", f"data.root={tree}", "data.image_size=16", "data.batch_size=4"),
        *("data.crop=resized", "model=se_resnet8", "ratio=4", "trainer.max_epochs=1"),
    ]
    runs = {}
    for workers in (0, 2):
        assert senet(*arguments, f"data.workers={workers}", f"output_dir=w{workers}").code == 0
        [status] = tmp_path.glob(f"w{workers}/*/*/seed0/status.json")
        runs[workers] = (
            status.parent.parent.name,
            metrics(status.parent),
            weights_in(status.parent),
        )
    assert runs[0][:2] == runs[2][:2]
    assert equal_weights(runs[0][2], runs[2][2])


def test_dry_run_writes_nothing(senet: Senet, tmp_path: Path) -> None:
    result = senet(*TINY, "dry_run=true")
    assert result.code == 0
    assert "outputs/fake/se_resnet8-r4-" in result.err
    assert "is to do" in result.err
    assert list(tmp_path.iterdir()) == []


def test_divergence(senet: Senet, tmp_path: Path) -> None:
    result = senet(*TINY, "optim.lr=1e20")
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith("error: the loss is ")
    assert "Traceback" not in result.err
    folder = only_run(tmp_path)
    status = status_of(folder)
    assert status["state"] == "diverged"
    assert "the loss is" in status["reason"]
    assert not (folder / "result.json").exists()
    assert not list(folder.rglob("*.ckpt"))
    assert "Diverged" in (folder / "run.log").read_text()


def test_a_run_that_was_not_tested_is_not_trained_again(senet: Senet, finished_run: Path) -> None:
    rows = metrics(finished_run)
    folder = unfinished(finished_run, "running")
    result = senet(*TINY)
    assert (
        "an earlier try was left interrupted: going on after 2 epochs and 0 batches" in result.err
    )
    assert result.code == 0
    assert metrics(folder) == rows  # times too: they are of the first try


def test_a_run_without_a_checkpoint_starts_again(senet: Senet, finished_run: Path) -> None:
    folder = unfinished(finished_run, "running")
    (folder / "checkpoints" / "last.ckpt").unlink()
    (folder / "notes").write_text("of the user's own")
    result = senet(*TINY)
    assert "an earlier try was left interrupted: starting again from zero" in result.err
    assert result.code == 0
    assert (folder / "notes").exists()


def unfinished(folder: Path, state: str) -> Path:
    """Make a finished run one that was left in this state before its record was written."""
    (folder / "result.json").unlink()
    (folder / "status.json").write_text(json.dumps({**status_of(folder), "state": state}))
    return folder


def test_other_code_does_not_go_on_with_a_run(
    senet: Senet, finished_run: Path, monkeypatch
) -> None:
    """Both halves of a run need the same code."""
    unfinished(finished_run, "interrupted")
    monkeypatch.setattr("senet_train.runs.environment.code_hash", lambda: "0" * 64)
    before = snapshot(finished_run)
    result = senet(*TINY)
    assert result.code == 2
    assert "was left after 2 epochs and 0 batches, when code was " in result.err
    assert " and is 000000000000: both halves of a run need the same; " in result.err
    assert snapshot(finished_run) == before
    result = senet(*TINY, "overwrite=true")
    assert result.code == 0
    assert " and is 000000000000: starting again from zero" in result.err


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes\nmore"),
    ],
)
def test_no_memory_is_named_and_nothing_changed(
    senet: Senet, tmp_path: Path, monkeypatch, error: Exception
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(
        "senet_train.training.tasks.classification.ImageClassifier.training_step", fail
    )
    result = senet(*TINY)
    assert result.code == 1
    last = result.err.splitlines()[-1]
    assert last.startswith("error: there is no memory for data.batch_size=16 (")
    assert "choose a smaller one, for all arms alike" in last
    status = status_of(only_run(tmp_path))
    assert status["state"] == "failed"
    assert status["reason"].startswith("oom: there is no memory for data.batch_size=16")


@pytest.mark.parametrize("kind", [RuntimeError, NotImplementedError])
def test_another_runtime_error_is_no_shortage(
    senet: Senet, monkeypatch, kind: type[RuntimeError]
) -> None:
    def fail(*arguments: object) -> None:
        raise kind("shapes do not match")

    monkeypatch.setattr(
        "senet_train.training.tasks.classification.ImageClassifier.training_step", fail
    )
    last = senet(*TINY).err.splitlines()[-1]
    assert last == f"error: {kind.__name__}: shapes do not match"


def test_what_failed_is_left_unless_asked(senet: Senet, tmp_path: Path, monkeypatch) -> None:
    """A diverged run is listed, not trained again; retry=failed goes on with a failed one."""
    assert senet(*TINY, "optim.lr=1e20").code == 1
    again = senet(*TINY, "optim.lr=1e20")
    assert again.code == 1
    assert "diverged before (Diverged: the loss is" in again.err
    assert again.err.splitlines()[-1].endswith("left as it is, retry=failed tries it again")
    assert "starting again from zero" in senet(*TINY, "optim.lr=1e20", "retry=failed").err

    def fail(*arguments: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("senet_train.training.tasks.classification.write_class_predictions", fail)
        assert senet(*TINY).code == 1
        # overwrite=true is from the start, however far the failed run had come
        assert "left failed: starting again from zero" in senet(*TINY, "overwrite=true").err
    assert "failed before (OSError: no space left on device)" in senet(*TINY).err
    result = senet(*TINY, "retry=failed")
    assert result.code == 0
    assert "left failed: going on after 2 epochs and 0 batches" in result.err


def test_a_failure_tells_its_reason(senet: Senet, tmp_path: Path, monkeypatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("senet_train.training.tasks.classification.write_class_predictions", fail)
    result = senet(*TINY)
    assert result.code == 1
    assert result.err.splitlines()[-1] == "error: OSError: no space left on device"
    status = status_of(only_run(tmp_path))
    assert (status["state"], status["reason"]) == ("failed", "OSError: no space left on device")


def test_a_sweep_runs_an_arm_once_and_mentions_an_unread_ratio(
    senet: Senet, tmp_path: Path
) -> None:
    kept = [word for word in TINY if not word.startswith(("model", "ratio", "trainer.max_epochs"))]
    arguments = [*kept, "trainer.max_epochs=1", "hydra/launcher=basic"]
    result = senet("-m", *arguments, "model=se_resnet8,resnet8", "ratio=4,8")
    assert result.code == 0
    assert result.err.count("changes nothing, as nothing reads it with attention=none") == 1
    assert result.err.count("is the same network as") == 1
    again = senet(
        "-m", *arguments, "model=resnet8", "attention=none", "ratio=4,8", "overwrite=true"
    )
    assert again.err.count("epoch 1/1") == 1
    labels = sorted(folder.parent.name.rpartition("-")[0] for folder in run_folders(tmp_path))
    assert labels == ["resnet8", "se_resnet8-r4", "se_resnet8-r8"]
    assert not list(tmp_path.rglob(".hydra"))


def test_hydra_gets_the_validation_accuracy(senet: Senet, tmp_path: Path, monkeypatch) -> None:
    """Sweepers optimise what a job returns: validation, never test."""
    from senet_train import cli

    returned = []
    monkeypatch.setattr(cli, "run_job", lambda *a, job=cli.run_job: returned.append(job(*a)))
    senet(*TINY)
    senet(*TINY)
    record = read_record(only_run(tmp_path) / "result.json")
    assert returned == [record.metrics.val_top1] * 2


def test_a_users_own_config_folder(senet: Senet, tmp_path_factory) -> None:
    own = tmp_path_factory.mktemp("own")
    (own / "experiment").mkdir()
    (own / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: se_resnet32\nseed: 7\n"
    )
    result = senet("--config-dir", str(own), "experiment=mine", *TINY[:-3], "dry_run=true")
    assert result.code == 0
    assert "seed7" in result.err
    assert "se_resnet8" in result.err  # the command line wins over the preset


def test_a_command_is_repeated_with_its_own_configuration(monkeypatch) -> None:
    """By the launchers, and by a run of several processes."""
    words = ["--config-dir", "mine", "--config-name", "my"]
    search = "hydra.searchpath=[file:///x]"
    monkeypatch.setattr(sys, "argv", ["senet-train", *words, search, "seed=1"])
    assert config_flags() == [
        *("--config-name", "my", "--config-dir", str(Path("mine").absolute())),
        search,
    ]


def test_a_users_own_attention(senet: Senet, tmp_path_factory, monkeypatch) -> None:
    """Through the entry points `senet_train.attention`; its signature is its schema."""

    class Mine(SqueezeExcite):
        def __init__(self, channels: int, *, strength: int, note: str = "none") -> None:
            super().__init__(channels, ratio=strength)

    class Entry:
        name = "mine"

        def load(self) -> type[nn.Module]:
            return Mine

    found = {"senet_train.attention": [Entry()]}
    monkeypatch.setattr(options, "entry_points", lambda group: found.get(group, []))
    own = tmp_path_factory.mktemp("own")
    (own / "attention").mkdir()
    (own / "attention" / "mine.yaml").write_text("name: mine\nstrength: 2\nnote: none\n")
    arguments = ["--config-dir", str(own), "data=fake", "model=resnet8", "attention=mine"]
    assert "mine_resnet8-strength_2: " in senet(*arguments, "dry_run=true").err
    # Distinct and legal folders, whatever stands in a value.
    notes = ("a/b", "a_b", "../../c", "x" * 300, "x" * 301)
    runs = [senet(*arguments, f"attention.note={note}", "dry_run=true").err for note in notes]
    folders = [re.search(r"dry run: (\S+) is", run)[1].split("/") for run in runs]
    assert len({folder[2] for folder in folders}) == len(notes)
    assert all(len(folder) == 4 and len(folder[2]) < 255 for folder in folders)
    refused = senet(*arguments, "attention.strength=much")
    assert refused.code == 2
    assert "attention.strength=much: must be a valid integer" in refused.err


def test_a_signal_that_was_swallowed_still_ends_the_run(
    senet: Senet, tmp_path: Path, monkeypatch
) -> None:
    """Raised inside a `__del__`, an exception is only printed; the next step raises it again."""
    from senet_train.training.callbacks.journal import Journal

    class Swallows:
        def __del__(self) -> None:
            with contextlib.suppress(BaseException):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.5)

    monkeypatch.setattr(Journal, "on_validation_end", lambda *arguments: Swallows() and None)
    result = senet(*TINY)
    assert result.code == 143
    assert status_of(only_run(tmp_path))["state"] == "interrupted"


def test_a_sweep_that_ran_and_failed_is_no_bad_input(senet: Senet, tmp_path: Path) -> None:
    arguments = [word for word in TINY if not word.startswith("ratio")]
    result = senet("-m", "hydra/launcher=basic", *arguments, "optim.lr=1e20", "ratio=32,4")
    assert "ratio=32 leaves no hidden channel" in result.err
    assert result.code == 1


def test_cfg_job_shows_what_would_run(senet: Senet, tmp_path: Path) -> None:
    result = senet("model=se_resnet18", "ratio=8", "--cfg", "job", "--resolve")
    assert result.code == 0
    assert "name: se\n  ratio: 8\n" in result.out
    assert list(tmp_path.iterdir()) == []


def test_help(senet: Senet) -> None:
    result = senet("--help")
    assert result.code == 0
    assert result.out.count("\nsenet-train ") == 7
    for path in CONF.iterdir():
        if path.is_dir() and path.name != "hydra":
            assert f"\n{path.name}: " in result.out
    assert f"\n{CONF}\n" in result.out  # where the keys are explained
    assert "${" not in result.out


def test_help_shows_the_values_of_what_is_typed(senet: Senet) -> None:
    result = senet("data=cifar10", "ratio=8", "--help")
    assert result.code == 0
    [values] = re.findall(r"== Values.*", result.out, re.DOTALL)
    assert "\n  ratio: 8\n" in values  # of attention: in conf/ it is that of the table
    assert "\n  image_size: 32\n" in values


def test_help_completion_and_errors_import_neither_torch_nor_an_extra(tmp_path: Path) -> None:
    """Hydra imports every plugin to print help: one that needed its extra would warn each time."""
    lines = (["--help"], ["-sc", "query=bash"], ["--cfg", "job"], ["ratio=0"])
    heavy = {"torch", "pytorch_lightning", "optuna", "submitit"}
    code = (
        "import sys; from senet_train.cli import main\n"
        f"print(*((main(line), {heavy} & sys.modules.keys()) for line in {lines}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "COMP_LINE": "senet-train model=se_", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "(0, set()) (0, set()) (0, set()) (2, set())"
    assert "model=se_resnet18" in done.stdout


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_held_then_stopped_by_a_signal(
    senet: Senet, command: Command, tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    """A second start while the first lives exits 4; a signal ends the first within a step."""
    arguments = [word for word in TINY if "max_epochs" not in word] + ["trainer.max_epochs=9999"]
    process = command(*arguments)
    wait_for(lambda: bool(list(tmp_path.glob("outputs/*/*/seed0/metrics.csv"))))
    second = senet(*arguments)
    assert second.code == 4
    assert f"is held by process {process.pid} on " in second.err
    process.send_signal(signum)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    last = err.splitlines()[-1]
    start = f"stopped by {signum.name}: the same line again goes on with "
    found = re.fullmatch(
        start + r"outputs/\S+/seed0 after (\d+) epochs? and (\d+) batch(?:es)?", last
    )
    assert found, last
    done = torch.load(only_run(tmp_path) / "checkpoints/last.ckpt", weights_only=True)["progress"]
    assert (int(found[1]), int(found[2])) == (done["epoch"], done["batch"])
    assert status_of(only_run(tmp_path))["state"] == "interrupted"


def test_a_killed_run_frees_its_lock(command: Command, tmp_path: Path) -> None:
    arguments = [word for word in TINY if "max_epochs" not in word] + ["trainer.max_epochs=9999"]
    process = command(*arguments)
    wait_for(lambda: bool(list(tmp_path.glob("outputs/*/*/seed0/checkpoints/last.ckpt"))))
    process.kill()
    process.communicate()
    folder = only_run(tmp_path)
    assert status_of(folder)["state"] == "running"
    log = folder / "run.log"
    # Not a run of 9999 epochs again: enough that it starts.
    again = command(*arguments)
    wait_for(lambda: str(again.pid) in (folder / "status.json").read_text())
    wait_for(lambda: "going on after" in log.read_text())
    again.kill()
    assert "left interrupted: going on after" in again.communicate()[1]
