"""deterministic=true is refused before a run on a GPU that PyTorch would stop."""

from collections.abc import Callable

import pytest
import torch
from pretended_cards import pretend_cards
from support import config
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.attention import ATTENTIONS
from senet_train.backbones import BACKBONES
from senet_train.config.schema import Placement
from senet_train.errors import InputError
from senet_train.networks.determinism import not_deterministic
from senet_train.networks.insertion import build_network
from senet_train.training.plan import make_plan


class Of(nn.Module):
    """A convolution, and then a function of its maps (B, 4, H, W)."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(3, 4, 3, padding=1), function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self.conv(images))


def unpooled(x: Tensor) -> Tensor:
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    return F.max_unpool2d(values, indices, 2)


def sampled(x: Tensor) -> Tensor:
    return F.grid_sample(x, x.new_zeros(len(x), 4, 4, 2), align_corners=False)


# What torch.use_deterministic_algorithms lists for CUDA, as far as a network of images can have it.
REFUSED: dict[str, Callable[[Tensor], Tensor]] = {
    "AdaptiveAvgPool2d to more than one pixel": nn.AdaptiveAvgPool2d((7, 7)),
    "AdaptiveMaxPool2d": nn.AdaptiveMaxPool2d(3),
    "AvgPool3d": nn.AvgPool3d(2),
    "FractionalMaxPool2d": nn.FractionalMaxPool2d(2, output_ratio=0.5),
    "linear interpolation": lambda x: F.interpolate(x.flatten(2), 7, mode="linear"),
    "bilinear interpolation with antialias": lambda x: F.interpolate(
        x, (7, 7), mode="bilinear", antialias=True
    ),
    "ReflectionPad1d": lambda x: F.pad(x.flatten(2), (1, 1), mode="reflect"),
    "ReflectionPad2d": nn.ReflectionPad2d(1),
    "grid_sample": sampled,
    "NLLLoss of maps": lambda x: F.cross_entropy(x, x.argmax(1)),
}
# Likewise, where torch itself tells on the meta device, by names of its own.
REFUSED_BY_TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "unpool": unpooled,
    "median": lambda x: x.flatten(2).median(2).values,
}
# What it lists as deterministic then, or does not list.
ALLOWED: dict[str, Callable[[Tensor], Tensor]] = {
    "one pixel": nn.AdaptiveAvgPool2d(1),
    "pools": lambda x: F.avg_pool2d(F.max_pool2d(x, 2), 2),
    "mean": lambda x: x.mean((2, 3)) + x.amax((2, 3)),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x: F.interpolate(x, (9, 9), mode="bilinear"),
    "replication": nn.ReplicationPad2d(1),
    "cumsum": lambda x: x.cumsum(1),
    "loss": lambda x: F.cross_entropy(x.mean((2, 3)), x.new_zeros(2, dtype=torch.long)),
    "without a gradient": lambda x: F.conv2d(
        x, F.adaptive_avg_pool2d(x.detach(), 3)[:1], padding=1
    ),
}


def found_in(function: Callable[[Tensor], Tensor]) -> list[str]:
    with torch.device("meta"):
        return not_deterministic(Of(function), 16)


@pytest.mark.parametrize("name", REFUSED)
def test_what_pytorch_lists_is_found(name: str) -> None:
    assert found_in(REFUSED[name]) == [name]


@pytest.mark.parametrize("name", REFUSED_BY_TORCH)
def test_what_pytorch_itself_refuses_is_found(name: str) -> None:
    [found] = found_in(REFUSED_BY_TORCH[name])
    assert name in found.lower()
    assert not torch.are_deterministic_algorithms_enabled()


def test_another_error_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        found_in(lambda x: x.view(7))


@pytest.mark.parametrize("name", ALLOWED)
def test_what_it_does_not_list_is_not_found(name: str) -> None:
    assert found_in(ALLOWED[name]) == []
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", ATTENTIONS)
def test_every_attention_is_deterministic(name: str) -> None:
    with torch.device("meta"):
        assert not_deterministic(nn.Sequential(nn.Conv2d(3, 64, 3), ATTENTIONS[name](64)), 16) == []


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == "resnet20" else pytest.mark.slow) for n in BACKBONES],
)
def test_every_backbone_is_deterministic(name: str) -> None:
    with torch.device("meta"):
        network, _ = build_network(
            BACKBONES[name], ATTENTIONS["se"], Placement(), num_classes=10, seed=0
        )
        assert not_deterministic(network, 64) == []


VGG = ("data=fake", "model=torchvision", "model.name=vgg11", "attention=none", "data.image_size=64")
DETERMINISTIC = (*VGG, "trainer.deterministic=true")


def test_vgg_is_refused_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cards(monkeypatch, (8, 6))
    with pytest.raises(InputError) as refused:
        make_plan(config(*DETERMINISTIC, "trainer.accelerator=gpu"))
    assert str(refused.value) == (
        "trainer.deterministic=true and this network has AdaptiveAvgPool2d to more than one "
        "pixel, which PyTorch cannot train deterministically on a GPU: choose "
        "trainer.deterministic=false, trainer.accelerator=cpu, or another network"
    )
    make_plan(config(*VGG, "trainer.accelerator=gpu"))
    make_plan(config(*DETERMINISTIC, "trainer.accelerator=cpu"))
    # Frozen below the pool, which then has no backward pass.
    make_plan(config(*DETERMINISTIC, "trainer.accelerator=gpu", "optim.frozen=backbone"))
