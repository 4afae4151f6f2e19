"""Build `passes.cpp` with the machine's C++ compiler, once, and load it. On Linux alone.

The library is kept in the user's cache folder under a name that holds the source, the compiler,
the processor and torch's version, so a stale one is never loaded. Beside it is its checksum: code
of a damaged library would end this process by a signal, and every later one. A build that fails is
remembered there as well, as it may take 10 s to fail.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from senet_train.system.files import cache_folder, write_text

SOURCE = Path(__file__).with_name("passes.cpp")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-fopenmp", "-Wno-psabi")
BUILD_SECONDS = 120  # a compiler that takes longer hangs
REMEMBERED_SECONDS = (
    3600  # a build that failed: a disk may have room again, or a compiler be mended
)


class NoLibrary(Exception):
    """There is no compiled library; the message says why."""


def load_library() -> ctypes.CDLL:
    """The compiled passes, built on first use. Raises NoLibrary."""
    found = find_library()
    if isinstance(found, NoLibrary):
        raise found
    return found


@cache
def find_library() -> ctypes.CDLL | NoLibrary:
    """One attempt a process: compilers that fail once would fail again."""
    if sys.platform != "linux":  # Apple's compiler has no OpenMP, and torch's is not GNU's there
        return NoLibrary("its passes are compiled on Linux alone")
    compilers = list(filter(None, map(shutil.which, COMPILERS)))
    found = NoLibrary("there is no C++ compiler (c++, g++ or clang++)")
    for compiler in compilers:
        try:
            return library_of(compiler)
        except (OSError, subprocess.SubprocessError) as error:
            found = NoLibrary(f"{compiler} built no usable library: {first_line(error)}")
    return found


def library_of(compiler: str) -> ctypes.CDLL:
    """The library that this compiler builds, from the cache if it is whole there.

    Raises OSError or SubprocessError.
    """
    path = cache_folder() / f"passes-{fingerprint(compiler)}.so"
    if is_whole(path):
        with suppress(OSError):  # of another system, say: built anew
            return ctypes.CDLL(str(path))
    failed = path.with_suffix(".failed")
    refuse_failed(failed)
    try:
        build(compiler, path)
        if not is_whole(path):
            raise OSError(f"{path} is not read as it was written")
        library = ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError) as error:
        remember(failed, first_line(error))
        raise
    failed.unlink(missing_ok=True)
    return library


def is_whole(path: Path) -> bool:
    """Whether the file has the checksum beside it. A file without one was cut in its making."""
    try:
        return path.with_suffix(".sha256").read_text(encoding="utf-8").strip() == checksum(path)
    except (OSError, ValueError):
        return False


def checksum(path: Path) -> str:
    """SHA-256 of the file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refuse_failed(failed: Path) -> None:
    """Raises OSError if a build has failed shortly before: another would take as long to fail."""
    try:
        age, reason = time.time() - failed.stat().st_mtime, failed.read_text("utf-8", "replace")
    except OSError:
        return
    if 0 <= age < REMEMBERED_SECONDS:
        reason = reason.strip() or "the build failed"
        raise OSError(f"{reason}; that was {age / 60:.0f} min ago, delete {failed} to try again")


def remember(failed: Path, reason: str) -> None:
    """Note that the build failed. On a full disk there is still room for an empty file."""
    with suppress(OSError):
        failed.write_text(f"{reason}\n", encoding="utf-8")


def fingerprint(compiler: str) -> str:
    """What the library depends on, hashed: a shared home may serve unlike machines."""
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=10, check=True)
    parts = [SOURCE.read_bytes(), version.stdout, torch.__version__.encode(), processor()]
    return hashlib.sha256(b"\n".join([*parts, " ".join(FLAGS).encode()])).hexdigest()[:16]


def processor() -> bytes:
    """The instruction sets of this machine, which -march=native compiles for."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    flags = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return "\n".join([platform.machine(), platform.system(), *flags]).encode()


def build(compiler: str, path: Path) -> None:
    """Compile to a file beside `path`, move it there, then write its checksum.

    Raises OSError or SubprocessError.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / path.name
        compile_in(folder, [compiler, *FLAGS, str(SOURCE), "-o", str(built), *openmp()])
        with built.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut could leave a name without its content
        found = checksum(built)
        built.replace(path)
    write_text(path.with_suffix(".sha256"), f"{found}\n")


def compile_in(folder: str, command: list[str]) -> None:
    """Run the compiler, with its temporary files in `folder`. Raises SubprocessError.

    It is a process group of its own: a signal ends the processes that it has started as well.
    """
    process = subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": folder},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    try:
        _, complaints = process.communicate(timeout=BUILD_SECONDS)
    except BaseException:
        if sys.platform != "win32":  # where nothing is compiled
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=complaints)


def openmp() -> list[str]:
    """torch's own OpenMP library where it ships one: two of them would fight for the cores."""
    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    return [str(found[0])] if found else []


def first_line(error: Exception) -> str:
    """What the compiler complained of, or the error itself."""
    output = getattr(error, "stderr", None) or b""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[0] if lines else str(error)
