"""What of a network has no deterministic kernel on a GPU: found on the meta device, before a run.

With `trainer.deterministic=true` PyTorch raises where such an operation is reached, the first one
often in the first backward pass. Source of the table: torch.use_deterministic_algorithms. Left out
are what depends on an argument (EmbeddingBag, bincount, scatter_reduce) and on F.interpolate,
which takes another way for bilinear maps then.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from senet_train.config.image_size import ImageSize, height_width

# The operation that PyTorch runs -> what it is called where it is asked for.
NOT_DETERMINISTIC = {
    "_adaptive_avg_pool2d_backward": "AdaptiveAvgPool2d to more than one pixel",
    "_adaptive_avg_pool3d_backward": "AdaptiveAvgPool3d to more than one pixel",
    "adaptive_max_pool2d_backward": "AdaptiveMaxPool2d",
    "avg_pool3d_backward": "AvgPool3d",
    "fractional_max_pool2d_backward": "FractionalMaxPool2d",
    "fractional_max_pool3d_backward": "FractionalMaxPool3d",
    "max_unpool2d": "MaxUnpool2d",
    "max_unpool3d": "MaxUnpool3d",
    "upsample_linear1d_backward": "linear interpolation",
    "upsample_bicubic2d_backward": "bicubic interpolation",
    "upsample_trilinear3d_backward": "trilinear interpolation",
    "_upsample_bilinear2d_aa_backward": "bilinear interpolation with antialias",
    "_upsample_bicubic2d_aa_backward": "bicubic interpolation with antialias",
    "reflection_pad1d_backward": "ReflectionPad1d",
    "reflection_pad2d_backward": "ReflectionPad2d",
    "reflection_pad3d_backward": "ReflectionPad3d",
    "grid_sampler_2d_backward": "grid_sample",
    "grid_sampler_3d_backward": "grid_sample",
    "nll_loss2d_forward": "NLLLoss of maps",
    "_ctc_loss_backward": "CTCLoss",
    "put_": "Tensor.put_",
    "histc": "torch.histc",
    "median.dim": "torch.median along a dimension",
}
REFUSED_BY_TORCH = " does not have a deterministic implementation"


class OperationNames(TorchDispatchMode):
    """Collects, while it is entered, the name of every operation, with and without its overload."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        packet = operation.overloadpacket.__name__
        self.names |= {packet, f"{packet}.{operation._overloadname}"}
        return operation(*arguments, **(keywords or {}))


def not_deterministic(network: nn.Module, image_size: ImageSize) -> list[str]:
    """What a training step of a network on the meta device reaches that is not deterministic.

    What is computed without a gradient, behind frozen weights, needs no backward pass.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # torch takes other ways then, if it has any
    try:
        with OperationNames() as seen:
            found = network.train()(torch.empty(2, 3, *height_width(image_size), device="meta"))
            outputs = [x for x in tree_leaves(found) if isinstance(x, Tensor) and x.requires_grad]
            torch.autograd.backward([x.float().sum() for x in outputs])
    except RuntimeError as error:  # some operations tell on the meta device already
        operation, refused, _ = str(error).partition(REFUSED_BY_TORCH)
        if not refused:
            raise
        return [operation]
    finally:
        torch.use_deterministic_algorithms(before)
    for parameter in network.parameters():
        parameter.grad = None
    return [words for name, words in NOT_DETERMINISTIC.items() if name in seen.names]
