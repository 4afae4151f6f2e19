"""Images in memory or in files, read as uint8 batches of indices; and `Source`, a data set.

Shapes: N images, B batch, H height, W width; channels last (N, H, W, 3), values 0..255.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from senet_train.config.image_size import ImageSize, height_width
from senet_train.data.augment import Augment
from senet_train.data.file_reader import FileReader
from senet_train.data.placement import Rows, to_device
from senet_train.data.policies import NOTHING, Policies, augmented
from senet_train.data.scenes import SceneImages


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

    def resized(self, size: ImageSize) -> "MemoryImages":
        """The same images of this size."""
        return replace(self, pixels=resize(self.pixels, size))

    def read(
        self, batches: Iterable[Tensor], *key: int | str, policies: Policies = NOTHING
    ) -> Iterator[Tensor]:
        """The pixels of each batch of indices, (B,) -> (B, H, W, 3).

        The indices are where the images are. Image i is augmented under the key (*key, i).
        """
        for batch in batches:
            pixels = self.pixels[batch]
            if policies.transforms:
                keys = [(*key, i) for i in batch.tolist()]
                pixels = augmented(pixels, keys, policies)
            yield pixels


def resize(pixels: Tensor, size: ImageSize) -> Tensor:
    """(N, h, w, 3) -> (N, H, W, 3), bilinear; the same tensor where the size is right."""
    shape = height_width(size)
    if tuple(pixels.shape[1:3]) == shape:
        return pixels
    planes = pixels.permute(0, 3, 1, 2)
    scaled = F.interpolate(planes, shape, mode="bilinear", antialias=True)
    return scaled.permute(0, 2, 3, 1).contiguous()


@dataclass(frozen=True)
class FileImages(Labelled):
    """Images read from files batch by batch; all parts of a data set may have one `reader`."""

    paths: Sequence[str]
    labels: Tensor  # (N,) int64
    ids: Sequence[str]
    reader: FileReader
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

    def read(
        self, batches: Iterable[Tensor], *key: int | str, policies: Policies = NOTHING
    ) -> Iterator[Tensor]:
        """The pixels of each batch of indices, (B,) -> (B, H, W, 3).

        Image i is loaded and augmented under the key (*key, i), so no worker's random state
        matters; without a key nothing random is done, and an image is what validation and test see.
        """
        asked = [
            [(self.paths[i], (*key, i) if key else ()) for i in batch.tolist()] for batch in batches
        ]
        return self.reader.read(asked, policies)

    def to_memory(self, *key: int | str) -> MemoryImages:
        """Decode every image once: with a key as one to train on, without as one to test on."""
        every = torch.arange(len(self.paths)).split(256)
        return MemoryImages(torch.cat(list(self.read(every, *key))), self.labels, self.ids)


def joined(parts: Sequence[FileImages]) -> FileImages:
    """The images of all parts, one part after the other."""
    return replace(
        parts[0],
        paths=[path for part in parts for path in part.paths],
        labels=torch.cat([part.labels for part in parts]),
        ids=[image_id for part in parts for image_id in part.ids],
    )


ClassImages = MemoryImages | FileImages
Images = ClassImages | SceneImages


@dataclass(frozen=True)
class Source:
    """A data set that was found but not read yet; `prepare()` downloads what is missing.

    `load()` returns the images to train and validate on, and the test images. `validation` are the
    indices of the former that are for validation; where there are none, a fraction of every class
    is, and there are two images of each. `bit_depth` is of the values of deep pictures, and
    `notes` say what a user should know of the data. `origins` are the files and folders that all
    this was read from. `num_images` are to train and validate on, 0 if that is not known yet.
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
    num_images: int = 0

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
