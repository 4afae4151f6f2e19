"""Decode image files in processes of their own; one that a file kills ends no check."""

import hashlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from senet_train.data.image_files import Unreadable, read_rgb

CHUNK = 16  # files a process takes at a time


@dataclass(frozen=True)
class Verdict:
    """What decoding a file showed: `fault` is a kind of finding, or "" for none."""

    fault: str = ""
    detail: str = ""
    mode: str = ""  # Pillow's, as stored
    pixels: str = ""  # hash of size and RGB values


def judge(path: str) -> Verdict:
    """Decode one file wholly, as training does."""
    try:
        picture, mode = read_rgb(path)
    except Unreadable as error:
        return Verdict(error.kind, " ".join(str(error).split()))
    except OSError as error:
        return Verdict("not opened", error.strerror or str(error))
    except MemoryError:
        return Verdict("not opened", "no memory to decode it")
    digest = hashlib.blake2b(f"{picture.size}".encode(), digest_size=16)
    digest.update(picture.tobytes())
    return Verdict(mode=mode, pixels=digest.hexdigest())


def judged(paths: Sequence[str], num_jobs: int) -> Generator[tuple[str, Verdict], None, None]:
    """Each path with its verdict, in the order in which they are found, by `num_jobs` processes.

    When a process dies, what it and its siblings had not given is halved until the file that
    kills stands alone.
    """
    if not paths:
        return
    lost: list[str] = []
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    pool = start_pool(min(num_jobs, len(chunks)))
    try:
        futures: dict[Future[list[Verdict]], Sequence[str]] = {}
        for chunk in chunks:
            try:
                futures[pool.submit(judge_each, chunk)] = chunk
            except BrokenProcessPool:  # before all was handed out
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
        yield lost[0], Verdict("ends its decoder")
        return
    middle = (len(lost) + 1) // 2
    for half in (lost[:middle], lost[middle:]):
        yield from judged(half, num_jobs)


def start_pool(num_processes: int) -> ProcessPoolExecutor:
    """Spawned, not forked: this process may have threads, and a fork copies their locks as held."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(num_processes, mp_context=context, initializer=be_a_worker)


def judge_each(paths: Sequence[str]) -> list[Verdict]:
    """A worker's piece of the work."""
    return [judge(path) for path in paths]


def be_a_worker() -> None:
    """Leave Ctrl-C to the parent, print no warnings into its bar, and never outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    threading.Thread(target=end_with_the_parent, daemon=True).start()


def end_with_the_parent() -> None:
    """A killed parent says nothing, and its pool's queue never ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
