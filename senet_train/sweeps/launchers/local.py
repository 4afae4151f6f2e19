"""`hydra/launcher=local`: a process for each run, several at once; one that dies ends no other.

Processes are forked from a server that has imported torch already: a run starts in hundredths of a
second. So they are on GPUs: what the server has loaded makes no call to CUDA, which could not be
used in a forked process otherwise. On Windows, where nothing is forked, each is an interpreter of
its own. A run whose sweep was killed saves itself and ends.
"""

import logging
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Literal

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from senet_train.config.hydra_arguments import config_flags
from senet_train.errors import InputError, counted
from senet_train.sweeps.launchers.children import (
    Child,
    running_children,
    start,
    wait_for_one,
)
from senet_train.sweeps.report import ProcessReturn
from senet_train.system.handover import refuse_broken_sockets
from senet_train.system.resources import available_memory_bytes, usable_cores, usable_threads
from senet_train.system.safe_path import leave_out_the_working_folder
from senet_train.system.signals import hold_signals

log = logging.getLogger("senet_train")


PRELOADED = ("senet_train.cli", "senet_train.training.run")  # the second imports torch, Lightning
MEMORY_A_RUN = 3 * 1024**3  # bytes that `auto` keeps for each: ResNet-18 at 128 px takes 2.1e9


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
        self.accelerator = config.trainer.accelerator
        devices = config.trainer.devices  # of a run
        self.devices = devices if isinstance(devices, int) and devices >= 1 else 1

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all. A status is COMPLETED for the exit code 0, else FAILED."""
        refuse_broken_sockets("hydra/launcher=basic")
        gpus, cores = gpus_for(self.accelerator), usable_cores()
        jobs = self.jobs if self.jobs != "auto" else default_jobs(len(gpus), cores, self.devices)
        jobs = min(jobs, len(job_overrides))
        threads = min(max(1, cores // jobs), usable_threads())
        runs, each = counted(len(job_overrides), "run"), counted(threads, "thread")
        log.info("%s, %d at once with %s each", runs, jobs, each)
        context = start_method()
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
                visible = gpus_at(place, gpus, self.devices)
                with hold_signals():  # else a process could be started that nobody waits for
                    process, stop = start(context, argv, threads, visible, output)
                    running.append(Child(process, stop, number, place, names[number], output))
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


def start_method() -> BaseContext:
    """The multiprocessing context that starts the runs. Windows has no fork server."""
    leave_out_the_working_folder()
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(list(PRELOADED))
    return server


def default_jobs(num_gpus: int, cores: int, devices: int) -> int:
    """How many runs at once, each of `devices` processes.

    On two cores, two runs at once finish 1.5 times as many an hour as one run on both.
    """
    memory = available_memory_bytes() // MEMORY_A_RUN
    return max(1, (num_gpus or min(cores, memory)) // devices)


def gpus_for(accelerator: str) -> list[str]:
    """The GPUs that runs of this `trainer.accelerator` may take, named for CUDA_VISIBLE_DEVICES."""
    if accelerator == "mps":  # a Mac has one
        return ["0"]
    if accelerator not in ("auto", "gpu"):
        return []
    from senet_train.system.cards import usable_cards

    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return [visible[card] if card < len(visible) else str(card) for card in usable_cards()]


def gpus_at(place: int, gpus: Sequence[str], devices: int) -> str:
    """CUDA_VISIBLE_DEVICES of the run at a place; "" where there is no choice."""
    if gpus in ([], ["0"]) or devices > len(gpus):
        return ""
    return ",".join(gpus[(place * devices + i) % len(gpus)] for i in range(devices))
