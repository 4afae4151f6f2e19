"""RandAugment and TrivialAugment of a whole batch: equal operations of several images at once.

Every image draws for itself, as torchvision does for one image. Those that drew one operation at
one magnitude go through it together: the pixels are those of one image after the other.

Shapes: B batch, H height, W width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor
from torchvision.transforms import v2

Operation = tuple[str, float]  # a name of torchvision's, and its magnitude


class Grouped:
    """What the two have in common; put in front of torchvision's class.

    It asks one private method of torchvision, which applies an operation; a test compares pixels.
    """

    noted: list[Operation] | None = None  # while an image only draws

    def _apply_image_or_video_transform(
        self, image: Any, transform_id: str, magnitude: float, **options: Any
    ) -> Any:
        if self.noted is None:
            above: Any = super()
            return above._apply_image_or_video_transform(image, transform_id, magnitude, **options)
        self.noted.append((transform_id, magnitude))
        return image

    def draw(self, image: Tensor) -> list[Operation]:
        """The operations that an image (3, H, W) draws, one after the other."""
        with self.noting() as noted:
            cast(Any, self)(image)
        assert noted, "torchvision applies operations by another method than it did"
        return noted

    @contextmanager
    def noting(self) -> Iterator[list[Operation]]:
        """For the block, operations are noted and not applied."""
        noted: list[Operation] = []
        self.noted = noted
        try:
            yield noted
        finally:
            self.noted = None

    def apply(self, planes: Tensor, drawn: Sequence[Sequence[Operation]]) -> Tensor:
        """Images (B, 3, H, W), each through the operations that it drew."""
        planes, own = planes.clone(), cast(Any, self)
        for step in zip(*drawn, strict=True):
            groups: dict[Operation, list[int]] = {}
            for i, operation in enumerate(step):
                groups.setdefault(operation, []).append(i)
            for (name, magnitude), members in groups.items():
                rows = torch.tensor(members)
                planes[rows] = self._apply_image_or_video_transform(
                    planes[rows], name, magnitude, interpolation=own.interpolation, fill=own._fill
                )
        return planes


class GroupedRandAugment(Grouped, v2.RandAugment):
    """torchvision's RandAugment, which can take a batch."""


class GroupedTrivialAugment(Grouped, v2.TrivialAugmentWide):
    """torchvision's TrivialAugmentWide, which can take a batch."""
