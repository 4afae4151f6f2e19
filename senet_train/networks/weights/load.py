"""Load weights into a network without slots: what fits, what is new, and a line on both."""

import logging
from dataclasses import dataclass

import torch
from torch import nn

from senet_train.errors import InputError
from senet_train.networks.weights.find import Weights
from senet_train.networks.weights.read import Shapes
from senet_train.networks.weights.refused import LONGEST_REASON
from senet_train.networks.weights.unwrap import common_prefix

log = logging.getLogger("senet_train")

ATTEND = ".attend."  # in the names of all tensors inside our slots


@dataclass(frozen=True)
class Match:
    """Names of tensors: those that are loaded, and those that keep their random initialisation.

    In the file `prefix` stands before them.
    """

    loaded: list[str]
    new: list[str]
    left_out: list[str]  # tensors of the file that the network does not have
    prefix: str

    def report(self, source: str) -> str:
        """`102 of 104 tensors loaded from FILE; new: fc.weight, fc.bias`."""
        words = [f"{len(self.loaded)} of {len(self.loaded) + len(self.new)} tensors loaded"]
        words[0] += f" from {source}"
        words += [f"new: {', '.join(self.new)}"] if self.new else []
        heads = sorted({name.partition(".")[0] for name in self.left_out})
        words += [f"left out: {', '.join(heads)}"] if heads else []
        return "; ".join(words)


def match(network: nn.Module, given: Shapes, source: str, left_out: tuple[str, ...]) -> Match:
    """Compare names and shapes; `left_out` are prefixes of tensors that need not be loaded.

    Only the last layer may be missing, or have another number of classes; BatchNorm's count of
    batches, which old files lack, may be missing. Raises InputError for any other difference.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    head = f"{last_layer(network)}."
    prefix = common_prefix(wanted, given, f"model.pretrained={source}")
    outside = [name for name in given if not name.startswith(prefix)]
    given = {n.removeprefix(prefix): shape for n, shape in given.items() if n.startswith(prefix)}
    names = dict.fromkeys((*wanted, *given))
    loaded = [name for name in names if wanted.get(name) == given.get(name)]
    new = [name for name in wanted if name.startswith(head) and name not in loaded]
    ignored = [name for name in given if name.startswith(left_out) and name not in wanted]
    counts = [name for name in wanted if name.endswith(".num_batches_tracked")]
    for name in names:
        here, there = wanted.get(name), given.get(name)
        other_classes = name in new and (there is None or (here and here[1:] == there[1:]))
        uncounted = name in counts and there is None
        if name not in (*loaded, *ignored) and not other_classes and not uncounted:
            what = f"{type(network).__name__}: {name[:LONGEST_REASON]!r}"
            raise misfit(what, here, there, source)
    return Match(loaded, new, [*ignored, *outside], prefix)


def misfit(what: str, here: object, there: object, source: str) -> InputError:
    """The error for a tensor that the network has in another shape, or not at all."""
    if here is None and ATTEND in what:
        return InputError(
            f"model.pretrained={source} does not fit {what} is of attention, which would not come "
            "along: give weights of a network without, trained with attention=none"
        )
    return InputError(
        f"model.pretrained={source} does not fit {what} is {there or 'missing'} there and "
        f"{here or 'missing'} in the network: choose the model that the weights are of"
    )


def load(network: nn.Module, weights: Weights, left_out: tuple[str, ...]) -> None:
    """Copy the weights into a network that has no slots yet, and log what was loaded.

    On the meta device their shapes are compared, if they are known, and nothing is read. Raises
    InputError.
    """
    if weights.read is None:
        return
    if next(network.parameters()).is_meta:
        if weights.shapes is not None:
            match(network, weights.shapes, weights.source, left_out)
        return
    given = weights.read()
    shapes = {name: tuple(tensor.shape) for name, tensor in given.items()}
    found = match(network, shapes, weights.source, left_out)
    state = network.state_dict()
    with torch.no_grad():
        for name in found.loaded:
            state[name].copy_(given[found.prefix + name])
    checked = f"; sha256 {weights.sha256}" if weights.sha256 else ""
    log.info(found.report(weights.source) + checked)


def last_layer(network: nn.Module) -> str:
    """The path of the layer that makes the logits: the last one that has parameters."""
    *_, (name, _) = network.named_parameters()
    return name.rpartition(".")[0]
