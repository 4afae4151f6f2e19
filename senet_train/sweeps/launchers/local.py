"""`hydra/launcher=local`: a process for each run, several at once; one that dies ends no other.

Processes are forked from a server that has imported torch already: a run starts in hundredths of a
second. On a GPU each is a fresh interpreter, as a forked process must not touch CUDA. A run whose
sweep was killed saves itself and ends.
"""

import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from senet_train.config.hydra_arguments import config_flags
from senet_train.errors import InputError, Interrupted, counted
from senet_train.sweeps.report import ProcessReturn
from senet_train.system.handover import refuse_broken_sockets
from senet_train.system.resources import available_memory_bytes, usable_cores, usable_threads
from senet_train.system.signals import HANDLED, STOP_SECONDS, describe_kill, hold_signals

log = logging.getLogger("senet_train")


# How the lines of a run begin that the sweep repeats.
REPEATED_LINES = ("error: ", "warning: ", "notice: ", "found finished", "an earlier try", "stopped")
MEMORY_A_RUN = 3 * 1024**3  # bytes that `auto` keeps for each: ResNet-18 at 128 px takes 2.1e9


@dataclass
class Child:
    """A run in a process of its own, and the file with its output."""

    process: BaseProcess
    number: int
    place: int  # among those that run at once, from 0: chooses its GPU where there are several
    name: str
    output: Path


