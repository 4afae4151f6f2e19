"""`status.json` of a run: its state, which process makes it, and when that last showed life."""

import os
import socket
import sys
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
ENDED = ("zombie", "dead")  # psutil's words: it has ended, and nobody has asked how
CLOCKS_DIFFER_SECONDS = 2.0  # both the moment of the boot and a heartbeat are whole seconds


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


def is_running(status: Status) -> bool:
    """Whether the status says `running` and its process is there, on this machine.

    The system gives the number of an ended process to another one: that one has begun after the
    last heartbeat, which its own process cannot have.
    """
    if status.state != "running" or status.host != socket.gethostname():
        return False
    began = start_of(status.pid)
    if began is None:
        return is_alive(status.pid)
    return began <= seconds_of(status.heartbeat or status.since) + CLOCKS_DIFFER_SECONDS


def count_running(output_dir: Path, but: Path) -> int:
    """The number of runs below `output_dir`, except `but`, that this machine is training now.

    The folders may be anybody's: what cannot be listed or read is not counted.
    """
    try:
        folders = {file.parent for file in output_dir.glob(f"*/*/seed*/{STATUS_FILE}")} - {but}
    except OSError:  # a folder that vanishes, or a link that leads to itself
        return 0
    statuses = (read_status(folder) for folder in folders)
    return sum(
        status is not None and status.pid != os.getpid() and is_running(status)
        for status in statuses
    )


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has this number, and has not ended."""
    state = state_of(pid)
    return is_hidden(pid) if state is None else state not in ENDED


def start_of(pid: int) -> float | None:
    """When the living process with this number began, in seconds since 1970; None if unknown."""
    import psutil

    if state_of(pid) in (None, *ENDED):
        return None
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def state_of(pid: int) -> str | None:
    """psutil's word for the state of the process; None if there is none, or it is not shown."""
    import psutil  # here: it takes 20 ms, and most who read a status do not ask

    try:
        return str(psutil.Process(pid).status())
    except (psutil.Error, ValueError):  # ValueError: to the system it is a group of processes
        return None


def is_hidden(pid: int) -> bool:
    """Whether it is there and not shown, as those of other users on many clusters (hidepid)."""
    if sys.platform == "win32" or pid <= 0:
        return False
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except (ProcessLookupError, OverflowError):  # none, or more digits than a number has here
        return False
    except PermissionError:
        pass
    return True


def seconds_of(moment: str) -> float:
    """A moment in a status, in seconds since 1970; far ahead if it is none, as if just written."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return float("inf")
