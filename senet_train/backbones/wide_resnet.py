"""Wide ResNets for CIFAR: WRN-depth-widen, pre-activation basic blocks with `widen` times He's
channels, (depth - 4) / 6 of them a stage, and dropout between a block's two convolutions.

Zagoruyko and Komodakis, https://arxiv.org/abs/1605.07146, table 1 and section 2.4; the details
are those of https://github.com/szagoruyko/wide-residual-networks.

Shapes: any, elementwise.
"""

from functools import partial

import torch
from torch import Tensor, nn

from senet_train.backbones.preact_resnet import PreActBasicBlock, PreActResNet


class Dropout(nn.Module):
    """Zero each element with probability `p` while training, and scale the rest by 1 / (1 - p).

    The same elements whatever the input's memory format and number type, unlike nn.Dropout: arms
    stay paired when an attention returns another format.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.part, self.num_parts = 0, 1  # its images of the batch: [part::num_parts]

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged; the identity in evaluation."""
        if not self.training:
            return x
        # The global generator: the classifier seeds it at every step, keyed by (seed, step). Drawn
        # for the whole batch, so that the number of processes that share it changes nothing.
        drawn = torch.rand((len(x) * self.num_parts, *x.shape[1:]), device=x.device)
        kept = drawn[self.part :: self.num_parts] >= self.p
        return x * kept / (1 - self.p)


class WideResNet(PreActResNet):
    """WRN-`depth`-`widen`. Raises ValueError for a dropout outside [0, 1)."""

    def __init__(self, num_classes: int, *, depth: int, widen: int, dropout: float = 0.0) -> None:
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} is out of range: choose 0 <= dropout < 1")
        super().__init__(
            num_classes,
            block=PreActBasicBlock,
            blocks_per_stage=(depth - 4) // 6,
            widths=(16 * widen, 32 * widen, 64 * widen),
        )
        for block in self.modules():
            if isinstance(block, PreActBasicBlock) and dropout > 0:
                block.dropout = Dropout(dropout)


wrn16_8 = partial(WideResNet, depth=16, widen=8)
wrn28_10 = partial(WideResNet, depth=28, widen=10)
