"""The answer to an image and to its mirror, as one: `data.test_flips`.

Shapes: B batch, H height, W width, K classes.
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

TestFlips = Literal["none", "horizontal"]


def logits_of_test(network: Callable[[Tensor], Tensor], images: Tensor, flips: TestFlips) -> Tensor:
    """Images (B, 3, H, W) -> logits (B, K) in float32; with flips the mean of those of both.

    Of logits, as most do: it is the geometric mean of the two answers, and one row of logits is
    what scores and predictions are made of. Two passes, so that a network that looks at the other
    images of the batch sees the same ones in both.
    """
    logits = network(images).float()
    if flips == "none":
        return logits
    return (logits + network(images.flip(3)).float()) / 2
