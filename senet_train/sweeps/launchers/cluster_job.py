"""One run of a sweep as a job of a cluster. All that submitit pickles is a command line."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from senet_train.system.signals import HANDLED, stop_this_process


@dataclass(frozen=True)
class ClusterJob:
    """The command for one run; called on a node.

    There it returns the exit code and the absolute path of the run's folder, "" without one.
    """

    argv: tuple[str, ...]
    threads: int

    def __call__(self) -> tuple[int, str]:
        """Run the command. A run stopped by a signal has saved itself: it is queued again, or ends.

        submitit's own handler of the signal before the time limit would queue the job again at
        once, in the middle of a step: so the run is stopped as by SIGTERM first.
        """
        import submitit
        import torch

        from senet_train.cli import main
        from senet_train.system.signals import has_arrived, pending_signal

        torch.set_num_threads(self.threads)
        environment = submitit.JobEnvironment()
        before_limit = getattr(signal, f"SIG{environment.USR_SIG}")
        queue_again = signal.getsignal(before_limit)
        signal.signal(before_limit, stop_as_by_sigterm)
        made: set[Path] = set()
        code = main(self.argv, planned=True, made=made)
        if code == 0 or pending_signal() is None:
            return code, next((os.path.abspath(folder) for folder in made), "")
        near = has_arrived(before_limit)
        if callable(queue_again) and (near or counts_as_running(environment.job_id)):
            # SLURM ends the job as it takes it back: its SIGTERM may meet the scontrol that asked.
            with suppress(subprocess.CalledProcessError):
                queue_again(before_limit, None)
        sys.exit(code)  # no result: submitit would call the job done

    def checkpoint(self) -> Any:
        """What submitit runs when the job starts again: the same command."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def stop_as_by_sigterm(signum: int, frame: FrameType | None) -> None:
    """A handler for a signal that `main` does not handle itself: the run saves itself and ends.

    Of the others it is that before and after `main`, where there is nothing to save.
    """
    if signum not in HANDLED:
        stop_this_process()


def counts_as_running(job_id: str) -> bool:
    """Whether SLURM lists the job as running though it sent SIGTERM: preempted, with grace time.

    A job that ends within its grace is not queued again. One that was cancelled, or that SLURM
    queues again itself, does not count as running any more.
    """
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={job_id}"]
    try:
        answer = subprocess.run(command, capture_output=True, encoding="utf-8").stdout
        return answer.strip() == "RUNNING"
    except FileNotFoundError:  # no SLURM here
        return False
