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
    process = SERVER.Process(target=child, args=(folder, list(argv), changes, threads))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the run hangs"
    return process.exitcode


def child(
    folder: Path, argv: list[str], changes: Mapping[str, Callable[..., Any]], threads: int
) -> None:
    """What the forked process does."""
    import torch

    from senet_train.cli import main
    from senet_train.training.callbacks import speed

    multiprocessing.set_start_method("fork", force=True)  # as in a process that was not forked
    torch.set_num_threads(threads)
    speed.LATENCY_SECONDS = 0.0
    os.chdir(folder)
    with open("output.txt", "ab", buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
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
MAKING_A_FILE = "tempfile:mkstemp"
SKIPPING = "senet_train.data.loaders:DataModule.start_at"
KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
