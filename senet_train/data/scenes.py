"""Images with a box, a label and a mask for each object, for detection and segmentation.

Shapes: N images, K objects of one image, B batch, H height, W width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from senet_train.data.augment import Augment, mirrored

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
    """Scenes held in memory; `ids` names each image in predictions."""

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

    def read(self, batches: Iterable[Tensor], *key: int | str) -> Iterator[Tensor]:
        """The pixels of each batch of indices, (B,) -> (B, H, W, 3); `key` has no effect."""
        for batch in batches:
            yield self.pixels[batch]

    def targets(self, indices: Tensor) -> list[Target]:
        """The targets of a batch of indices (B,)."""
        return [self.truth[i] for i in indices.tolist()]

    def augmented(
        self, pixels: Tensor, indices: Tensor, draws: Tensor, augment: Augment
    ) -> tuple[Tensor, list[Target]]:
        """Images (B, H, W, 3) and their targets, mirrored together.

        Only for an Augment that mirrors and does nothing else.
        """
        flips = mirrored(draws).tolist() if augment.flip else [False] * len(draws)
        targets = [
            mirror(target) if flip else target
            for target, flip in zip(self.targets(indices), flips, strict=True)
        ]
        return augment(pixels, draws), targets


def mirror(target: Target) -> Target:
    """The target of the mirrored image."""
    left, top, right, bottom = target["boxes"].unbind(1)
    width = target["classes"].shape[1]
    boxes = torch.stack([width - right, top, width - left, bottom], 1)
    return {**target, "boxes": boxes, "classes": target["classes"].flip(1)}
