"""A command without standard streams, or with some that are gone: it does its work all the same."""

import gc
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes.dying import SERVER
from support import TINY, Senet, run_folders, status_of

from senet_train.cli import main
from senet_train.commands.compare import main as compare
from senet_train.system.console import end_quietly, is_of_the_reader
from senet_train.system.start import collect_rarely, losing, start_process

SENET_TRAIN = "from senet_train.cli import entry; entry()"
COMPARE = "import sys; from senet_train.commands.compare import main; sys.exit(main())"
NUMBERS = """
import os
from senet_train.system.start import start_process
start_process()
print("to nobody")
assert os.open("file", os.O_CREAT) > 2
os.system("exec sh -c 'echo said; echo said >&2'")
"""


def command(program: str, *words: str, closed: str, folder: Path) -> int:
    """The exit code of a command that a shell starts with these streams closed."""
    line = " ".join(['exec "$@"', *(f"{number}>&-" for number in closed)])
    return subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-c", program, *words],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ).returncode


@pytest.mark.parametrize("closed", ["0", "1", "2", "12", "012"])
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path, closed: str) -> None:
    assert command(NUMBERS, closed=closed, folder=tmp_path) == 0
    assert (tmp_path / "file").read_bytes() == b""


def train_without_streams(folder: Path) -> None:
    """In a forked process, as Python starts one without its streams."""
    os.chdir(folder)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.close(number)
        setattr(sys, name, None)
    start_process()
    os._exit(end_quietly(lambda: main(TINY)))


def test_a_run_without_standard_streams(tmp_path: Path, warm_fork_server: None) -> None:
    process = SERVER.Process(target=train_without_streams, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    [folder] = run_folders(tmp_path)
    assert status_of(folder)["state"] == "finished"
    assert "epoch 2/2" in (folder / "run.log").read_text()


@pytest.mark.parametrize(
    ("program", "words", "code"),
    [
        (SENET_TRAIN, ("--help",), 0),
        (SENET_TRAIN, ("model=nope",), 2),
        (COMPARE, ("--help",), 0),
        (COMPARE, ("nowhere",), 2),
    ],
)
def test_commands_without_standard_streams(
    tmp_path: Path, program: str, words: tuple[str, ...], code: int
) -> None:
    assert command(program, *words, closed="12", folder=tmp_path) == code


@pytest.fixture
def gone() -> Iterator[int]:
    """A terminal that was closed, as that of a lost ssh."""
    terminal, ours = pty.openpty()
    os.close(terminal)
    yield ours
    os.close(ours)


@pytest.mark.parametrize("where", ["a terminal that is gone", "a full disk"])
def test_messages_that_cannot_be_written_are_lost(gone: int, where: str) -> None:
    descriptor = gone if where.startswith("a terminal") else os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match=r"Input/output error|No space left"):  # the control
        os.write(descriptor, b"a message")
    with losing(descriptor) as messages:
        print("a message", file=messages, flush=True)


def test_a_terminal_that_is_gone_is_a_reader_that_has_gone(
    gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = open(gone, "w", closefd=False)  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", usual)
    assert is_of_the_reader(OSError(5, "Input/output error"))
    assert not is_of_the_reader(OSError(28, "No space left on device"))


def test_another_error_of_the_table_is_an_error() -> None:
    def full_disk() -> int:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        end_quietly(full_disk)


@pytest.fixture
def deleted(tmp_path: Path, senet: Senet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder is not there any more."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()


def test_a_deleted_working_folder(
    senet: Senet, deleted: None, capsys: pytest.CaptureFixture[str]
) -> None:
    result = senet(*TINY)
    assert result.code == compare(["outputs"]) == 2
    for printed in (result.err, capsys.readouterr().err):
        [line] = printed.splitlines()
        assert line.startswith("error: the working folder is not there any more (No such file")


def test_full_collections_are_rare_among_imports() -> None:
    before = gc.get_threshold()
    try:
        collect_rarely()
        assert gc.get_threshold() == (*before[:2], 100)
    finally:
        gc.set_threshold(*before)
