"""The YOLO-style backbone: counts, numbers, SE on either side of SPPF, maps for a detector."""

from functools import partial

import pytest
import torch
from support import TINY, Result, count, randomise_norms
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones.csp_sppf import CSPSPPF, SPPF
from senet_train.config.schema import Placement
from senet_train.networks.insertion import insert

# YOLOv5s in its own summary: stem, a convolution and a block for each stage, SPPF.
YOLOV5S = [3_520, 18_560, 18_816, 73_984, 115_712, 295_424, 625_152, 1_180_672, 1_182_720, 656_896]


def test_parameters_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = CSPSPPF(10)
    layers = [network.stem, *(part for stage in network.body for part in stage), network.sppf]
    assert [count(part) for part in layers] == YOLOV5S
    assert count(network) == sum(YOLOV5S) + 513 * 10


def test_chained_pools_are_a_pyramid_of_5_9_13() -> None:
    part = SPPF(8).double().eval()
    randomise_norms(part)
    x = torch.randn(2, 8, 15, 15).double()
    with torch.no_grad():
        y = part.reduce(x)
        pools = [F.max_pool2d(y, size, 1, size // 2) for size in (5, 9, 13)]
        assert torch.equal(part(x), part.join(torch.cat([y, *pools], 1)))
        swapped = part.join(torch.cat([y, *reversed(pools)], 1))
    assert not torch.allclose(part(x), swapped)


def written_out(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """The three maps from the state dict alone, for the imagenet stem."""

    def layer(name: str, x: Tensor, stride: int = 1, padding: int = -1) -> Tensor:
        kernel = state[f"{name}.0.weight"]
        x = F.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2 if padding < 0 else padding)
        weight, bias, mean, variance = (
            state[f"{name}.1.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        x = (x - mean) / (variance + 1e-5).sqrt() * weight + bias
        return x * torch.sigmoid(x)

    x, maps = layer("stem", x, 2, 2), []
    for number, depth in enumerate((1, 2, 3, 1)):
        block = f"body.{number}.1"
        x = layer(f"body.{number}.0", x, 2)
        y = layer(f"{block}.through.0", x)
        for index in range(1, depth + 1):
            branch = f"{block}.through.{index}.branch"
            y = y + layer(f"{branch}.1", layer(f"{branch}.0", y))
        x = layer(f"{block}.join", torch.cat([y, layer(f"{block}.round", x)], 1))
        maps.append(x)
    y = layer("sppf.reduce", x)
    pools = [F.max_pool2d(y, size, 1, size // 2) for size in (5, 9, 13)]
    return [*maps[1:3], layer("sppf.join", torch.cat([y, *pools], 1))]


def test_maps_and_logits_are_what_is_written() -> None:
    network = CSPSPPF(7).double().eval()
    randomise_norms(network)
    x = torch.randn(2, 3, 96, 64).double()
    with torch.no_grad():
        maps = network.maps(x)
        expected = written_out(network.state_dict(), x)
        logits = F.linear(expected[-1].mean((2, 3)), network.fc.weight, network.fc.bias)
        torch.testing.assert_close(network(x), logits)
    torch.testing.assert_close(maps, expected)
    sizes = [(12, 8), (6, 4), (3, 2)]  # strides 8, 16, 32
    shapes = [(2, c, *size) for c, size in zip(network.map_channels, sizes, strict=True)]
    assert [tuple(found.shape) for found in maps] == shapes


@pytest.mark.parametrize("position", ["pre", "standard"])
def test_one_layer_before_or_after_sppf(position: str) -> None:
    network = CSPSPPF(3).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = network.maps(x)
        fourth = network.body(network.stem(x))
        [slot] = insert(
            network, partial(SqueezeExcite, ratio=16), Placement(stages=[5], position=position)
        )
        se = network.get_submodule(slot.name)
        expected = se(before[-1])
        if position == "pre":
            network.sppf.attend["pre"] = nn.Identity()
            expected = network.sppf(se(fourth))
            network.sppf.attend["pre"] = se
        after = network.maps(x)
    assert slot.name == f"sppf.attend.{position}"
    assert (slot.channels, slot.hidden) == (512, 32)
    assert torch.equal(after[-1], expected)
    assert not torch.equal(after[-1], before[-1])
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[1], before[1])


def test_small_images_keep_a_map() -> None:
    """The cifar stem's strides are a quarter of the other's."""
    network = CSPSPPF(10, stem="cifar").eval()
    sides = [found.shape[-1] for found in network.maps(torch.randn(1, 3, 32, 32))]
    assert sides == [16, 8, 4]


def test_it_trains(senet) -> None:
    """SE before SPPF as the tutorials have it, with a tiny run's data."""
    settings = [word for word in TINY if not word.startswith(("model", "trainer.max"))]
    where = ("model=se_csp_sppf", "placement.stages=[5]", "placement.position=pre")
    done: Result = senet(*settings, *where, "trainer.max_epochs=1")
    assert done.code == 0, done.err
    assert "se_csp_sppf-r4-pre-stages_5: " in done.err
