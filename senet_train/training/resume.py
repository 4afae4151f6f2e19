"""Whether an unfinished run can be resumed, and from which checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from senet_train.errors import InputError, RunError, counted
from senet_train.runs.checkpoint_files import how_far, newest_readable, previous
from senet_train.runs.folder import LAST, RunFolder
from senet_train.runs.record import Environment
from senet_train.runs.status import read_status
from senet_train.training.distributed.collectives import broadcast
from senet_train.training.plan import Plan

ENDED_BADLY = ("failed", "diverged")
OF_A_RUN = ("identity", "seed")  # what tells a run from all others, in the provenance of its files


def refuse_ended_badly(folder: RunFolder) -> None:
    """Raises RunError for a run that failed or diverged: it would most likely do so again."""
    status = read_status(folder.path)
    if status and status.state in ENDED_BADLY:
        raise RunError(
            f"{folder.path} {status.state} before ({status.reason}): left as it is, "
            "retry=failed tries it again"
        )


def provenance_of(environment: Environment, plan: Plan) -> dict[str, str]:
    """What must be the same in both halves of a run that is resumed. Checkpoints hold it."""
    return {
        "identity": plan.identity.sha256,
        "seed": str(plan.config.seed),
        "code": environment.code,
        "device": environment.device,
        "kernel": environment.kernel,
        "trainer.devices": str(plan.config.trainer.devices),
        **environment.versions,
    }


@dataclass(frozen=True)
class Start:
    """Where a run starts: at a checkpoint, or at zero."""

    checkpoint: Path | None  # None for zero
    threads: int
    notice: str = ""  # a log line that tells why
    taken_over: bool = False  # whether the checkpoint is that of a shorter run, and this one begins


def find_start(folder: RunFolder, now: dict[str, str], threads: int, overwrite: bool) -> Start:
    """The checkpoint to resume from, with the number of threads that it was made with, or zero.

    `now` is the provenance of this process. A run that diverged would diverge again from its
    checkpoint: it starts from zero. So does, if `overwrite`, one of another provenance. Raises
    InputError for it otherwise.
    """
    if folder.finished or not folder.path.exists():
        return Start(None, threads)
    status = read_status(folder.path)
    state = status.state if status else "unfinished"
    earlier = f"an earlier try was left {'interrupted' if state == 'running' else state}"
    from_zero = state == "diverged" or (overwrite and state in ENDED_BADLY)
    found = None if from_zero else newest_readable(folder.checkpoints)
    if found is None:
        return Start(None, threads, f"{earlier}: starting again from zero")
    path, checkpoint = found
    then, done = checkpoint["made_by"], how_far(checkpoint)
    differing = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if not differing:
        threads_then = checkpoint["threads"]
        how = (
            f", with {counted(threads_then, 'thread')} as before" if threads_then != threads else ""
        )
        return Start(path, threads_then, f"{earlier}: going on {done}{how}")
    key = differing[0]
    change = f"{key} was {str(then.get(key))[:12]} and is {str(now.get(key))[:12]}"
    if not overwrite:
        raise InputError(
            f"{folder.path} was left {done}, when {change}: both halves of a run need the "
            "same; go back to it, or overwrite=true starts the run from zero"
        )
    return Start(None, threads, f"{earlier}, when {change}: starting again from zero")


def checkpoints_to_resume(folder: RunFolder) -> list[Path]:
    """The last checkpoint and the one before it, whether or not they exist."""
    last = folder.checkpoints / LAST
    return [last, previous(last)]


def broadcast_start(folder: RunFolder, start: Start) -> None:
    """Tell the other ranks where the run starts; rank 0 calls it."""
    broadcast([None, *checkpoints_to_resume(folder)].index(start.checkpoint), start.threads)


def receive_start(folder: RunFolder) -> Start:
    """Where rank 0 says that the run starts; every other rank calls it."""
    choice, threads = map(int, broadcast(0, 0))
    return Start([None, *checkpoints_to_resume(folder)][choice], threads)
