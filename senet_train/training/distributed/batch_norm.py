"""Layers that look at the whole batch, when several processes have a part of it each.

With them the number of processes changes nothing. Torch's own SyncBatchNorm refuses CPU tensors.
Shapes: B batch, C channels, any others behind.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import BatchNorm1d, BatchNorm2d

from senet_train.backbones.shake_shake import Mixing
from senet_train.backbones.wide_resnet import Dropout
from senet_train.training.distributed.world import world


class AllReduceSum(torch.autograd.Function):
    """The sum over all processes; what each of them makes of it flows back to every one."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Any shape, unchanged."""
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        summed = grad.clone()
        dist.all_reduce(summed)
        return summed


class SyncBatchNorm2d(BatchNorm2d):
    """`nn.BatchNorm2d` whose statistics, in training, are those of all processes' images.

    Each process has equally many. In evaluation, and so where it is frozen, it is the plain one.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) unchanged in shape and number type."""
        if not self.training:
            return super().forward(x)
        wide = x.float()
        mean = mean_over_world(wide)  # (B, C, ...) -> (C,)
        centred = wide - along_channels(mean, x)
        variance = mean_over_world(centred.square())  # (B, C, ...) -> (C,)
        self.note(mean.detach(), variance.detach(), x.numel() // x.shape[1] * world().size)
        scale = self.weight * torch.rsqrt(variance + self.eps)  # (C,)
        y = centred * along_channels(scale, x) + along_channels(self.bias, x)
        return y.to(x.dtype)

    @torch.no_grad()
    def note(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards these; the variance without bias, as torch has it."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


class SyncBatchNorm1d(SyncBatchNorm2d):
    """The same for (B, C) and (B, C, L)."""

    def _check_input_dim(self, input: Tensor) -> None:
        BatchNorm1d._check_input_dim(self, input)  # type: ignore[arg-type]


SYNCHRONISED: dict[type[nn.Module], type[SyncBatchNorm2d]] = {
    BatchNorm2d: SyncBatchNorm2d,
    BatchNorm1d: SyncBatchNorm1d,
}


def mean_over_world(x: Tensor) -> Tensor:
    """The mean of each channel over all processes, (B, C, ...) -> (C,)."""
    local = x.mean([dim for dim in range(x.ndim) if dim != 1])
    everywhere: Tensor = AllReduceSum.apply(local)
    return everywhere / world().size


def along_channels(values: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, ...) for `x` of shape (B, C, ...)."""
    return values.view(1, -1, *(1 for _ in x.shape[2:]))


def synchronise_layers(network: nn.Module) -> None:
    """Replace every BatchNorm, weights and running statistics kept; tell what draws its part."""
    for parent in list(network.modules()):
        if isinstance(parent, Dropout | Mixing):
            parent.part, parent.num_parts = world().rank, world().size
        for name, norm in list(parent.named_children()):
            if type(norm) in SYNCHRONISED:
                setattr(parent, name, synchronised(norm))


def synchronised(norm: nn.Module) -> SyncBatchNorm2d:
    """The shared norm with the same tensors."""
    assert isinstance(norm, BatchNorm1d | BatchNorm2d)
    shared = SYNCHRONISED[type(norm)](norm.num_features, norm.eps, norm.momentum)
    shared._parameters, shared._buffers = norm._parameters, norm._buffers
    return shared.train(norm.training)
