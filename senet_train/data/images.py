"""Images in memory or in files, read as uint8 batches of indices; and `Source`, a data set.

Shapes: N images, B batch, H height, W width; channels last (N, H, W, 3), values 0..255.
"""

import atexit
import multiprocessing
import multiprocessing.util  # before what is registered here: what comes later is called earlier
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from typing import ClassVar
from weakref import WeakSet

import torch
from torch import Tensor
from torch.nn import functional as F

from senet_train.data.augment import Augment
from senet_train.data.placement import Rows, to_device
from senet_train.data.scenes import SceneImages
from senet_train.errors import RunError
from senet_train.system.signals import HANDLED

# A batch takes seconds at most: a worker that is silent for so long waits for a disk that is gone.
WORKER_TIMEOUT_SECONDS = 300


class Labelled:
    """Images of one class each."""

    labels: Tensor  # (N,) int64

    def targets(self, rows: Rows) -> Tensor:
        """The labels of a batch, (B,), where the images are."""
        return self.labels[rows.indices_on(self.labels.device)]

    def augmented(self, pixels: Tensor, rows: Rows, augment: Augment) -> tuple[Tensor, Tensor]:
        """Augmented images (B, H, W, 3), where their pixels are, and their labels (B,)."""
        return augment(pixels, rows.draws_there), self.targets(rows)


@dataclass(frozen=True)
class MemoryImages(Labelled):
    """Images held as one uint8 tensor; `ids` names each image in predictions."""

    pixels: Tensor  # (N, H, W, 3) uint8
    labels: Tensor  # (N,) int64
    ids: Sequence[str]

    def take(self, indices: Tensor) -> "MemoryImages":
        """The images at `indices`, in that order."""
        ids = [self.ids[i] for i in indices.tolist()]
        return MemoryImages(self.pixels[indices], self.labels[indices], ids)

    @property
    def device(self) -> torch.device:
        """Where they are held."""
        return self.pixels.device

    @property
    def num_bytes(self) -> int:
        """What they take in memory."""
        return self.pixels.nbytes

    def on(self, device: torch.device) -> "MemoryImages":
        """The same images, held on the device."""
        pixels, labels = to_device(self.pixels, device), to_device(self.labels, device)
        return replace(self, pixels=pixels, labels=labels)

    def resized(self, size: int) -> "MemoryImages":
        """The same images of `size` pixels a side."""
        return replace(self, pixels=resize(self.pixels, size))

    def read(self, batches: Iterable[Tensor], *key: int | str) -> Iterator[Tensor]:
        """The pixels of each batch of indices, (B,) -> (B, H, W, 3); `key` has no effect.

        The indices are where the images are.
        """
        for batch in batches:
            yield self.pixels[batch]


def resize(pixels: Tensor, size: int) -> Tensor:
    """(N, H, W, 3) -> (N, size, size, 3), bilinear; the same tensor where the size is right."""
    if tuple(pixels.shape[1:3]) == (size, size):
        return pixels
    planes = pixels.permute(0, 3, 1, 2)
    scaled = F.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    return scaled.permute(0, 2, 3, 1).contiguous()


# (path, key) -> (H, W, 3) uint8; with a key it may draw a random crop from it.
LoadFile = Callable[[str, tuple[int | str, ...]], Tensor]


