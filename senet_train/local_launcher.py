"""`hydra/launcher=local`: a process for each run, several at once, none able to end the others.

Processes are forked from a server that has imported torch already: a run starts in hundredths of a
second. On a GPU each is a fresh interpreter, as a forked process must not touch CUDA.
"""

import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from hydra._internal.utils import get_args_parser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from senet_train.errors import InputError, Interrupted

log = logging.getLogger("senet_train")

WORTH_SAYING = ("error: ", "warning: ", "notice: ", "found finished", "an earlier try", "stopped")


@dataclass
class Child:
    """A run in a process of its own, and where its words go."""

    process: BaseProcess
    number: int
    settings: str
    output: Path
    started: float


class LocalLauncher(Launcher):
    """See the module. `jobs` runs at once; `auto`: one a core, or one where there is a GPU."""

    def __init__(self, jobs: int | Literal["auto"]) -> None:
        if jobs != "auto" and not (isinstance(jobs, int) and jobs >= 1):
            raise InputError(f"hydra.launcher.jobs={jobs}: choose auto, or a count from 1 on")
        self.jobs = jobs

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.flags = config_flags(sys.argv[1:])

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all; what became of each stands in its run folder: returned is only whether it ended.

        A status is COMPLETED for the exit code 0, else FAILED.
        """
        on_gpu, cores = has_gpu(), usable_cores()
        jobs = self.jobs if self.jobs != "auto" else 1 if on_gpu else cores
        jobs = min(jobs, len(job_overrides))
        threads = max(1, cores // jobs)
        log.info("%d runs, %d at once with %d threads each", len(job_overrides), jobs, threads)
        context = processes(on_gpu)
        returns = [JobReturn(status=JobStatus.FAILED) for _ in job_overrides]
        shared = set.intersection(*map(set, job_overrides))  # words that tell no run from another
        with tempfile.TemporaryDirectory() as words, ended_with_us() as running:
            for number, overrides in enumerate(job_overrides):
                while len(running) == jobs:
                    collect(running, returns)
                settings = [word for word in overrides if not word.startswith("hydra.mode=")]
                output = Path(words) / f"{number}.txt"
                argv = [*self.flags, *settings, "hydra.mode=RUN"]
                process = context.Process(target=run_alone, args=(argv, threads, str(output)))
                process.start()
                name = " ".join(word for word in settings if word not in shared) or "the run"
                running.append(Child(process, number, name, output, time.monotonic()))
            while running:
                collect(running, returns)
        return returns


def processes(on_gpu: bool) -> SpawnContext | ForkServerContext:
    """How a process is made here."""
    if on_gpu:
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["senet_train.cli", "senet_train.run"])  # torch, Lightning
    return server


def run_alone(argv: list[str], threads: int, output: str) -> None:
    """In the new process: the command for one run of the sweep, its words to a file."""
    import torch

    from senet_train.cli import main

    os.setpgrp()  # Ctrl-C goes to the sweep, which passes it on once
    multiprocessing.set_start_method(None, force=True)  # the data's workers are forked as ever
    torch.set_num_threads(threads)
    with open(output, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os._exit(main(argv, planned=True))


def collect(running: list[Child], returns: list[JobReturn]) -> None:
    """Wait until a run ends; say so, with what it had to say; take it from the list."""
    ended = wait([child.process.sentinel for child in running])
    for child in [child for child in running if child.process.sentinel in ended]:
        child.process.join()
        running.remove(child)
        for line in child.output.read_text().splitlines() if child.output.exists() else []:
            if line.startswith(WORTH_SAYING):
                log.info("  %s", line)
        seconds = time.monotonic() - child.started
        code = child.process.exitcode or 0
        if code == 0:
            returns[child.number].status = JobStatus.COMPLETED
        how = "done" if code == 0 else f"killed by signal {-code}" if code < 0 else f"exit {code}"
        log.info("%s: %s, %.0f s", child.settings, how, seconds)


@contextmanager
def ended_with_us() -> Iterator[list[Child]]:
    """The list of runs that are going on; a signal to the sweep is passed on, and waited for."""
    running: list[Child] = []
    try:
        yield running
    except Interrupted:
        for child in running:
            child.process.terminate()  # SIGTERM: it saves itself first
        raise
    finally:
        for child in running:
            child.process.join()


def config_flags(argv: Sequence[str]) -> list[str]:
    """The flags that say where the configuration is, which every run needs as well."""
    parsed = get_args_parser().parse_args(list(argv))
    return ["--config-dir", os.path.abspath(parsed.config_dir)] if parsed.config_dir else []


def has_gpu() -> bool:
    """Whether a run would find one."""
    import torch

    return torch.cuda.is_available()


def usable_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
