"""Runs of the command that die, each in a process of its own, forked from one that has torch.

The fork server starts a process in hundredths of a second; what dies is a real process, killed by a
real signal.
"""

import errno
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from typing import Any

SERVER = multiprocessing.get_context("forkserver")

# A method, and at which of its calls the process is to end: ("module:Class.method", 3).
Where = tuple[str, int]
# A signal that ends it, or the name of a system's error that this and all later calls meet.
Fault = int | str


def run(
    folder: Path,
    argv: Sequence[str],
    at: Where | None = None,
    by: Fault = 9,
    without: str = "",
    changed: Mapping[str, Callable[..., Any]] | None = None,
    threads: int = 1,
) -> int:
    """Run the command in `folder`; the exit code, negative if a signal killed it.

    The fault `by` comes when the method `at` is called for the n-th time, from 0; the method
    `without` does nothing; each of `changed` is replaced by what its function makes of it.
    """
    changes = dict(changed or {})
    if at is not None:
        changes[at[0]] = partial(ending, call=at[1], by=by)
    if without:
        changes[without] = doing_nothing
    both = folder / "output.txt"
    process = SERVER.Process(target=child, args=(folder, list(argv), changes, threads, both, both))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the run hangs"
    return process.exitcode


class Forked:
    """The command in a forked process, under the names of subprocess.Popen."""

    def __init__(self, argv: Sequence[str], folder: Path, printed: Path) -> None:
        self.files = printed / "out.txt", printed / "err.txt"
        self.process = SERVER.Process(target=child, args=(folder, list(argv), {}, 1, *self.files))
        self.process.start()
        assert self.process.pid is not None
        self.pid, self.kill = self.process.pid, self.process.kill

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative if a signal killed it."""
        return self.process.exitcode

    def send_signal(self, signum: int) -> None:
        os.kill(self.pid, signum)

    def wait(self, timeout: float = 120) -> int:
        self.process.join(timeout)
        assert self.returncode is not None, "the command hangs"
        return self.returncode

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """When it has ended, what it printed to stdout and to stderr."""
        self.wait(timeout)
        out, err = (file.read_text() for file in self.files)
        return out, err


def child(
    folder: Path,
    argv: list[str],
    changes: Mapping[str, Callable[..., Any]],
    threads: int,
    out: Path,
    err: Path,
) -> None:
    """What the forked process does."""
    import torch

    from senet_train.cli import main

    multiprocessing.set_start_method("fork", force=True)  # as in a process that was not forked
    torch.set_num_threads(threads)
    os.environ.pop("HYDRA_FULL_ERROR", None)
    os.chdir(folder)
    for descriptor, file in ((1, out), (2, err)):
        with open(file, "ab", buffering=0) as output:
            os.dup2(output.fileno(), descriptor)
    for name, change in changes.items():
        replace(name, change)
    os._exit(main(argv))


def replace(name: str, change: Callable[[Any], Any]) -> None:
    """Put `change` of it in the place of "module:Class.method" or "module:function"."""
    module, _, path = name.partition(":")
    owner_name, _, attribute = path.rpartition(".")
    owner: Any = import_module(module)
    owner = getattr(owner, owner_name) if owner_name else owner
    setattr(owner, attribute, change(getattr(owner, attribute)))


def ending(function: Callable[..., Any], call: int, by: Fault) -> Callable[..., Any]:
    """The function, with a signal to its process at one of its calls, or an error from it on."""
    calls = iter(range(1_000_000))

    @wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        number = next(calls)
        if isinstance(by, str) and number >= call:
            code = getattr(errno, by)
            raise OSError(code, os.strerror(code))
        if isinstance(by, int) and number == call:
            os.kill(os.getpid(), by)
        return function(*arguments, **named)

    return wrapped


def doing_nothing(function: Callable[..., Any]) -> Callable[..., None]:
    """In the place of a function."""
    return lambda *arguments, **named: None


STEP = "senet_train.training.tasks.classification:ImageClassifier.training_step"
AFTER_STEP = "senet_train.training.callbacks.speed:SpeedMeter.on_train_batch_end"
VALIDATION = "senet_train.training.tasks.classification:ImageClassifier.validation_step"
TEST = "senet_train.training.tasks.classification:ImageClassifier.test_step"
SAVING = "torch:save"
PROVING = "senet_train.runs.checkpoint_files:read_checkpoint"
FLUSHING = "os:fsync"
MAKING_A_FILE = "secrets:token_hex"
SKIPPING = "senet_train.training.data_module:DataModule.start_at"
KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
