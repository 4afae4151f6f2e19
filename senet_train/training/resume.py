"""Whether a run that was left unfinished can be gone on with, and from where."""

from dataclasses import dataclass
from pathlib import Path

from senet_train.errors import InputError, RunError
from senet_train.runs.checkpoint_files import newest_whole
from senet_train.runs.folder import RunFolder
from senet_train.runs.record import Environment
from senet_train.runs.status import read_status

ENDED_BADLY = ("failed", "diverged")


def refuse_ended_badly(folder: RunFolder) -> None:
    """A run that failed or diverged would most likely do so again. Raises RunError."""
    status = read_status(folder.path)
    if status and status.state in ENDED_BADLY:
        raise RunError(
            f"{folder.path} {status.state} before ({status.reason}): left as it is, "
            "retry=failed tries it again"
        )


def made_by(environment: Environment, num_processes: int) -> dict[str, str]:
    """What must be the same for the second half of a run to belong to its first."""
    return {
        "code": environment.code,
        "device": environment.device,
        "kernel": environment.kernel,
        "trainer.devices": str(num_processes),
        **environment.versions,
    }


@dataclass(frozen=True)
class Start:
    """Where a run begins."""

    checkpoint: Path | None  # None for zero
    threads: int
    notice: str  # why there, in words


def find_start(folder: RunFolder, now: dict[str, str], threads: int, anew: bool) -> Start:
    """The checkpoint to go on from, with the threads that it was made with, or zero.

    A run that diverged would do so again from its checkpoint: it starts from zero. One that other
    code has begun does so only if asked, `anew`. Raises InputError if not.
    """
    if folder.finished or not folder.path.exists():
        return Start(None, threads, "")
    status = read_status(folder.path)
    state = status.state if status else "unfinished"
    earlier = f"an earlier try was left {'interrupted' if state == 'running' else state}"
    from_zero = state == "diverged" or (anew and state in ENDED_BADLY)
    found = None if from_zero else newest_whole(folder.checkpoints)
    if found is None:
        return Start(None, threads, f"{earlier}: starting again from zero")
    path, checkpoint = found
    progress, then = checkpoint["progress"], checkpoint["made_by"]
    done = f"after {progress['epoch']} epochs and {progress['batch']} batches"
    unlike = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if not unlike:
        theirs = checkpoint["threads"]
        pace = f", with {theirs} thread(s) as before" if theirs != threads else ""
        return Start(path, theirs, f"{earlier}: going on {done}{pace}")
    key = unlike[0]
    change = f"{key} was {str(then.get(key))[:12]} and is {str(now.get(key))[:12]}"
    if not anew:
        raise InputError(
            f"{folder.path} was left {done}, when {change}: half a run by each is a run by none; "
            "go on as it was, or overwrite=true starts it from zero"
        )
    return Start(None, threads, f"{earlier}, when {change}: starting again from zero")
