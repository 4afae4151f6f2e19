"""What a training forward keeps for the backward pass, beside the weights.

Shapes: B batch, H = W = image_size.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

FEW, MORE = 2, 4  # batch sizes: what does not grow with the batch cancels in the difference


def bytes_an_image(network: nn.Module, images: Tensor, context: Callable[[], Any]) -> int:
    """Bytes that every further image adds to what is saved, itself included; `images` are 4.

    `context` is the autocast of training. Each storage counts once, however often it is saved.
    What an operation keeps to itself and does not save through autograd is not seen: in the folded
    kernel that is B x C numbers for each gate.
    """
    training = network.training
    few, more = (saved_bytes(network.train(), images[:n].clone(), context) for n in (FEW, MORE))
    network.train(training)
    return (more - few) // (MORE - FEW)


def saved_bytes(network: nn.Module, images: Tensor, context: Callable[[], Any]) -> int:
    """Of all storages saved in one forward pass but those of parameters and buffers."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with context(), saved_tensors_hooks(note, lambda tensor: tensor):
        out = network(images)
    own = {t.untyped_storage().data_ptr() for t in network.state_dict().values()}
    del out  # until here its graph held every storage, so that no address came twice
    return sum(size for address, size in kept.items() if address not in own)
