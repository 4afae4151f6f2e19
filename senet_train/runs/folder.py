"""The folder of a run: where its files are, the lock, and the old run that it replaces.

`<output_dir>/<data>/<arm>/identity.json`      the configuration of the arm, and its full hash
`<output_dir>/<data>/<arm>/.seed<N>.lock`      the lock that a training process holds
`<output_dir>/<data>/<arm>/seed<N>/`           the run
`<output_dir>/.aside/<data>/<arm>/seed<N>/`    the run that it replaces, until it has finished
"""

import contextlib
import os
import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from senet_train.errors import InputError
from senet_train.runs.identity import Identity
from senet_train.runs.record import read_record
from senet_train.runs.status import State, read_status, write_status
from senet_train.system.file_names import possible
from senet_train.system.files import TEMPORARY, remove_abandoned, replace, write_json

LAST, BEST = "last.ckpt", "best.ckpt"  # in the folder of the checkpoints
RECORD_FILE = "result.json"


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run. No folder is made before `begin`."""

    output_dir: Path
    data: str
    arm: str
    seed: int

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self.output_dir / self.place

    @property
    def place(self) -> Path:
        """The folder of the run, below `output_dir`."""
        return Path(possible(self.data), possible(self.arm), f"seed{self.seed}")

    @property
    def identity_file(self) -> Path:
        """The configuration of the arm, and its full hash."""
        return self.path.parent / "identity.json"

    @property
    def lock(self) -> Path:
        """The lock file. It is not in the folder, which may be moved while the lock is held."""
        return self.path.with_name(f".{self.path.name}.lock")

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def aside(self) -> Path:
        """The folder of the run that this one replaces, until this one has finished."""
        return self.output_dir / ".aside" / self.place

    @property
    def finished(self) -> bool:
        """Whether status.json says so, or a record can be read: that is written last."""
        status = read_status(self.path)
        return (status is not None and status.state == "finished") or has_record(self.path)

    @property
    def settled(self) -> bool:
        """Whether it has finished and the run that it replaces is deleted."""
        return self.finished and not self.aside.exists()

    @property
    def begun(self) -> str:
        """When its status was set, as ISO 8601 in UTC; "" without a status."""
        status = read_status(self.path)
        return status.since if status else ""

    def restore_state(self) -> None:
        """Write the status of a finished run whose status.json is gone, or of before its end."""
        status = read_status(self.path)
        if status is None or status.state != "finished":
            with contextlib.suppress(OSError):  # a folder that is only read
                self.set_state("finished")

    def set_state(self, state: State, reason: str = "") -> None:
        """Replace status.json."""
        write_status(self.path, state, reason)

    def begin(self, identity: Identity, *, keep: bool) -> str:
        """Set the state to running; a log line if the files of an earlier run had to go, or "".

        The files of an unfinished run stay if `keep`, to resume it, and are set aside otherwise.
        The caller holds the lock.
        """
        notice = "" if keep and not self.finished else self.set_aside()
        self.remove_abandoned()
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.set_state("running")
        write_identity(self.identity_file, identity)
        return notice

    def set_aside(self) -> str:
        """Move the files of a run away until the one in its place has finished; a log line, or "".

        The folder is renamed, so that a kill leaves one of the two, and what is not ours comes
        back. Where an earlier run waits already, that one is kept.
        """
        if not any(map(is_ours, names_in(self.path))):
            return ""
        if self.aside.exists():
            remove_ours(self.path)
            return ""
        self.aside.parent.mkdir(parents=True, exist_ok=True)
        replace(self.path, self.aside)
        self.return_what_is_not_ours()
        hide_events(self.aside)
        return f"the earlier run waits in {self.aside} until this one has finished"

    def return_what_is_not_ours(self) -> None:
        """Move what others put into the folder of the run that is set aside to the new one."""
        self.path.mkdir(exist_ok=True)
        for name in names_in(self.aside):
            if not is_ours(name) and not os.path.lexists(self.path / name):
                replace(self.aside / name, self.path / name)

    def remove_abandoned(self) -> None:
        """Delete what a kill left half written. The lock is held: only others' are spared."""
        for folder in (self.path, self.checkpoints):
            remove_abandoned(folder, seconds=0)
        for folder in (self.path / "inspect", self.path.parent):  # others may be writing there
            remove_abandoned(folder)

    def discard_aside(self) -> None:
        """Delete the run that this finished one has replaced, and folders that are empty then."""
        if self.aside.is_dir():
            self.return_what_is_not_ours()
            remove_ours(self.aside)
        for folder in [self.aside, *self.aside.parents][:4]:
            with contextlib.suppress(OSError):  # not empty: another run waits there; or gone
                folder.rmdir()


# What a run, and senet-inspect, write to its folder. All else there is someone else's.
OURS = (
    "status.json",
    RECORD_FILE,
    "config.yaml",
    "classes.json",
    "weights.json",
    "stop.json",
    "plan.json",
    "origin.json",
    "tracker.json",
    "metrics.csv",
    "predictions.npz",
    "correct.npz",
    "overlaps.npz",
    "run.log",
    "events.out.*",
    "checkpoints",
    "inspect",
    TEMPORARY,
    "predictions.png",
)


def is_ours(name: str) -> bool:
    """Whether a run writes a file or folder of this name."""
    return any(fnmatch(name, pattern) for pattern in OURS)


def names_in(folder: Path) -> list[str]:
    """The names of what is in a folder; none if it is missing."""
    return os.listdir(folder) if folder.is_dir() else []


def remove_ours(folder: Path) -> None:
    """Delete what a run has written to its folder."""
    for path in [folder / name for name in names_in(folder) if is_ours(name)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def has_record(folder: Path) -> bool:
    """Whether the folder has a record that can be read."""
    try:
        read_record(folder / RECORD_FILE)
    except InputError:
        return False
    return True


def write_identity(file: Path, identity: Identity) -> None:
    """Write the identity of the arm, unless another run of the arm has."""
    if not file.exists():
        content: dict[str, Any] = {"sha256": identity.sha256, **identity.content}
        write_json(file, content)


def hide_events(folder: Path) -> None:
    """Rename the event files: TensorBoard reads hidden folders too, and must not show this run."""
    for events in folder.glob("*tfevents*"):
        replace(events, folder / events.name.replace("tfevents", "events"))