class ProcessLauncher(Launcher):
    """See the module. `jobs` runs at once; `auto`: one a GPU, or one a core if memory allows."""

    def __init__(self, jobs: int | Literal["auto"]) -> None:
        if jobs != "auto" and not (isinstance(jobs, int) and jobs >= 1):
            raise InputError(f"hydra.launcher.jobs={jobs}: choose auto, or a count from 1 on")
        self.jobs = jobs

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.flags = config_flags()
        devices = config.trainer.devices  # of a run
        self.devices = devices if isinstance(devices, int) and devices >= 1 else 1

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all. A status is COMPLETED for the exit code 0, else FAILED."""
        refuse_broken_sockets("hydra/launcher=basic")
        num_gpus, cores = count_gpus(), usable_cores()
        jobs = self.jobs if self.jobs != "auto" else default_jobs(num_gpus, cores, self.devices)
        jobs = min(jobs, len(job_overrides))
        threads = min(max(1, cores // jobs), usable_threads())
        runs, each = counted(len(job_overrides), "run"), counted(threads, "thread")
        log.info("%s, %d at once with %s each", runs, jobs, each)
        context = start_method(num_gpus > 0)
        returns = [ProcessReturn(status=JobStatus.FAILED) for _ in job_overrides]
        with tempfile.TemporaryDirectory() as outputs, running_children() as running:
            settings = without_mode(job_overrides)
            names = run_names(settings)
            for number, words in enumerate(settings):
                while len(running) == jobs:
                    wait_for_one(running, returns)
                output = Path(outputs) / f"{number}.txt"
                place = min(set(range(jobs)) - {child.place for child in running})
                argv = [*self.flags, *words, "hydra.mode=RUN"]
                gpus = gpus_of(place, num_gpus, self.devices)
                with hold_signals():  # else a process could be started that nobody waits for
                    process = start(context, argv, threads, gpus, output)
                    running.append(Child(process, number, place, names[number], output))
            while running:
                wait_for_one(running, returns)
        return returns


def without_mode(job_overrides: Sequence[Sequence[str]]) -> list[list[str]]:
    """The settings of each run; `hydra.mode` is set by the launcher."""
    return [[w for w in job if not w.startswith("hydra.mode=")] for job in job_overrides]


def run_names(settings: Sequence[Sequence[str]]) -> list[str]:
    """For each run, the settings that not all runs share."""
    shared = set.intersection(*map(set, settings))
    return [" ".join(w for w in words if w not in shared) or "the run" for words in settings]


def start_method(on_gpu: bool) -> SpawnContext | ForkServerContext:
    """The multiprocessing context that starts the runs."""
    if on_gpu:
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    # The second imports torch and Lightning.
    server.set_forkserver_preload(["senet_train.cli", "senet_train.training.run"])
    return server


def start(
    context: SpawnContext | ForkServerContext,
    argv: list[str],
    threads: int,
    gpus: str,
    output: Path,
) -> BaseProcess:
    """Start the process of one run."""
    process = context.Process(target=run_in_child, args=(argv, threads, gpus, str(output)))
    with without_signals():  # until it is in a process group of its own
        process.start()
    return process


@contextmanager
def without_signals() -> Iterator[None]:
    """For the block, the signals that end a command are blocked, and in processes that it starts.

    A terminal or a batch system sends them to the whole group. The fork server keeps them blocked:
    without it the sweep learns of no run's end. It ends with the sweep.
    """
    resource_tracker.ensure_running()  # unblocks them when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_in_child(argv: list[str], threads: int, gpus: str, output: str) -> None:
    """In the new process: the command for one run of the sweep, its output written to a file.

    `gpus` becomes CUDA_VISIBLE_DEVICES, unless it is "".
    """
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus  # before torch looks
    import torch

    from senet_train.cli import main

    os.setpgrp()  # Ctrl-C goes to the sweep, which passes it on once
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    multiprocessing.set_start_method(None, force=True)  # data workers: the default
    torch.set_num_threads(threads)
    with open(output, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=end_with_the_sweep, daemon=True).start()
    os._exit(main(argv, planned=True))


def end_with_the_sweep() -> None:
    """Wait for the end of the sweep's process; if it is killed, this run saves itself and ends."""
    sweep = multiprocessing.parent_process()
    assert sweep is not None
    wait([sweep.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def wait_for_one(running: list[Child], returns: list[ProcessReturn]) -> None:
    """Wait until a run ends, take it off `running`, repeat its warnings, log why it failed."""
    ended = wait([child.process.sentinel for child in running])
    for child in [child for child in running if child.process.sentinel in ended]:
        child.process.join()
        running.remove(child)
        for line in child.output.read_text().splitlines() if child.output.exists() else []:
            if line.startswith(REPEATED_LINES):
                log.info("  %s", line)
        code = child.process.exitcode or 0
        if code == 0:
            returns[child.number].status = JobStatus.COMPLETED
        else:
            how = describe_kill(-code) if code < 0 else f"exit code {code}"
            returns[child.number].how = how
            log.warning("%s: %s", child.name, how)


@contextmanager
def running_children() -> Iterator[list[Child]]:
    """The list of running processes; a signal to the sweep is passed on to them, and waited for."""
    running: list[Child] = []
    try:
        yield running
    except Interrupted:
        for child in running:
            ask_to_end(child.process)
        wait_or_kill(running)
        raise
    finally:
        for child in running:
            child.process.join()


def ask_to_end(process: BaseProcess) -> None:
    """By SIGTERM: it saves itself first. One that was stopped by SIGSTOP is continued for that."""
    process.terminate()
    if process.pid is not None and process.is_alive():
        with suppress(ProcessLookupError):  # it has ended since
            os.kill(process.pid, signal.SIGCONT)


def wait_or_kill(running: Sequence[Child]) -> None:
    """Wait for the ends of all; kill those that have not come STOP_SECONDS from now."""
    deadline = time.monotonic() + STOP_SECONDS
    for child in running:
        child.process.join(max(0.0, deadline - time.monotonic()))
        if child.process.is_alive():
            log.warning("%s: killed, as it went on for %.0f s", child.name, STOP_SECONDS)
            child.process.kill()


def default_jobs(num_gpus: int, cores: int, devices: int) -> int:
    """How many runs at once, each of `devices` processes.

    On two cores, two runs at once finish 1.5 times as many an hour as one run on both.
    """
    memory = available_memory_bytes() // MEMORY_A_RUN
    return max(1, (num_gpus or min(cores, memory)) // devices)


def gpus_of(place: int, num_gpus: int, devices: int) -> str:
    """CUDA_VISIBLE_DEVICES of the run at a place; "" where there is no choice."""
    if num_gpus <= 1 or devices > num_gpus:
        return ""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = visible if len(visible) == num_gpus else [str(number) for number in range(num_gpus)]
    return ",".join(names[(place * devices + i) % num_gpus] for i in range(devices))


def count_gpus() -> int:
    """The number of GPUs that a run would find."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
