"""Images with a box, a label and a mask for each object, for detection and segmentation.

Shapes: N images, K objects of one image, B batch, H height, W width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from senet_train.data.augment import Augment, mirrored
from senet_train.data.placement import Rows, all_to_device, to_device
from senet_train.data.policies import NOTHING, Policies

Target = dict[str, Tensor]  # boxes (K, 4), labels (K,), classes (H, W): see Scene


@dataclass(frozen=True)
class Scene:
    """One image and its objects, in the form that torchvision's detectors are trained with."""

    pixels: Tensor  # (H, W, 3) uint8
    boxes: Tensor  # (K, 4) float32: left, top, right, bottom in pixels, the last two excluded
    labels: Tensor  # (K,) int64, from 1
    masks: Tensor  # (K, H, W) bool; no pixel is in two

    def classes(self) -> Tensor:
        """The class of every pixel, (H, W) int64; 0 is the background."""
        return (self.masks * self.labels[:, None, None]).sum(0)

    def target(self) -> Target:
        """The target that a network is trained with."""
        return {"boxes": self.boxes, "labels": self.labels, "classes": self.classes()}


@dataclass(frozen=True)
class SceneImages:
    """Scenes held in memory or on a device; `ids` names each image in predictions."""

    pixels: Tensor  # (N, H, W, 3) uint8
    truth: Sequence[Target]
    ids: Sequence[str]

    @classmethod
    def of(cls, scenes: Sequence[Scene], ids: Sequence[str]) -> "SceneImages":
        """The scenes, all of one size, and an id for each."""
        pixels = torch.stack([scene.pixels for scene in scenes])
        return cls(pixels, [scene.target() for scene in scenes], ids)

    @property
    def labels(self) -> Tensor:
        """The number of objects of each image, (N,): the split is stratified by it."""
        return torch.tensor([len(target["labels"]) for target in self.truth])

    def take(self, indices: Tensor) -> "SceneImages":
        """The images at `indices`, in that order."""
        rows = indices.tolist()
        truth, ids = [self.truth[i] for i in rows], [self.ids[i] for i in rows]
        return replace(self, pixels=self.pixels[indices], truth=truth, ids=ids)

    def read(
        self, batches: Iterable[Tensor], *key: int | str, policies: Policies = NOTHING
    ) -> Iterator[Tensor]:
        """The pixels of each batch of indices, (B,) -> (B, H, W, 3); `key` has no effect.

        No policies are applied: a task with scenes refuses them.
        """
        assert not policies.transforms
        for batch in batches:
            yield self.pixels[batch]

    @property
    def device(self) -> torch.device:
        """Where they are held."""
        return self.pixels.device

    @property
    def num_bytes(self) -> int:
        """What they take in memory."""
        targets = (tensor for target in self.truth for tensor in target.values())
        return self.pixels.nbytes + sum(tensor.nbytes for tensor in targets)

    def on(self, device: torch.device) -> "SceneImages":
        """The same scenes, held on the device."""
        truth = [all_to_device(target, device) for target in self.truth]
        return replace(self, pixels=to_device(self.pixels, device), truth=truth)

    def targets(self, rows: Rows) -> list[Target]:
        """The targets of a batch."""
        return [self.truth[i] for i in rows.indices.tolist()]

    def augmented(
        self, pixels: Tensor, rows: Rows, augment: Augment
    ) -> tuple[Tensor, list[Target]]:
        """Images (B, H, W, 3) and their targets, mirrored together.

        Only for an Augment that mirrors and does nothing else.
        """
        flips = mirrored(rows.draws).tolist() if augment.flip else [False] * len(rows.draws)
        targets = [
            mirror(target) if flip else target
            for target, flip in zip(self.targets(rows), flips, strict=True)
        ]
        return augment(pixels, rows.draws_there), targets


def mirror(target: Target) -> Target:
    """The target of the mirrored image."""
    left, top, right, bottom = target["boxes"].unbind(1)
    width = target["classes"].shape[1]
    boxes = torch.stack([width - right, top, width - left, bottom], 1)
    return {**target, "boxes": boxes, "classes": target["classes"].flip(1)}
