"""`senet-train --help | head -1`: a reader that goes ends a command quietly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from compare_runs import write_run
from support import TINY, Senet

from senet_train import cli
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
