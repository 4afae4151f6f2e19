"""Put attention into the slots of a built backbone, without changing one of its weights.

The backbone is built and initialised first, under a generator keyed by the seed alone; each
attention module is initialised under one keyed by (seed, slot name). So with one seed every arm
has the same backbone, and arms that share a slot share that slot's weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from senet_train.backbones.slots import Backbone, Slots
from senet_train.config.schema import Placement
from senet_train.errors import CannotExist, InputError
from senet_train.keyed import forked_random
from senet_train.networks.graph.part import open_part
from senet_train.networks.graph.wrappers import refuse_wrapper
from senet_train.networks.onednn import avoid_overruns

EVERYWHERE = Placement()


@dataclass(frozen=True)
class Slot:
    """One filled slot: its module path, its stage, its channels, its bottleneck's width."""

    name: str
    stage: int
    channels: int
    hidden: int


def build_network(
    backbone: partial[Backbone],
    attention: Callable[[int], nn.Module],
    placement: Placement,
    *,
    num_classes: int,
    seed: int,
) -> tuple[Backbone, list[Slot]]:
    """A backbone with attention in its slots, and the list of those slots.

    Raises InputError for a backbone that cannot be built with its options, and CannotExist for
    stages that it lacks or an attention that does not fit it.
    """
    with forked_random("backbone", seed):
        try:
            network = backbone(num_classes)
        except InputError:
            raise
        except ValueError as error:  # a rule and a way out, as in build_attention
            raise InputError(f"model.{error}") from error
    return network, insert(network, attention, placement, seed=seed)


def insert(
    network: Backbone,
    attention: Callable[[int], nn.Module],
    placement: Placement = EVERYWHERE,
    *,
    seed: int = 0,
) -> list[Slot]:
    """Fill the slots that `placement` names; the others stay Identity.

    `attention(channels)` makes a module: `partial(SqueezeExcite, ratio=16)`. It is moved to the
    network's device, dtype and mode; what a slot had before is replaced. Raises InputError for a
    network without slots, CannotExist for what does not fit, and then has filled none.
    """
    refuse_without_slots(network)
    chosen = chosen_slots(network, placement)  # first, for `placement.modules` may add slots
    names = {module: name for name, module in network.named_modules()}
    slots, modules = [], []
    for stage, block, position in chosen:
        channels = block.slot_channels[position]
        name = f"{names[block]}.attend.{position}"
        with forked_random("attention", seed, name):
            module = build_attention(attention, channels)
        modules.append(module)
        slots.append(Slot(name, stage, channels, int(getattr(module, "hidden", 0))))
    refuse_shared(network, modules)
    like = next((p for p in network.parameters() if p.is_floating_point()), None)
    for (_, block, position), module in zip(chosen, modules, strict=True):
        block.attend[position] = module.train(network.training)
        if like is not None:
            module.to(like)
    avoid_overruns(network)
    return slots


def refuse_without_slots(network: object) -> None:
    """Raises InputError for what is no network with slots: it must be woven, or unwrapped."""
    if isinstance(network, Backbone):
        return
    if isinstance(network, nn.Module):
        refuse_wrapper(network)
    raise InputError(
        f"{type(network).__name__} has no slots for attention: call network = weave(network) "
        "first, or insert_into(model, attention, part=...) for a part of a larger model"
    )


def refuse_shared(network: nn.Module, modules: Sequence[nn.Module]) -> None:
    """Raises InputError for attention that lies in the network already, or in two slots."""
    seen = {id(inside) for inside in network.modules()}
    for module in modules:
        parts = {id(inside) for inside in module.modules()}
        if parts & seen:
            raise InputError(
                f"attention(channels) has returned a {type(module).__name__} that shares modules "
                "with another place of the network: return a new one at every call"
            )
        seen |= parts


def chosen_slots(network: Backbone, placement: Placement) -> list[tuple[int, Slots, str]]:
    """Stage, unit and position of every slot to fill. Raises CannotExist if there is none.

    The position `stage` is `post` of a stage's last unit. A unit that lacks the position gets no
    attention: not every block of a MobileNet has a shortcut.
    """
    last_only = placement.position == "stage"
    position: str = "post" if last_only else placement.position
    chosen = [
        (stage, unit, position)
        for stage, units in chosen_stages(network, placement).items()
        for unit in units[-1 if last_only else 0 :]
        if position in unit.slot_channels
    ]
    if not chosen:
        raise CannotExist(
            f"placement.position={placement.position}: no unit of the chosen stages has it, "
            "choose another"
        )
    wide = [c for c in chosen if c[1].slot_channels[position] >= placement.min_channels]
    if not wide:
        widest = max(unit.slot_channels[position] for _, unit, _ in chosen)
        raise CannotExist(
            f"placement.min_channels={placement.min_channels} leaves no layer: the widest of "
            f"the chosen stages has {widest} channels, choose placement.min_channels <= {widest}"
        )
    return wide


def canonical_placement(network: Backbone, placement: Placement) -> Placement:
    """The one way to write this placement, for the identity of a run.

    Stages are a list, `min_channels` is that of the narrowest layer it keeps (1 if it keeps all),
    and the part has its one name.
    """
    every = chosen_slots(network, replace(placement, min_channels=1))
    kept = chosen_slots(network, placement)
    narrowest = min(block.slot_channels[position] for _, block, position in kept)
    stages = sorted({stage for stage, _, _ in every})
    part = "auto" if placement.part == "auto" else network.part_name(placement.part)
    return replace(
        placement,
        stages=stages,
        min_channels=1 if len(kept) == len(every) else narrowest,
        part=part,
    )


def chosen_stages(network: Backbone, placement: Placement) -> dict[int, Sequence[Slots]]:
    """The stages to fill and their units, in order. Raises CannotExist for one that is missing."""
    units = units_of(network, placement)
    present = list(units)
    if placement.stages == "all":
        wanted = present
    elif placement.stages == "but_last":
        wanted = present[:-1]
    else:
        wanted = sorted(set(placement.stages))
    if not wanted or not set(wanted) <= set(present):
        raise CannotExist(
            f"placement.stages={placement.stages}: the network has stages {present}: "
            "choose some of them, or all"
        )
    return {stage: units[stage] for stage in wanted}


def units_of(network: Backbone, placement: Placement) -> Mapping[int, Sequence[Slots]]:
    """The units that attention may go into, by stage. Raises CannotExist."""
    try:
        part = network if placement.part == "auto" else network.part(placement.part)
        return part.by_stage() if placement.modules == "auto" else part.units_at(placement.modules)
    except ValueError as error:
        raise CannotExist(str(error)) from error


def build_attention(attention: Callable[[int], nn.Module], channels: int) -> nn.Module:
    """One attention module; its own ValueError (a rule and a way out) becomes a CannotExist."""
    if isinstance(attention, nn.Module):
        raise InputError(
            f"attention is a {type(attention).__name__} and must be what makes one for a number "
            f"of channels: partial({type(attention).__name__}, ...)"
        )
    try:
        module = attention(channels)
    except ValueError as error:
        raise CannotExist(str(error)) from error
    if not isinstance(module, nn.Module):
        raise InputError(
            f"attention({channels}) has returned {module!r:.80}, which is no nn.Module"
        )
    return module


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
    before = dict(model.named_parameters())
    path, backbone = open_part(model, part)
    after = {id(parameter) for parameter in model.parameters()}
    assert {*map(id, before.values())} == after, "opening has changed the model's parameters"
    slots = insert(backbone, attention, placement, seed=seed)
    avoid_overruns(model)
    return [replace(slot, name=f"{path}.{slot.name}") for slot in slots]
