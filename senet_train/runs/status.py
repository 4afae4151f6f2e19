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
from senet_train.system.resources import PROC, read

STATUS_FILE = "status.json"
LONGEST_REASON = 5000  # characters: in JSON up to 60 kB, and a status is read up to 64 KiB
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
    if pid <= 0:  # to the system it is a group of processes, or all of them
        return False
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except (ProcessLookupError, OverflowError):  # none, or more digits than a number has here
        return False
    except PermissionError:
        return True
    return state_and_ticks(pid)[0] not in ("Z", "X")  # ended, and nobody has asked how


def start_of(pid: int) -> float | None:
    """When the living process with this number began, in seconds since 1970; None if unknown."""
    state, ticks = state_and_ticks(pid)
    lines = read(PROC / "stat").splitlines()
    booted = [float(line.split()[1]) for line in lines if line.startswith("btime ")]
    if state in ("", "Z", "X") or not booted:
        return None
    return booted[0] + ticks / os.sysconf("SC_CLK_TCK")


def state_and_ticks(pid: int) -> tuple[str, float]:
    """A letter for the state of the process, and its start in ticks after boot; "" if unknown."""
    words = read(PROC / str(pid) / "stat").rpartition(")")[2].split()  # its name may hold anything
    return (words[0], float(words[19])) if len(words) > 19 else ("", 0.0)


def seconds_of(moment: str) -> float:
    """A moment in a status, in seconds since 1970; far ahead if it is none, as if just written."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return float("inf")
