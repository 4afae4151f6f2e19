"""The operators that networks call, with their shapes: networks on the meta device, watched.

Shapes: B batch, H = W = side.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import torch
from compose_library import OF_TIMM, OF_TORCHVISION
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import models

from overruns.cases import Case
from senet_train.attention import ATTENTIONS
from senet_train.backbones import BACKBONES
from senet_train.backbones.slots import Backbone
from senet_train.config.options import check_options
from senet_train.config.resolvers import stem_for
from senet_train.errors import CannotExist
from senet_train.networks.heads import detectors, segmenters
from senet_train.networks.heads.detectors import detector_on
from senet_train.networks.heads.segmenters import segmenter_on
from senet_train.networks.insertion import insert
from senet_train.networks.libraries.build import build_on_current_device

# Parts of operators' names.
KINDS = ("convolution", "pool", "upsample", "norm", "mm", "mean", "amax", "grid_sampler")
SIDES = (8, 32, 64, 128, 224)  # pixels of images: conf/data, and what they may be set to
HOSTS = (("resnet20", 32), ("resnet18", 64), ("mobilenet_v1", 224))  # of every attention
CLASSES = 10

Built = tuple[str, int, Callable[[], nn.Module]]  # a name, pixels, how it is made


class Recorder(TorchDispatchMode):
    """Keeps the calls of the operators of KINDS."""

    def __init__(self) -> None:
        super().__init__()
        self.cases: list[Case] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if any(kind in name for kind in KINDS) and "backward" not in name:
            self.cases.append({"op": name, "args": [encoded(value) for value in args]})
        return func(*args, **(kwargs or {}))


def encoded(value: Any) -> Any:
    """What JSON can say of an argument."""
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape)}
    if isinstance(value, list | tuple):
        return [encoded(one) for one in value]
    return value


def recorded(batch: int, quick: bool) -> Iterator[Case]:
    """The calls of every network, of one that cannot be run a line on standard error."""
    for name, side, build in networks(quick):
        sizes = {batch, 16} if side <= 32 and not quick else {batch}
        for size in sizes:
            try:
                yield from calls(build, size, side)
            except (RuntimeError, ValueError, TypeError, CannotExist) as error:
                print(f"{name}, {side} px: {str(error).splitlines()[0]}", file=sys.stderr)
                break


def calls(build: Callable[[], nn.Module], batch: int, side: int) -> list[Case]:
    """The calls of one forward pass in training."""
    recorder = Recorder()
    network = without_numbers(build)
    with torch.no_grad(), recorder:
        network(torch.zeros(batch, 3, side, side, device="meta"))
    return recorder.cases


def without_numbers(build: Callable[[], nn.Module]) -> nn.Module:
    """The network on the meta device."""
    with torch.device("meta"):
        return build_on_current_device(build)


def networks(quick: bool) -> Iterator[Built]:
    """All there are, or in a few minutes the smaller of ours."""
    found = chain(classifiers(), attentions(), tasks(), others())
    return filter(is_quick, found) if quick else found


def is_quick(built: Built) -> bool:
    """Whether its maps are small, or few."""
    name, side, _ = built
    small = name in ("resnet20", "resnet18", "mobilenet_v1", "shufflenet_v1", "preact_resnet20")
    return (small and side in (32, 64)) or name.startswith("resnet20 ")


def classifiers() -> Iterator[Built]:
    """Our backbones at every size."""
    for name, constructor in BACKBONES.items():
        for side in SIDES:
            yield name, side, partial(backbone, constructor, side)


def backbone(constructor: Callable[..., Backbone], side: int) -> Backbone:
    """With the stem for its images."""
    full = check_options(constructor, {}, "model")
    options = {"stem": stem_for(side)} if "stem" in full else {}
    return constructor(CLASSES, **options)


def attentions() -> Iterator[Built]:
    """Every attention in networks of ours, with the ratio 4 and its own."""
    for host, side in HOSTS:
        for name, attention in ATTENTIONS.items():
            ratios = (4, 16) if "ratio" in check_options(attention, {}, "attention") else (None,)
            for ratio in ratios:
                options = {"ratio": ratio} if ratio else {}
                build = partial(with_attention, host, side, partial(attention, **options))
                yield f"{host} {name} {ratio or ''}", side, build


def with_attention(host: str, side: int, attention: Callable[[int], nn.Module]) -> Backbone:
    """One of ours with attention in all its blocks."""
    network = backbone(BACKBONES[host], side)
    insert(network, attention)
    return network


def tasks() -> Iterator[Built]:
    """The heads of segmentation and of detection on bodies of ours, and torchvision's."""
    for name, constructor in BACKBONES.items():
        for side, add_head in ((64, segmenter_on), (64, detector_on), (128, segmenter_on)):
            build = partial(with_head, add_head, constructor, side)
            yield f"{name} {add_head.__name__}", side, build
    for name in models.list_models(module=models.segmentation):
        yield name, 128, partial(segmenters.build, name, CLASSES)
    for name in models.list_models(module=models.detection):
        if not name.startswith(detectors.NOT_FOR_BOXES):
            yield name, 128, partial(detectors.build, name, CLASSES)


def with_head(
    add_head: Callable[[Backbone, int], nn.Module], constructor: Callable[..., Backbone], side: int
) -> nn.Module:
    """A backbone of ours with a task's head."""
    return add_head(backbone(constructor, side), CLASSES)


def others() -> Iterator[Built]:
    """The libraries' classifiers at the size they are for."""
    for name in OF_TORCHVISION:
        yield name, side_of(name), partial(models.get_model, name, weights=None, **no_start(name))
    for name in OF_TIMM:
        yield f"timm {name}", side_of(name), partial(of_timm, name)


def side_of(name: str) -> int:
    """Inception's image is larger than the others'."""
    return 299 if "inception_v" in name else 224


def no_start(name: str) -> dict[str, bool]:
    """Two of torchvision draw their first weights slowly unless told not to."""
    return {"init_weights": False} if name in ("googlenet", "inception_v3") else {}


def of_timm(name: str) -> nn.Module:
    """One of timm's, if it is installed."""
    import timm

    network: nn.Module = timm.create_model(name)
    return network
