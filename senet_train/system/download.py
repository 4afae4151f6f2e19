"""Download a file from a list of mirrors: resumed, locked, verified, renamed when complete."""

import hashlib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from senet_train.errors import InputError
from senet_train.system.files import replace
from senet_train.system.lock import file_lock
from senet_train.system.regular_file import own_file

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 18


def fetch(mirrors: Sequence[str], path: Path, sha256: str) -> Path:
    """The file at `path`, downloaded from the first mirror that has it complete.

    One process downloads, others wait for it. An incomplete download is continued. Raises
    InputError, with the reason of every mirror and how to put the file in place by hand.
    """
    if path.is_file() and file_sha256(path) == sha256:
        return path  # without the lock: the folder may be read-only
    with file_lock(lock_of(path), str(path), wait=True):
        if path.is_file() and file_sha256(path) == sha256:
            return path
        part = path.with_name(f".{path.name}.part")
        reasons = []
        for url in mirrors:
            resumed = part.exists()
            reason = try_mirror(url, part, sha256)
            if reason and resumed and not part.exists():  # what was continued may have been bad
                reason = try_mirror(url, part, sha256)
            if not reason:
                replace(part, path)
                return path
            reasons.append(f"{url}: {reason}")
    raise InputError(
        f"no mirror gave {path.name} ({'; '.join(reasons)}): try again, "
        f"or put the file with sha256 {sha256} at {path}"
    )


def try_mirror(url: str, part: Path, sha256: str) -> str:
    """Continue `part` from one mirror: "" if it is complete now, or the reason why not.

    A complete file with another checksum is removed, as it cannot be continued.
    """
    try:
        download(url, part)
    except (OSError, HTTPException, ValueError) as error:
        return str(error)
    if file_sha256(part) == sha256:
        return ""
    part.unlink()
    return "wrong checksum"


def lock_of(path: Path) -> Path:
    """The lock file of a downloaded file."""
    return path.with_name(f".{path.name}.lock")


def download(url: str, part: Path) -> None:
    """Append the missing bytes of `url` to `part`. Raises OSError if the connection breaks."""
    refuse_insecure(url)
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing left to send: the checksum decides
            return
        raise
    with response:
        refuse_insecure(response.url)  # a redirect must not leave https
        resumed = response.status == 206
        remaining = int(response.headers.get("Content-Length") or 0)
        done = done if resumed else 0
        with open(part, "ab" if resumed else "wb", opener=own_file) as file, progress_bar() as bar:
            task = bar.add_task(part.name[1:-5], total=done + remaining or None, completed=done)
            # read1 gives what has come; read waits for a whole chunk, and loses it on a timeout.
            while chunk := response.read1(CHUNK_BYTES):
                file.write(chunk)
                bar.advance(task, len(chunk))
                remaining -= len(chunk)
    if remaining > 0:
        raise OSError(f"the connection ended {remaining} bytes early")


def refuse_insecure(url: str) -> None:
    """Raises ValueError for anything but https; plain http is for a local server in tests."""
    address = urllib.parse.urlsplit(url)
    if address.scheme != "https" and address.hostname != "127.0.0.1":
        raise ValueError("not https")


def progress_bar() -> Progress:
    """A bar with bytes, speed and time left; on standard error, shown only on a terminal."""
    from rich.console import Console

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)


def file_sha256(path: Path) -> str:
    """The file's sha256, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
