"""Build `passes.cpp` with the machine's C++ compiler, once, and load it.

The library is kept in the user's cache folder under a name that holds the source, the compiler,
the processor and torch's version, so a stale one is never loaded.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from senet_train.system.files import cache_folder

SOURCE = Path(__file__).with_name("passes.cpp")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-fopenmp", "-Wno-psabi")
BUILD_SECONDS = 120  # a compiler that takes longer hangs


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
    compilers = list(filter(None, map(shutil.which, COMPILERS)))
    found = NoLibrary("there is no C++ compiler (c++, g++ or clang++)")
    for compiler in compilers:
        try:
            return library_of(compiler)
        except (OSError, subprocess.SubprocessError) as error:
            found = NoLibrary(f"{compiler} built no usable library: {first_line(error)}")
    return found


def library_of(compiler: str) -> ctypes.CDLL:
    """The library that this compiler builds, from the cache if it can be loaded from there.

    Raises OSError or SubprocessError.
    """
    path = cache_folder() / f"passes-{fingerprint(compiler)}.so"
    if path.exists():
        with suppress(OSError):  # damaged: built anew
            return ctypes.CDLL(str(path))
    build(compiler, path)
    return ctypes.CDLL(str(path))


def fingerprint(compiler: str) -> str:
    """What the library depends on, hashed: a shared home may serve unlike machines."""
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=10, check=True)
    parts = [SOURCE.read_bytes(), version.stdout, torch.__version__.encode(), processor()]
    return hashlib.sha256(b"\n".join([*parts, " ".join(FLAGS).encode()])).hexdigest()[:16]


def processor() -> bytes:
    """The instruction sets of this machine, which -march=native compiles for."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    flags = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return "\n".join([platform.machine(), platform.system(), *flags]).encode()


def build(compiler: str, path: Path) -> None:
    """Compile to a file beside `path`, then move it there. Raises SubprocessError."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / path.name
        command = [compiler, *FLAGS, str(SOURCE), "-o", str(built), *openmp()]
        subprocess.run(command, capture_output=True, timeout=BUILD_SECONDS, check=True)
        with built.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut could leave a name without its content
        built.replace(path)


def openmp() -> list[str]:
    """torch's own OpenMP library where it ships one: two of them would fight for the cores."""
    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    return [str(found[0])] if found else []


def first_line(error: Exception) -> str:
    """What the compiler complained of, or the error itself."""
    output = getattr(error, "stderr", None) or b""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[0] if lines else str(error)
