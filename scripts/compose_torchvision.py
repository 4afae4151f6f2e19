"""Which of torchvision's networks take attention: a Markdown table.

    uv run scripts/compose_torchvision.py [resnet18 vgg11_bn ...]

Without names: every convolutional classifier. Each with SE, ECA and CBAM (ratio 4, `standard`), on
two random images: the number of insertions; parameters added; a training step, whose loss is finite
and in which every attention parameter has a gradient that is not zero; and, with identity=True in
evaluation and float32, the largest difference of logits to the network without attention.
"""

import argparse
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models
from torchvision.ops import StochasticDepth

from senet_train.attention import ATTENTIONS
from senet_train.backbones.slots import Backbone
from senet_train.errors import InputError
from senet_train.insertion import insert
from senet_train.weave.torchvision_networks import NOT_CONVOLUTIONAL, torchvision_network

KINDS = {"se": {"ratio": 4}, "eca": {}, "cbam": {"ratio": 4}}
SIZE = 96  # pixels; Inception-v3 allows no less than 75
NUM_CLASSES = 10


def main() -> None:
    """Print a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", default=every_name())
    names = parser.parse_args().names
    headings = [f"{kind}: parameters, step, identity" for kind in KINDS]
    print(f"| network | insertions | {' | '.join(headings)} |")
    print(f"|{'---|' * (len(KINDS) + 2)}", flush=True)
    for name in names:
        try:
            print(row(name), flush=True)
        except InputError as error:
            print(f"| {name} | {error} |{' |' * len(KINDS)}", flush=True)


def every_name() -> list[str]:
    """All but those whose attention is over tokens."""
    names = models.list_models(module=models)
    return [name for name in names if name.partition("_")[0] not in NOT_CONVOLUTIONAL]


def row(name: str) -> str:
    """One network with every kind."""
    torch.manual_seed(0)
    network = torchvision_network(name)(NUM_CLASSES)
    for module in network.modules():
        if isinstance(module, StochasticDepth):
            module.p = 0.0  # a branch that is dropped for both images has no gradient
    images = torch.randn(2, 3, SIZE, SIZE)
    cells = [cell(network, kind, images) for kind in KINDS]
    num_slots = len(insert(network, nn.Identity))
    return f"| {name} | {num_slots} | {' | '.join(cells)} |"


def cell(network: Backbone, kind: str, images: torch.Tensor) -> str:
    """`87,040, ok, 0.0`."""
    make = partial(ATTENTIONS[kind], **KINDS[kind])
    insert(network, nn.Identity)
    before = logits(network, images)
    insert(network, partial(make, identity=True))
    difference = float((logits(network, images) - before).abs().max())
    paths = [slot.name for slot in insert(network, make)]
    added = [p for path in paths for p in network.get_submodule(path).parameters()]
    return f"{sum(p.numel() for p in added):,}, {step(network, added, images)}, {difference}"


def logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """In evaluation."""
    with torch.no_grad():
        return network.eval()(images)


def step(network: nn.Module, added: list[nn.Parameter], images: torch.Tensor) -> str:
    """One of SGD: `ok`, or what was wrong with it."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    loss = F.cross_entropy(network.train()(images), torch.arange(len(images)))
    loss.backward()
    without = sum(p.grad is None or not p.grad.any() for p in added)
    optimizer.step()
    optimizer.zero_grad()
    if not loss.isfinite():
        return f"loss {loss.item()}"
    return f"{without} of {len(added)} without gradient" if without else "ok"


if __name__ == "__main__":
    main()
