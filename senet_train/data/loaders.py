"""Data set -> splits -> batches.

Everything random is keyed: the split by `split_seed`, an epoch's order and draws by (seed, epoch).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from senet_train.config.image_size import height_width
from senet_train.config.schema import Data
from senet_train.data.augment import Augment, Normalise, draw_table
from senet_train.data.images import FileImages, Images, MemoryImages, Source
from senet_train.data.mixing import draw_mixture, is_mixed
from senet_train.data.placement import Rows, all_to_device, fits, rows_of, to_device
from senet_train.data.policies import NOTHING, Policies, policies_of
from senet_train.data.sampling import sampled
from senet_train.keyed import keyed_permutation


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (train, validation), both sorted; a `fraction` of every class is validation.

    A class of at least two images gives at least one to each part. The split is a pure function
    of (seed, class, number of images in the class).
    """
    train, validation = [], []
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        order = members[keyed_permutation(len(members), "split", seed, label)]
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        validation.append(order[:count])
        train.append(order[count:])
    return torch.cat(train).sort().values, torch.cat(validation).sort().values


# Above this many bytes of decoded images, `data.cache=auto` reads files batch by batch.
MEMORY_LIMIT = 2 * 1024**3


# On the device images (B, 3, H, W), and labels (B,), of mixed images the shares of classes (B, K),
# or a target for each; on the host indices (B,).
Batch = tuple[Tensor, Any, Tensor]

HOST = torch.device("cpu")

Shard = Callable[[Tensor], Tensor]  # a batch of indices -> the part that one process reads


