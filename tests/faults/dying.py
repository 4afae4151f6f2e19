"""Runs of the command that die, each in a process of its own, forked from one that has torch.

The fork server starts a process in hundredths of a second; what dies is a real process, killed by a
real signal.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["senet_train.run", "faults.dying"])

# A method, and at which of its calls the process is to end: ("module:Class.method", 3).
Where = tuple[str, int]


def run(
    folder: Path, argv: Sequence[str], at: Where | None = None, by: int = 9, without: str = ""
) -> int:
    """Run the command in `folder`; the exit code, negative if a signal killed it.

    The signal `by` is sent when the method `at` is called for the n-th time, from 0; the method
    `without` does nothing.
    """
    process = SERVER.Process(target=child, args=(folder, list(argv), at, by, without))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the run hangs"
    return process.exitcode


def child(folder: Path, argv: list[str], at: Where | None, by: int, without: str) -> None:
    """What the forked process does."""
    import torch

    from senet_train import speed
    from senet_train.cli import main

    multiprocessing.set_start_method("fork", force=True)  # as in a process that was not forked
    torch.set_num_threads(1)
    speed.LATENCY_SECONDS = 0.0
    os.chdir(folder)
    with open("output.txt", "ab", buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if at is not None:
        replace(at[0], lambda method: ending(method, at[1], by))
    if without:
        replace(without, lambda method: lambda *arguments: None)
    os._exit(main(argv))


def replace(name: str, change: Callable[[Any], Any]) -> None:
    """Put `change` of it in the place of "module:Class.method" or "module:function"."""
    module, _, path = name.partition(":")
    owner_name, _, attribute = path.rpartition(".")
    owner: Any = import_module(module)
    owner = getattr(owner, owner_name) if owner_name else owner
    setattr(owner, attribute, change(getattr(owner, attribute)))


def ending(function: Callable[..., Any], call: int, by: int) -> Callable[..., Any]:
    """The function, which sends its process a signal at one of its calls."""
    calls = iter(range(1_000_000))

    @wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), by)
        return function(*arguments, **named)

    return wrapped


STEP = "senet_train.classifier:ImageClassifier.training_step"
AFTER_STEP = "senet_train.speed:SpeedMeter.on_train_batch_end"
VALIDATION = "senet_train.classifier:ImageClassifier.validation_step"
TEST = "senet_train.classifier:ImageClassifier.test_step"
SAVING = "torch:save"
PROVING = "senet_train.checkpoint_io:read_checkpoint"
SKIPPING = "senet_train.data.loaders:DataModule.start_at"
KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
