"""Attention into a part of a larger network, such as the backbone of a detector."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from senet_train.config import Placement
from senet_train.insertion import EVERYWHERE, Slot, insert
from senet_train.onednn import avoid_overruns
from senet_train.weave.part import open_part
from senet_train.weave.part import take_out_own_attention as take_out_own_attention


def insert_into(
    model: nn.Module,
    attention: Callable[[int], nn.Module],
    placement: Placement = EVERYWHERE,
    *,
    part: str = "backbone",
    seed: int = 0,
) -> list[Slot]:
    """Fill the slots that `placement` names in one part of the model, in place.

    `part` is `backbone` (without its feature pyramid), `aspp` (DeepLabV3's; it has the positions
    `standard`, behind the concatenated branches, and `post`, behind their projection) or the path
    of a module. `attention(channels)` makes a module, which is moved to the model's device, dtype
    and mode. Attention of the backbone's own stays. The slots are named by their paths in `model`.

    Raises InputError for a part that the model lacks or that has no fixed graph, CannotExist for a
    placement that the part lacks or an attention that does not fit it.
    """
    path, backbone = open_part(model, part)
    example = next(model.parameters())
    slots = insert(backbone, attention, placement, seed=seed)
    for slot in slots:
        backbone.get_submodule(slot.name).to(example).train(backbone.training)
    avoid_overruns(model)
    return [replace(slot, name=f"{path}.{slot.name}") for slot in slots]
