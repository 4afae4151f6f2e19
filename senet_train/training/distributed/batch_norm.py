"""BatchNorm over the batches of all processes: torch's on a GPU, ours on the CPU.

Torch's SyncBatchNorm refuses CPU tensors. Ours takes three times the operations of torch's.
Shapes: B batch, C channels, any others behind.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

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


class SyncBatchNormOnCPU(_BatchNorm):
    """`nn.SyncBatchNorm` for the CPU: in training, the statistics are those of all processes.

    Each process has the same number of images. In evaluation mode, which a frozen layer is in too,
    it is `nn.BatchNorm2d`, or `nn.BatchNorm1d`.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """As torch's: two dimensions or more."""
        if input.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input.ndim}D input)")

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
        scale = torch.rsqrt(variance + self.eps)  # (C,)
        if self.weight is not None:
            scale = self.weight * scale
        y = centred * per_channel(scale, x)
        if self.bias is not None:
            y = y + per_channel(self.bias, x)
        return y.to(x.dtype)

    @torch.no_grad()
    def update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running mean (C,) and, as torch does, the running unbiased variance (C,).

        Without `momentum` they are the means over all batches so far.
        """
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        new = 1 / float(self.num_batches_tracked) if momentum is None else momentum
        self.running_mean.lerp_(mean, new)
        self.running_var.lerp_(variance * (count / (count - 1)), new)


def mean_over_world(x: Tensor) -> Tensor:
    """The mean of each channel over all processes, (B, C, ...) -> (C,)."""
    local = x.mean([dim for dim in range(x.ndim) if dim != 1])
    summed: Tensor = AllReduceSum.apply(local)
    return summed / world().size


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, ...), which broadcasts with `x` of shape (B, C, ...)."""
    return values.view(1, -1, *(1 for _ in x.shape[2:]))


class WithLayersBehind(nn.Module):
    """A BatchNorm whose children follow it: timm's has dropout and an activation."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> (B, C, ...)."""
        y: Tensor = super().forward(x)
        for layer in self.children():
            y = layer(y)
        return y


class ActivatedOnGPU(WithLayersBehind, nn.SyncBatchNorm):
    """Torch's, and the layers behind it."""


class ActivatedOnCPU(WithLayersBehind, SyncBatchNormOnCPU):
    """Ours, and the layers behind it."""


# A class that inherits one of these changes nothing of what is computed.
USUAL_FORWARDS = (_BatchNorm.forward, nn.SyncBatchNorm.forward)
ACTIVATED = ("timm.layers.norm_act", "BatchNormAct2d")
# By whether it is activated, and whether it is on a GPU.
SYNCHRONISED: dict[tuple[bool, bool], type[_BatchNorm]] = {
    (False, False): SyncBatchNormOnCPU,
    (False, True): nn.SyncBatchNorm,
    (True, False): ActivatedOnCPU,
    (True, True): ActivatedOnGPU,
}


def is_activated(norm: _BatchNorm) -> bool:
    """Whether it is timm's BatchNorm with an activation. timm may not be installed."""
    return (type(norm).__module__, type(norm).__qualname__) == ACTIVATED


def unknown_batch_norms(network: nn.Module) -> set[str]:
    """The classes of those BatchNorms whose forward pass is their own: they stay as they are."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    return {
        type(norm).__name__
        for norm in norms
        if type(norm).forward not in USUAL_FORWARDS and not is_activated(norm)
    }


def synchronise_batch_norms(network: nn.Module, *, on_gpu: bool) -> None:
    """Put a synchronised BatchNorm in the place of each, under the same names.

    `on_gpu` is where the network will be.
    """
    assert not unknown_batch_norms(network), "the plan refuses them"
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, _BatchNorm):
                setattr(parent, name, synchronised(norm, on_gpu=on_gpu))


def synchronised(norm: _BatchNorm, *, on_gpu: bool) -> _BatchNorm:
    """The synchronised BatchNorm with the parameters, buffers, layers and mode of `norm`."""
    kind = SYNCHRONISED[is_activated(norm), on_gpu]
    settings = norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    sync = kind(norm.num_features, *settings)
    sync._parameters, sync._buffers = norm._parameters, norm._buffers
    sync._modules = norm._modules
    return sync.train(norm.training)
