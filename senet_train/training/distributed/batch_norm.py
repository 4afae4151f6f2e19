"""BatchNorm over the batches of all processes, and random layers that draw for their part of it.

With them a network trains the same on any number of processes. Torch's own SyncBatchNorm refuses
CPU tensors. Shapes: B batch, C channels, any others behind.
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
    """The sum over all processes. The gradient is the sum of the gradients of all processes."""

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
    """`nn.BatchNorm2d` whose statistics, in training, are those of the images of all processes.

    Each process has the same number of images. In evaluation mode, which a frozen layer is in too,
    it is `nn.BatchNorm2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C, ...) of the same dtype."""
        if not self.training:
            return super().forward(x)
        x32 = x.float()
        mean = mean_over_world(x32)  # (B, C, ...) -> (C,)
        centred = x32 - per_channel(mean, x)
        variance = mean_over_world(centred.square())  # (B, C, ...) -> (C,)
        count = x.numel() // x.shape[1] * world().size  # values per channel
        self.update_running_statistics(mean.detach(), variance.detach(), count)
        scale = self.weight * torch.rsqrt(variance + self.eps)  # (C,)
        y = centred * per_channel(scale, x) + per_channel(self.bias, x)
        return y.to(x.dtype)

    @torch.no_grad()
    def update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running mean (C,) and, as torch does, the running unbiased variance (C,)."""
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
    summed: Tensor = AllReduceSum.apply(local)
    return summed / world().size


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, ...), which broadcasts with `x` of shape (B, C, ...)."""
    return values.view(1, -1, *(1 for _ in x.shape[2:]))


def synchronise_layers(network: nn.Module) -> None:
    """Replace every BatchNorm, with its parameters and buffers; tell random layers their part."""
    for parent in list(network.modules()):
        if isinstance(parent, Dropout | Mixing):
            parent.part, parent.num_parts = world().rank, world().size
        for name, norm in list(parent.named_children()):
            if type(norm) in SYNCHRONISED:
                setattr(parent, name, to_sync_batch_norm(norm))


def to_sync_batch_norm(norm: nn.Module) -> SyncBatchNorm2d:
    """The synchronised BatchNorm with the parameters and buffers of `norm`."""
    assert isinstance(norm, BatchNorm1d | BatchNorm2d)
    sync = SYNCHRONISED[type(norm)](norm.num_features, norm.eps, norm.momentum)
    sync._parameters, sync._buffers = norm._parameters, norm._buffers
    return sync.train(norm.training)