@dataclass(frozen=True)
class FileImages(Labelled):
    """Images read from files batch by batch, by `workers` processes; `load` decodes one."""

    paths: Sequence[str]
    labels: Tensor  # (N,) int64
    ids: Sequence[str]
    load: LoadFile
    workers: int = 0
    device: ClassVar[torch.device] = torch.device("cpu")  # where a batch is when it has been read
    num_bytes: ClassVar[int] = 0  # in memory between two batches

    def on(self, device: torch.device) -> "FileImages":
        """The same images: each batch is moved when it has been read."""
        return self

    def take(self, indices: Tensor) -> "FileImages":
        """The images at `indices`, in that order."""
        rows = indices.tolist()
        paths, ids = [self.paths[i] for i in rows], [self.ids[i] for i in rows]
        return replace(self, paths=paths, ids=ids, labels=self.labels[indices])

    def read(self, batches: Iterable[Tensor], *key: int | str) -> Iterator[Tensor]:
        """The pixels of each batch of indices, (B,) -> (B, H, W, 3).

        Image i is loaded under the key (*key, i), so no worker's random state matters; without
        a key nothing random is done.
        """
        reader = torch.utils.data.DataLoader(
            KeyedDataset(self, key),
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self.workers,
            collate_fn=torch.stack,
            worker_init_fn=leave_signals_to_the_parent,
            timeout=WORKER_TIMEOUT_SECONDS if self.workers else 0,
        )
        failure = ""
        others = set(multiprocessing.active_children())
        batches_read = iter(reader)
        WORKERS.update(set(multiprocessing.active_children()) - others)
        try:
            yield from batches_read
        except RunError as error:  # from a worker its message is a whole traceback
            name = f"{RunError.__module__}.{RunError.__name__}: "
            failure = str(error).strip().splitlines()[-1].removeprefix(name)
            # Its frames hold the iterator in a cycle. Collected later, in a forked worker of the
            # next loader, it would shut down queues that are no longer its own.
            traceback.clear_frames(error.__traceback__)
        finally:
            del batches_read  # ends the workers now
        if failure:
            raise RunError(failure)

    def to_memory(self) -> MemoryImages:
        """Decode every image once."""
        every = torch.arange(len(self.paths)).split(256)
        return MemoryImages(torch.cat(list(self.read(every))), self.labels, self.ids)


def joined(parts: Sequence[FileImages]) -> FileImages:
    """The images of all parts, one part after the other."""
    return replace(
        parts[0],
        paths=[path for part in parts for path in part.paths],
        labels=torch.cat([part.labels for part in parts]),
        ids=[image_id for part in parts for image_id in part.ids],
    )


WORKERS: WeakSet[BaseProcess] = WeakSet()  # that read files for this process


@atexit.register
def kill_workers() -> None:
    """End the workers that an error or a signal has left. Python would ask them by SIGTERM, which
    they ignore, and wait for them for ever."""
    for worker in WORKERS:
        worker.kill()


def leave_signals_to_the_parent(worker: int) -> None:
    """Ignore signals in a data worker: it inherits our handlers, and a terminal sends them to all.

    A worker that ended would take from the parent the batch after which it wants to save itself.
    """
    for signum in HANDLED:
        signal.signal(signum, signal.SIG_IGN)


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
            for process in multiprocessing.active_children():  # Python would wait for it at its end
                process.kill()
            raise RunError(
                f"no batch came from {workers} data workers in {WORKER_TIMEOUT_SECONDS} s: "
                "is the file system of data.root there? data.workers=0 reads without workers"
            ) from error
        raise RunError(
            "a data worker died, perhaps killed as memory ran out: "
            f"choose less than data.workers={workers}, or 0"
        ) from error


class KeyedDataset(torch.utils.data.Dataset[Tensor]):
    """FileImages as a map-style dataset for one pass: index -> pixels under the key of the pass."""

    def __init__(self, images: FileImages, key: tuple[int | str, ...]) -> None:
        self.images, self.key = images, key

    def __getitem__(self, index: int) -> Tensor:
        key = (*self.key, index) if self.key else ()
        return self.images.load(self.images.paths[index], key)


ClassImages = MemoryImages | FileImages
Images = ClassImages | SceneImages


@dataclass(frozen=True)
class Source:
    """A data set that was found but not read yet; `prepare()` downloads what is missing.

    `load()` returns the images to train and validate on, and the test images. `validation` are the
    indices of the former that are for validation; where there are none, a fraction of every class
    is, and there are two images of each. `bit_depth` is of the values of deep pictures, and
    `notes` say what a user should know of the data. `origins` are the files and folders that all
    this was read from.
    """

    class_names: tuple[str, ...]
    fingerprint: str  # changes when the data change
    load: Callable[[], tuple[Images, Images]]
    from_files: bool = False
    prepare: Callable[[], None] = lambda: None
    validation: Sequence[int] = ()
    bit_depth: int = 16
    earlier_fingerprint: str = ""  # of runs that were made before contents were read
    notes: Sequence[str] = ()
    origins: tuple[str, ...] = ()

    def doubt(self, fingerprint: str) -> str:
        """Why a run that was made on data of this fingerprint may not be of this data; or ""."""
        if fingerprint == self.fingerprint:
            return ""
        if fingerprint == self.earlier_fingerprint:
            return (
                "it knows its images by name and size alone: that they hold what they held then is "
                "unverified"
            )
        return "it was made on other data than are there now"
