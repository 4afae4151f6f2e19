"""Which networks of a library take attention: a Markdown table.

    uv run scripts/compose_library.py torchvision|timm [resnet18 vgg11_bn ...]

Without names: every convolutional classifier of torchvision, a selection of timm's. Each with SE,
ECA and CBAM (ratio 4, `standard`), on two random images: modules of attention of its own that are
taken out; the number of insertions; parameters added; a training step, whose loss is finite and in
which every attention parameter has a gradient that is not zero; and, with identity=True in
evaluation and float32, the largest difference of logits to the network without attention.
"""

import argparse
import copy
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models
from torchvision.ops import StochasticDepth

from senet_train.attention import ATTENTIONS
from senet_train.backbones.slots import Backbone
from senet_train.errors import InputError
from senet_train.networks.bind import LIBRARIES
from senet_train.networks.insertion import insert
from senet_train.networks.libraries.torchvision import NOT_CONVOLUTIONAL

OF_TORCHVISION = [
    name
    for name in models.list_models(module=models)
    if name.partition("_")[0] not in NOT_CONVOLUTIONAL
]
OF_TIMM = [
    *("resnet50", "resnext50_32x4d", "resnext101_32x4d", "seresnet50", "legacy_senet154"),
    *("ecaresnet26t", "resnetrs50", "resnetv2_50", "res2net50_26w_4s", "dla34", "dpn68"),
    *("inception_v3", "inception_v4", "inception_resnet_v2", "xception41", "legacy_xception"),
    *("densenet121", "vgg11_bn", "cspdarknet53", "ese_vovnet19b_dw", "hrnet_w18_small"),
    *("regnetx_008", "regnety_008", "regnetz_b16", "repvgg_a0", "convnext_atto", "convnextv2_atto"),
    *("efficientnet_b0", "mobilenetv3_large_100", "mixnet_s", "ghostnet_100", "rexnet_100"),
    *("lcnet_100", "poolformer_s12", "convmixer_768_32", "pnasnet5large"),
]
EVERY = {"torchvision": OF_TORCHVISION, "timm": OF_TIMM}
KINDS = {"se": {"ratio": 4}, "eca": {}, "cbam": {"ratio": 4}}
SIZE = 96  # pixels; Inception-v3 allows no less than 75
NUM_CLASSES = 10


def main() -> None:
    """Print a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("library", choices=sorted(EVERY))
    parser.add_argument("names", nargs="*", metavar="NAME")
    asked = parser.parse_args()
    headings = [f"{kind}: parameters, step, identity" for kind in KINDS]
    print(f"| network | taken out | insertions | {' | '.join(headings)} |")
    print(f"|{'---|' * (len(KINDS) + 3)}", flush=True)
    for name in asked.names or EVERY[asked.library]:
        try:
            print(row(asked.library, name), flush=True)
        except InputError as error:
            print(f"| {name} | | {error} |{' |' * len(KINDS)}", flush=True)


def row(library: str, name: str) -> str:
    """One network with every kind."""
    torch.manual_seed(0)
    network = LIBRARIES[library](name)(NUM_CLASSES)
    taken_out = len(network.taken_out)
    open_branches(network)
    images = torch.randn(2, 3, SIZE, SIZE)
    state = copy.deepcopy(network.state_dict())
    cells = []
    for kind in KINDS:
        network.load_state_dict(state, strict=False)  # what a step of another kind has changed
        cells.append(cell(network, kind, images))
    num_slots = len(insert(network, nn.Identity))
    return f"| {name} | {taken_out} | {num_slots} | {' | '.join(cells)} |"


def open_branches(network: nn.Module) -> None:
    """A branch that is dropped for both images, or begins as zero, gives attention no gradient."""
    for module in network.modules():
        if isinstance(module, StochasticDepth):
            module.p = 0.0
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm) and not module.weight.any():
            nn.init.ones_(module.weight)  # the last norm of a branch in timm's ResNets


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