def whole_batch(batch: Tensor) -> Tensor:
    """The shard of the only process: all of the batch."""
    return batch


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set. Test is for the end, once."""

    train: Images
    validation: Images
    test: Images

    def on(self, device: torch.device, *, train_on_host: bool = False) -> "Splits":
        """The parts, held on the device if what of them is in memory fits there.

        Images to train on may stay on the host: policies of `data.augment` are applied there.
        """
        moved = ["validation", "test"] if train_on_host else ["train", "validation", "test"]
        parts: dict[str, Images] = {name: getattr(self, name) for name in moved}
        if not fits(sum(images.num_bytes for images in parts.values()), device):
            return self
        return replace(self, **{name: images.on(device) for name, images in parts.items()})

    @contextmanager
    def kept_workers(self) -> Iterator[None]:
        """For the block, the data workers of one pass over a part are there for the next one."""
        parts = (self.train, self.validation, self.test)
        with ExitStack() as kept:
            for reader in {part.reader for part in parts if isinstance(part, FileImages)}:
                kept.enter_context(reader.kept())
            yield


def load_splits(source: Source, data: Data) -> Splits:
    """Read the data set, split validation from training, store each part as `data.cache` asks."""
    pool, test = (at_size(images, data) for images in source.load())
    if source.validation:
        validation = torch.tensor(source.validation)
        train = torch.ones(len(pool.labels)).index_fill(0, validation, 0).nonzero().flatten()
    else:
        train, validation = stratified_split(pool.labels, data.val_fraction, data.split_seed)
    assert len(train) > 0, "a Source promises images of every class for both"
    assert len(validation) > 0
    splits = Splits(pool.take(train), pool.take(validation), test)
    keeps_pool, keeps_test = (keeps(len(each.labels), data) for each in (pool, test))
    with splits.kept_workers():
        return Splits(
            decoded(splits.train, "train") if keeps_pool else splits.train,
            decoded(splits.validation) if keeps_pool else splits.validation,
            decoded(splits.test) if keeps_test else splits.test,
        )


def at_size(images: Images, data: Data) -> Images:
    """Images in memory at the size of `data`: files are brought to theirs as they are read.

    Scenes are not resized: their boxes and masks would have to be, too.
    """
    return images.resized(data.image_size) if isinstance(images, MemoryImages) else images


def keeps(num_images: int, data: Data) -> bool:
    """Whether files are decoded into memory: asked to, or they fit and no random crop needs them
    again."""
    num_bytes = num_images * 3 * data.most_pixels
    fits = data.crop != "resized" and num_bytes <= MEMORY_LIMIT
    return data.cache == "memory" or (data.cache == "auto" and fits)


def decoded(images: Images, *key: str) -> Images:
    """Images in memory, those of files as they are read under the key."""
    return images.to_memory(*key) if isinstance(images, FileImages) else images


class TrainingBatches:
    """One epoch of training batches from the `start`-th on: shuffled, augmented, of `batch_size`.

    The last, incomplete batch is dropped (other images in the next epoch), unless it is the only
    one: BatchNorm must not get a batch of one image. So is the last, incomplete group of
    `accumulate` batches. Of each batch a process reads its shard; image and augmentation do not
    depend on the process that reads them.
    """

    def __init__(
        self,
        images: Images,
        data: Data,
        *,
        seed: int,
        epoch: int,
        start: int = 0,
        accumulate: int = 1,
        shard: Shard = whole_batch,
        device: torch.device = HOST,
    ) -> None:
        self.images = sampled(images, data.sampling, seed, epoch)
        self.data, self.device = data, device
        self.seed, self.epoch, self.start, self.shard = seed, epoch, start, shard
        self.order = keyed_permutation(len(images.labels), "order", seed, epoch)
        self.stop = num_batches(len(self.order), data.batch_size, accumulate)

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[Batch]:
        batches = self.order.split(self.data.batch_size)[self.start : self.stop]
        draws = draw_table(len(self.order), self.seed, self.epoch)
        padding = self.data.padding if self.data.crop == "pad" else 0
        augment = Augment(padding, self.data.flip, self.data.cutout, self.data.padding_mode)
        normalise = Normalise(tuple(self.data.mean), tuple(self.data.std))
        key = ("crop", self.seed, self.epoch)
        sharded = [self.shard(batch) for batch in batches]
        policies = policies_of(self.data)
        read = read_rows(self.images, sharded, draws, self.device, *key, policies=policies)
        for number, (rows, pixels) in enumerate(read, self.start):
            seen, targets = self.images.augmented(pixels, rows, augment)
            images, targets = normalise(seen), all_to_device(targets, self.device)
            yield *self.mixed(images, targets, number), rows.indices

    def mixed(self, images: Tensor, targets: Any, number: int) -> tuple[Tensor, Any]:
        """The images and labels of this batch of the epoch, in pairs if `data` says so."""
        if not is_mixed(self.data):
            return images, targets
        assert self.data.num_classes != "auto"
        mixture = draw_mixture(self.data, *images.shape[2:], self.seed, self.epoch, number)
        return mixture.images(images), mixture.labels(targets, self.data.num_classes)


def read_rows(
    images: Images,
    batches: Sequence[Tensor],
    draws: Tensor,
    device: torch.device,
    *key: int | str,
    policies: Policies = NOTHING,
) -> Iterator[tuple[Rows, Tensor]]:
    """For each batch of indices (B,) its rows, and its pixels (B, H, W, 3) uint8 on the device."""
    rows = rows_of(batches, draws, device)
    read = images.read([row.indices_on(images.device) for row in rows], *key, policies=policies)
    for row, pixels in zip(rows, read, strict=True):
        yield row, to_device(pixels, device)


def num_batches(num_images: int, batch_size: int, accumulate: int = 1) -> int:
    """The number of batches of an epoch, in groups of `accumulate`: the full ones, or the only one.

    It is 0 where there are fewer batches than a group has.
    """
    full = max(num_images // batch_size, 1)
    return full - full % accumulate


class EvaluationBatches:
    """Every image once, not augmented; the last batch may be smaller.

    Always the same mixed order: class folders come sorted, and an attention that looks at another
    image of the batch (the `shuffled` control) must not find its own class there.

    Each of `world_size` processes reads every so many-th batch, whole: what is in a batch does not
    depend on their number. They all have as many; for some the last one may be without images.
    """

    def __init__(
        self,
        images: Images,
        data: Data,
        *,
        device: torch.device = HOST,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.images, self.data, self.device = images, data, device
        batches = keyed_permutation(len(images.labels), "evaluation").split(data.batch_size)
        self.batches = batches[rank::world_size]
        self.num_rounds = math.ceil(len(batches) / world_size)

    def __len__(self) -> int:
        return self.num_rounds

    def __iter__(self) -> Iterator[Batch]:
        normalise = Normalise(tuple(self.data.mean), tuple(self.data.std))
        no_draws = torch.empty(len(self.images.labels), 0)
        for rows, pixels in read_rows(self.images, self.batches, no_draws, self.device):
            targets = all_to_device(self.images.targets(rows), self.device)
            yield normalise(pixels), targets, rows.indices
        if len(self.batches) < self.num_rounds:
            yield self.no_images()

    def no_images(self) -> Batch:
        """A batch of 0 images."""
        shape, nothing = height_width(self.data.size_of_test), torch.empty(0, dtype=torch.int64)
        [rows] = rows_of([nothing], torch.empty(len(self.images.labels), 0), self.device)
        targets = all_to_device(self.images.targets(rows), self.device)
        return torch.empty(0, 3, *shape, device=self.device), targets, nothing
