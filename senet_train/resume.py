"""Whether a run that was left unfinished can be gone on with, and from where."""

from pathlib import Path

from senet_train.checkpoint_io import newest_whole
from senet_train.errors import RunError
from senet_train.record import Environment
from senet_train.run_folder import RunFolder, read_status

ENDED_BADLY = ("failed", "diverged")


def refuse_ended_badly(folder: RunFolder) -> None:
    """A run that failed or diverged would most likely do so again. Raises RunError."""
    status = read_status(folder.path)
    if status and status.state in ENDED_BADLY:
        raise RunError(
            f"{folder.path} {status.state} before ({status.reason}): left as it is, "
            "retry=failed tries it again"
        )


def made_by(environment: Environment) -> dict[str, str]:
    """What must be the same for the second half of a run to belong to its first."""
    return {
        "code": environment.code,
        "device": environment.device,
        "kernel": environment.kernel,
        **environment.versions,
    }


def find_start(folder: RunFolder, now: dict[str, str]) -> tuple[Path | None, str]:
    """The checkpoint to go on from, None for a start from zero; and why, in words.

    A run that diverged would do so again from its checkpoint: it starts from zero.
    """
    if folder.finished or not folder.path.exists():
        return None, ""
    status = read_status(folder.path)
    state = status.state if status else "unfinished"
    earlier = f"an earlier try was left {'interrupted' if state == 'running' else state}"
    found = None if state == "diverged" else newest_whole(folder.checkpoints)
    if found is None:
        return None, f"{earlier}: starting again from zero"
    path, checkpoint = found
    then = checkpoint["made_by"]
    unlike = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if unlike:
        key = unlike[0]
        change = f"{key} was {str(then.get(key))[:12]} and is {str(now.get(key))[:12]}"
        return None, f"{earlier}, and {change}: starting again from zero"
    progress = checkpoint["progress"]
    done = f"{progress['epoch']} epochs and {progress['batch']} batches"
    return path, f"{earlier}: going on after {done}"
