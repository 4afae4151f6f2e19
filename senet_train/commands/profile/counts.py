"""What is measured of one network: operations, insertion points, bytes kept for backward."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from senet_train.config.image_size import ImageSize
from senet_train.networks.cost import POOLS, SCALES, count_operations, products
from senet_train.networks.insertion import Slot

FEW, MORE = 2, 4  # batch sizes: what does not grow with the batch cancels in the difference


def saved_bytes_per_image(network: nn.Module, images: Tensor, context: Callable[[], Any]) -> int:
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


@dataclass(frozen=True)
class AttentionOperations:
    """Multiply-adds inside attention for one image. SE: C H W, 2 C R and C H W a layer."""

    pool: int
    layers: int
    scale: int


@dataclass(frozen=True)
class Points:
    """Insertion points of one stage that are alike; `hidden` is 0 where there is no bottleneck."""

    stage: int
    channels: int
    hidden: int
    names: list[str]


def attention_operations(
    network: nn.Module, slots: Sequence[Slot], image_size: ImageSize
) -> AttentionOperations:
    """Counted on the meta device, where `network` must be, by the counter of the run's record."""
    per_module = count_operations(network, image_size)
    inside = [per_module.get(f"{type(network).__name__}.{slot.name}", {}) for slot in slots]
    return AttentionOperations(
        pool=sum(operators.get(kind, 0) for operators in inside for kind in POOLS),
        layers=sum(map(products, inside)),
        scale=sum(operators.get(kind, 0) for operators in inside for kind in SCALES),
    )


def insertion_points_of(slots: Sequence[Slot]) -> list[Points]:
    """Every insertion point, in the network's order."""
    alike = groupby(slots, lambda slot: (slot.stage, slot.channels, slot.hidden))
    return [Points(*key, [slot.name for slot in group]) for key, group in alike]
