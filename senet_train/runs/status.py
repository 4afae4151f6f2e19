"""`status.json` of a run: its state, which process makes it, and when that last showed life."""

import os
import socket
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from senet_train.errors import InputError
from senet_train.system.files import write_json
from senet_train.system.foreign_files import SMALL, read_bytes

STATUS_FILE = "status.json"
LONGEST_REASON = 5000  # characters: in JSON up to 60 kB, and a status is read up to 64 KiB


State = Literal["running", "finished", "failed", "diverged", "interrupted", "pruned"]


@dataclass(frozen=True)
class Status:
    """The state of a run: running, finished, failed, diverged, interrupted or pruned."""

    state: State
    reason: str
    host: str
    pid: int
    since: str
    heartbeat: str = ""


ADAPTER = TypeAdapter(Status)  # made once: it costs more than reading a file


def write_status(run: Path, state: State, reason: str = "") -> None:
    """Replace the status of the run in the folder `run`: this process has set it now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    status = Status(state, reason[:LONGEST_REASON], socket.gethostname(), os.getpid(), now, now)
    write_json(run / STATUS_FILE, asdict(status))


def renew_heartbeat(run: Path) -> None:
    """Set the heartbeat of a running run to the present time."""
    status = read_status(run)
    if status is not None and status.state == "running":
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(run / STATUS_FILE, asdict(replace(status, heartbeat=now)))


def read_status(run: Path) -> Status | None:
    """The status of the run in the folder `run`; None if there is none that can be read."""
    try:
        return ADAPTER.validate_json(read_bytes(run / STATUS_FILE, SMALL))
    except (FileNotFoundError, InputError, ValidationError):
        return None


def count_running(output_dir: Path, but: Path) -> int:
    """The number of runs below `output_dir`, except `but`, that this machine is training now.

    The folders may be anybody's: what cannot be listed or read is not counted.
    """
    host = socket.gethostname()
    try:
        folders = {file.parent for file in output_dir.glob(f"*/*/seed*/{STATUS_FILE}")} - {but}
    except OSError:  # a folder that vanishes, or a link that leads to itself
        return 0
    statuses = (read_status(folder) for folder in folders)
    return sum(
        status is not None
        and status.state == "running"
        and status.host == host
        and status.pid != os.getpid()
        and is_alive(status.pid)
        for status in statuses
    )


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has this number; of 0 and below, none has."""
    if pid <= 0:  # to the system it is a group of processes, or all of them
        return False
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except (ProcessLookupError, OverflowError):  # none, or more digits than a number has here
        return False
    except PermissionError:
        return True
    return True
