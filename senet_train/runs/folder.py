"""One run's folder: its state, the lock on it, and the old run that a new one replaces.

`<output_dir>/<data>/<arm>/identity.json`      what the arm is, and its full hash
`<output_dir>/<data>/<arm>/.seed<N>.lock`      held while the run is being made
`<output_dir>/<data>/<arm>/seed<N>/`           the run
`<output_dir>/.aside/<data>/<arm>/seed<N>/`    the run it replaces, until it has finished
"""

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from senet_train.errors import InputError
from senet_train.runs.identity import Identity
from senet_train.runs.status import read_status, write_status
from senet_train.system.files import TEMPORARY, write_json


@dataclass(frozen=True)
class RunFolder:
    """Where one run lives. Nothing is made until `begin`."""

    output_dir: Path
    data: str
    arm: str
    seed: int

    @property
    def path(self) -> Path:
        """The run itself."""
        return self.output_dir / self.data / self.arm / f"seed{self.seed}"

    @property
    def identity_file(self) -> Path:
        """What the arm is, and its full hash."""
        return self.path.parent / "identity.json"

    @property
    def lock(self) -> Path:
        """The lock file, outside the run so that the run can be moved while it is held."""
        return self.path.with_name(f".{self.path.name}.lock")

    @property
    def checkpoints(self) -> Path:
        """Where the run saves itself."""
        return self.path / "checkpoints"

    @property
    def aside(self) -> Path:
        """Where the run that this one replaces waits."""
        return self.output_dir / ".aside" / self.data / self.arm / f"seed{self.seed}"

    @property
    def finished(self) -> bool:
        """Whether the run is there, whole."""
        status = read_status(self.path)
        return status is not None and status.state == "finished"

    @property
    def settled(self) -> bool:
        """Whether it is finished, with no old run left to delete."""
        return self.finished and not self.aside.exists()

    def set_state(self, state: str, reason: str = "") -> None:
        """Replace status.json."""
        write_status(self.path, state, reason)

    def begin(self, identity: Identity, *, keep: bool) -> str:
        """Make the folder `running`; where a finished run went that was there, in words.

        `keep` keeps an unfinished one, to go on with it; else the folder is emptied. The caller
        holds the lock.
        """
        notice = ""
        if self.finished:
            self.aside.parent.mkdir(parents=True, exist_ok=True)
            self.path.rename(self.aside)
            hide_events(self.aside)
            notice = f"the finished run waits in {self.aside} until this one has finished"
        elif self.path.exists() and not keep:
            shutil.rmtree(self.path)
        for file in [*self.path.glob(TEMPORARY), *self.checkpoints.glob(TEMPORARY)]:
            file.unlink()  # left by a kill while it was written
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.set_state("running")
        describe(self.identity_file, identity)
        return notice

    def discard_aside(self) -> None:
        """Delete the run that this finished one replaced, and the folders that held only it."""
        shutil.rmtree(self.aside, ignore_errors=True)
        for folder in list(self.aside.parents)[:3]:
            with contextlib.suppress(OSError):  # not empty: another run waits there; or gone
                folder.rmdir()


def refuse_clash(file: Path, identity: Identity) -> None:
    """Two arms whose hashes share 8 digits must not share a folder. Raises InputError."""
    if not file.is_file():
        return
    found = json.loads(file.read_text()).get("sha256")
    if found != identity.sha256:
        raise InputError(
            f"{file.parent} belongs to another configuration (hash {found}, "
            f"this one is {identity.sha256}): choose another output_dir"
        )


def refuse_full_disk(folder: Path, num_bytes: int) -> None:
    """Raises InputError where less than `num_bytes` is free: a run must not end on its last epoch.

    `folder` need not exist.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    disk = shutil.disk_usage(existing)
    if disk.total and disk.free < num_bytes:  # /proc and the like have no size at all
        raise InputError(
            f"{existing} has {disk.free / 1e6:.0f} MB free and the run's checkpoints may take "
            f"{num_bytes / 1e6:.0f} MB: free some, or choose another output_dir"
        )


def describe(file: Path, identity: Identity) -> None:
    """Write what the arm is, once."""
    if not file.exists():
        content: dict[str, Any] = {"sha256": identity.sha256, **identity.content}
        write_json(file, content)


def hide_events(folder: Path) -> None:
    """Rename TensorBoard's files: it reads hidden folders too, and must not show this run."""
    for events in folder.glob("*tfevents*"):
        events.rename(folder / events.name.replace("tfevents", "events"))
