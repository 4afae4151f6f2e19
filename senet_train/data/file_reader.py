"""Files decoded batch by batch, in this process or by data workers, which may be kept for a while.

Shapes: B batch, H height, W width; channels last (B, H, W, 3), values 0..255.
"""

import atexit
import multiprocessing
import multiprocessing.util  # before what is registered here: what comes later is called earlier
import signal
import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from weakref import WeakSet

import torch
from torch import Tensor

from senet_train.data.policies import NOTHING, Key, Policies
from senet_train.errors import RunError
from senet_train.system.signals import HANDLED

# A batch takes seconds at most: a worker that is silent for so long waits for a disk that is gone.
WORKER_TIMEOUT_SECONDS = 300

Request = tuple[str, Key]  # of one image: its path, and what its crop and policies are drawn under
LoadFile = Callable[[str, Key], Tensor]  # -> (H, W, 3) uint8; without a key nothing is random


class FileReader:
    """Decodes files by `load`, in `workers` processes or, with none, in this one.

    A pass starts its workers and ends them. While the reader is `kept()` they live on from pass to
    pass: to start them takes as long as to decode hundreds of images.
    """

    def __init__(self, load: LoadFile, workers: int = 0) -> None:
        self.load, self.workers = load, workers
        self.keeping = False
        self.asked = Requests()
        self.loader: torch.utils.data.DataLoader[Tensor] | None = None
        self.passes = 0  # that were begun
        self.passing: Iterator[Tensor] = iter(())  # held here alone: to let it go ends its workers

    def read(
        self, batches: Sequence[Sequence[Request]], policies: Policies = NOTHING
    ) -> Iterator[Tensor]:
        """The pixels of each batch of requests, (B, H, W, 3). One pass at a time.

        Raises RunError for a file that cannot be decoded.
        """
        number = self.begin(batches, policies)
        failure = ""
        try:
            for _ in batches:
                assert self.passes == number, "another pass has begun"
                yield next(self.passing)
        except RunError as error:  # from a worker its message is a whole traceback
            name = f"{RunError.__module__}.{RunError.__name__}: "
            failure = str(error).strip().splitlines()[-1].removeprefix(name)
            # Its frames hold the iterator in a cycle. Collected later, in a forked worker of the
            # next loader, it would shut down queues that are no longer its own.
            traceback.clear_frames(error.__traceback__)
        finally:
            if self.passes == number and (failure or not self.keeping):
                self.close()
        if failure:
            raise RunError(failure)

    def begin(self, batches: Sequence[Sequence[Request]], policies: Policies) -> int:
        """Begin a pass, whose workers are started if there are none; the number of this pass."""
        self.passes += 1
        self.asked.batches, self.asked.policies = batches, policies
        others = set(multiprocessing.active_children())
        if self.loader is None:
            self.loader = torch.utils.data.DataLoader(
                FilesOnRequest(self.load),
                batch_sampler=self.asked,
                num_workers=self.workers,
                collate_fn=torch.stack,
                worker_init_fn=leave_signals_to_the_parent,
                timeout=WORKER_TIMEOUT_SECONDS if self.workers else 0,
                persistent_workers=self.workers > 0,
            )
        self.passing = iter(self.loader)
        WORKERS.update(set(multiprocessing.active_children()) - others)
        return self.passes

    @contextmanager
    def kept(self) -> Iterator[None]:
        """For the block, the workers of a pass are there for the next one."""
        self.keeping = True
        try:
            yield
        finally:
            self.keeping = False
            self.close()

    def close(self) -> None:
        """End the workers now. The next pass starts others."""
        self.passing, self.loader = iter(()), None


class Requests:
    """The batches of a pass, as the DataLoader asks for them at its beginning."""

    def __init__(self) -> None:
        self.batches: Sequence[Sequence[Request]] = ()
        self.policies = NOTHING

    def __iter__(self) -> Iterator[list[tuple[Request, Policies]]]:
        return ([(request, self.policies) for request in batch] for batch in self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class FilesOnRequest(torch.utils.data.Dataset[Tensor]):
    """A map-style dataset whose indices are requests: it is the same for every pass."""

    def __init__(self, load: LoadFile) -> None:
        self.load = load

    def __getitem__(self, asked: tuple[Request, Policies]) -> Tensor:
        (path, key), policies = asked
        return policies(self.load(path, key), key)


WORKERS: WeakSet[BaseProcess] = WeakSet()  # that read files for this process


@atexit.register
def kill_workers() -> None:
    """End the workers that an error or a signal has left. Python would ask them by SIGTERM, which
    they ignore, and wait for them for ever."""
    kill(list(WORKERS))


def leave_signals_to_the_parent(worker: int) -> None:
    """Ignore signals in a data worker: it inherits our handlers, and a terminal sends them to all.

    A worker that ended would take from the parent the batch after which it wants to save itself.
    """
    for signum in HANDLED:
        signal.signal(signum, signal.SIG_IGN)


def kill(processes: Collection[BaseProcess]) -> None:
    """Kill children of this process, of which torch then says nothing."""
    with ends_unheard():
        for process in processes:
            process.kill()
        for process in processes:
            process.join(1)  # one that waits inside the kernel for a disk dies when that is back


@contextmanager
def ends_unheard() -> Iterator[None]:
    """For the block, nothing happens when a child ends: torch's handler would raise at once.

    Handlers belong to the main thread, and Windows has none for this.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)


@contextmanager
def workers_explained(workers: int) -> Iterator[None]:
    """For the block, raise RunError with the cause where a data worker died or timed out.

    Torch raises from a signal handler when a worker dies: at any line of the main process.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not text.startswith("DataLoader"):
            raise
        if "timed out" in text:
            kill(multiprocessing.active_children())  # Python would wait for them at its end
            raise RunError(
                f"no batch came from {workers} data workers in {WORKER_TIMEOUT_SECONDS} s: "
                "is the file system of data.root there? data.workers=0 reads without workers"
            ) from error
        raise RunError(
            "a data worker died, perhaps killed as memory ran out: "
            f"choose less than data.workers={workers}, or 0"
        ) from error
