"""A run of a sweep as a process of its own: started, waited for, and ended with the sweep."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.utils import JobStatus

from senet_train.errors import Interrupted
from senet_train.sweeps.report import ProcessReturn
from senet_train.system.signals import (
    HANDLED,
    STOP_SECONDS,
    describe_end,
    ignoring_ctrl_c,
    stop_this_process,
)

if sys.platform != "win32":
    from multiprocessing import forkserver, resource_tracker

if TYPE_CHECKING:
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection as PipeEnd
    else:
        from multiprocessing.connection import Connection as PipeEnd

log = logging.getLogger("senet_train")


# How the lines of a run begin that the sweep repeats.
REPEATED_LINES = ("error: ", "warning: ", "notice: ", "found finished", "an earlier try", "stopped")


@dataclass
class Child:
    """A run in a process of its own, the file with its output, and the end of a pipe to it.

    Once that is closed, by us or because the sweep is gone, the run saves itself and ends.
    """

    process: BaseProcess
    stop: "PipeEnd"
    number: int
    place: int  # among those that run at once, from 0: chooses its GPU where there are several
    name: str
    output: Path


def start(
    context: BaseContext, argv: list[str], threads: int, gpus: str, output: Path
) -> "tuple[BaseProcess, PipeEnd]":
    """Start the process of one run; with it, the end of a pipe that `Child` speaks of."""
    stopped, stop = context.Pipe(duplex=False)
    given = (argv, threads, gpus, str(output), stopped)
    process: BaseProcess = context.Process(target=run_in_child, args=given)  # type: ignore[attr-defined]
    with without_signals():  # until it is in a process group of its own
        process.start()
    stopped.close()
    return process, stop


@contextmanager
def without_signals() -> Iterator[None]:
    """For the block, the signals that end a command are blocked, and in processes that it starts.

    A terminal or a batch system sends them to the whole group. The fork server keeps them blocked:
    without it the sweep learns of no run's end. It ends with the sweep. On Windows, processes that
    it starts ignore Ctrl-C for good, which a console sends to all.
    """
    if sys.platform == "win32":
        with ignoring_ctrl_c():
            yield
    else:
        resource_tracker.ensure_running()  # unblocks them when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_in_child(argv: list[str], threads: int, gpus: str, output: str, stopped: "PipeEnd") -> None:
    """In the new process: the command for one run of the sweep, its output written to a file.

    `gpus` becomes CUDA_VISIBLE_DEVICES, unless it is "".
    """
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus  # before torch looks
    import torch

    from senet_train.cli import main

    if sys.platform != "win32":
        os.setpgrp()  # Ctrl-C goes to the sweep, which passes it on once
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    multiprocessing.set_start_method(None, force=True)  # data workers: the default
    torch.set_num_threads(threads)
    print_to(output)
    threading.Thread(target=end_when_asked, args=[stopped], daemon=True).start()
    os._exit(main(argv, planned=True))


def print_to(output: str) -> None:
    """From now on, what this process and its libraries print goes to the end of a file."""
    with open(output, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # Anew: on Windows those of a console go on writing to it, and others in another encoding.
    sys.stdout, sys.stderr = (
        open(number, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        for number in (1, 2)
    )


def end_when_asked(stopped: "PipeEnd") -> None:
    """Wait till the sweep asks for it, or is killed; then this run saves itself and ends."""
    wait([stopped])
    stop_this_process()


def wait_for_one(running: list[Child], returns: list[ProcessReturn]) -> None:
    """Wait until a run ends, take it off `running`, repeat its warnings, log why it failed."""
    ended = wait([child.process.sentinel for child in running])
    for child in [child for child in running if child.process.sentinel in ended]:
        child.process.join()
        running.remove(child)
        for line in lines_of(child.output):
            if line.startswith(REPEATED_LINES):
                log.info("  %s", line)
        code = child.process.exitcode or 0
        if code == 0:
            returns[child.number].status = JobStatus.COMPLETED
        else:
            how = describe_end(code)
            returns[child.number].how = how
            log.warning("%s: %s", child.name, how)


def lines_of(output: Path) -> list[str]:
    """What a run has printed; a library may print anything."""
    if not output.exists():
        return []
    return output.read_text(encoding="utf-8", errors="replace").splitlines()


@contextmanager
def running_children() -> Iterator[list[Child]]:
    """The list of running processes; a signal to the sweep is passed on to them, and waited for."""
    running: list[Child] = []
    try:
        yield running
    except Interrupted:
        for child in running:
            ask_to_end(child)
        wait_or_kill(running)
        kill_fork_server()
        raise
    finally:
        for child in running:
            child.process.join()


def ask_to_end(child: Child) -> None:
    """It saves itself first. One that was stopped by SIGSTOP is continued for that."""
    child.stop.close()
    pid = child.process.pid
    if sys.platform != "win32" and pid is not None and child.process.is_alive():
        with suppress(ProcessLookupError):  # it has ended since
            os.kill(pid, signal.SIGCONT)


def wait_or_kill(running: Sequence[Child]) -> None:
    """Wait for the ends of all; kill those that have not come STOP_SECONDS from now."""
    deadline = time.monotonic() + STOP_SECONDS
    for child in running:
        child.process.join(max(0.0, deadline - time.monotonic()))
        if child.process.is_alive():
            log.warning("%s: killed, as it went on for %.0f s", child.name, STOP_SECONDS)
            child.process.kill()


def kill_fork_server() -> None:
    """End it once no run is left: by itself it takes seconds to, in which it outlives the sweep.

    Python keeps its number to itself. One that is needed later is started anew.
    """
    if sys.platform != "win32":
        server = getattr(forkserver._forkserver, "_forkserver_pid", None)
        if server is not None:
            with suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)
