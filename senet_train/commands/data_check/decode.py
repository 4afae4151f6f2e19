"""Decode image files in other processes: a file that kills its process does not end the check."""

import hashlib
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
from PIL import Image

from senet_train.data.image_files import (
    Unreadable,
    deep_values,
    is_deep,
    opened,
    orientation,
    to_rgb,
)
from senet_train.system.safe_path import leave_out_the_working_folder

CHUNK = 16  # files a process takes at a time
NARROW = 32  # of 256 values
SRGB = b"sRGB"  # in the name of the usual profile
ELONGATED = 2  # longer side / shorter side


@dataclass(frozen=True)
class DecodeResult:
    """What decoding a file showed; `fault` is a kind of finding, or "" for none."""

    fault: str = ""
    detail: str = ""
    mode: str = ""  # Pillow's, as stored
    pixels: str = ""  # hash of size and values
    notes: tuple[tuple[str, str], ...] = ()  # further kinds of finding, each with its detail


def decode(path: str) -> DecodeResult:
    """Decode the whole of one file, as training does."""
    try:
        with opened(path) as stored:
            cut = ";16" in str(getattr(stored, "tile", ""))  # asked before it is decoded
            seen = to_rgb(stored)
            unusual = tuple(notes(stored, seen, cut=cut))
            return DecodeResult("", "", stored.mode, hash_of(stored, seen), unusual)
    except Unreadable as error:
        return DecodeResult(error.kind, " ".join(str(error).split()))
    except OSError as error:
        return DecodeResult("not opened", error.strerror or str(error))
    except MemoryError:
        return DecodeResult("not opened", "no memory to decode it")


def hash_of(stored: Image.Image, seen: Image.Image) -> str:
    """A hash of a picture's size and values: of all bits of a deep one, which RGB has lost."""
    digest = hashlib.blake2b(f"{seen.size}".encode(), digest_size=16)
    digest.update(deep_values(stored).tobytes() if is_deep(stored) else seen.tobytes())
    return digest.hexdigest()


def notes(stored: Image.Image, seen: Image.Image, *, cut: bool) -> Iterator[tuple[str, str]]:
    """What is unusual about a picture that can be decoded: kind and detail.

    `cut` is whether Pillow reads values of 16 bits.
    """
    low, high = int(np.asarray(seen).min()), int(np.asarray(seen).max())
    if is_deep(stored):
        values = deep_values(stored)
        yield "deep", f"values from {values.min()} to {values.max()}"
    elif high - low < NARROW:
        yield "narrow range", f"values from {low} to {high} of 255"
    if cut and not is_deep(stored):
        yield "16-bit colour", ""
    if stored.has_transparency_data:
        yield "transparent", ""
    if (turn := orientation(stored)) != 1:
        yield "turned", f"EXIF orientation {turn}"
    profile = stored.info.get("icc_profile", SRGB)
    if SRGB not in profile.replace(b"\0", b""):  # in one byte or two a letter
        yield "colour profile", ""
    if (frames := getattr(stored, "n_frames", 1)) > 1:
        yield "several pictures", f"{frames}"
    width, height = seen.size
    if max(width, height) >= ELONGATED * min(width, height):
        yield "elongated", f"{width} x {height}"


def decode_all(
    paths: Sequence[str], num_jobs: int
) -> Generator[tuple[str, DecodeResult], None, None]:
    """Yield each path with its result as they come from `num_jobs` processes.

    When a process dies, the pool loses all results that are still out. Their files are decoded
    again in two halves, and so on, until the file that kills its process is alone.
    """
    if not paths:
        return
    lost: list[str] = []
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    pool = start_pool(min(num_jobs, len(chunks)))
    try:
        futures: dict[Future[list[DecodeResult]], Sequence[str]] = {}
        for chunk in chunks:
            try:
                futures[pool.submit(decode_each, chunk)] = chunk
            except BrokenProcessPool:  # a process has died already
                lost += chunk
        for future in as_completed(futures):
            chunk = futures.pop(future)
            try:
                yield from zip(chunk, future.result(), strict=True)
            except BrokenProcessPool:
                lost += chunk
    finally:
        pool.shutdown(cancel_futures=True)
    if len(paths) == 1 and lost:
        yield lost[0], DecodeResult("ends its decoder")
        return
    middle = (len(lost) + 1) // 2
    for half in (lost[:middle], lost[middle:]):
        yield from decode_all(half, num_jobs)


def start_pool(num_processes: int) -> ProcessPoolExecutor:
    """A pool of spawned processes: a fork would copy the locks that other threads hold."""
    leave_out_the_working_folder()
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(num_processes, mp_context=context, initializer=start_worker)


def decode_each(paths: Sequence[str]) -> list[DecodeResult]:
    """The results of one chunk, in a worker process."""
    return [decode(path) for path in paths]


def start_worker() -> None:
    """Set up a worker: no warning disturbs the bar, and it ends with the parent.

    Ctrl-C and the end of a terminal are the parent's. SIGTERM is how a broken pool ends the others.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    threading.Thread(target=exit_with_parent, daemon=True).start()


def exit_with_parent() -> None:
    """Exit once the parent has ended: a killed parent closes no queue, and a worker would wait."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
