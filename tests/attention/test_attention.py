"""The SE block against independent truths, and a contract for every attention in conf/."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from support import CONF
from timm.layers import SEModule
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from senet_train.attention import ATTENTIONS
from senet_train.attention.controls import ShuffledSqueezeExcite
from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.config.options import defaults
from senet_train.config.resolvers import register_resolvers

ATTENTION_FILES = sorted((CONF / "attention").glob("*.yaml"))


def test_conf_has_attentions() -> None:
    assert {file.stem for file in ATTENTION_FILES} == set(ATTENTIONS)


@pytest.fixture(params=ATTENTION_FILES, ids=lambda file: file.stem)
def attention(request: pytest.FixtureRequest) -> nn.Module:
    """Each option of conf/attention, built for 32 channels."""
    options = composed(request.param.stem)
    return ATTENTIONS[options.pop("name")](32, **options)


def composed(name: str) -> dict[str, Any]:
    """`attention=name` as the command line gives it."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [f"attention={name}"])
    return OmegaConf.to_container(config.attention, resolve=True)


@pytest.mark.parametrize("name", [file.stem for file in ATTENTION_FILES])
def test_conf_says_what_the_code_says(name: str) -> None:
    """An attention used alone, without conf/, is the same one; all have the top-level ratio."""
    options = composed(name)
    usual = defaults(ATTENTIONS[options.pop("name")])
    assert options.pop("ratio", 16) == 16
    usual.pop("ratio", None)
    assert options == usual


def test_shape_and_gradients(attention: nn.Module) -> None:
    x = torch.randn(3, 32, 5, 7, requires_grad=True)
    y = attention(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name


def test_images_mix_in_the_shuffled_control_alone(attention: nn.Module) -> None:
    attention.eval()
    # Of 3 images, a fresh SE sometimes sees none: its 2 hidden units are off, every gate is 1/2.
    x = torch.randn(16, 32, 4, 4)
    alone = torch.cat([attention(image[None]) for image in x])
    mixed = not torch.allclose(attention(x), alone, rtol=1.3e-6, atol=1e-5)
    assert mixed == isinstance(attention, ShuffledSqueezeExcite)


def test_keyword_only_options() -> None:
    for constructor in ATTENTIONS.values():
        _, *options = inspect.signature(constructor).parameters.values()
        assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in options)
        with pytest.raises(TypeError):
            constructor(32, no_such_option=1)


def numpy_squeeze_excite(x: np.ndarray, w1: np.ndarray, w2: np.ndarray) -> np.ndarray:
    z = x.mean((2, 3))
    hidden = np.maximum(z @ w1.T, 0)
    s = 1 / (1 + np.exp(-hidden @ w2.T))
    return x * s[:, :, None, None]


@pytest.mark.parametrize(("channels", "ratio"), [(64, 16), (16, 16), (100, 7), (32, 1)])
def test_equals_numpy(channels: int, ratio: int) -> None:
    block = SqueezeExcite(channels, ratio=ratio).double()
    x = torch.randn(4, channels, 5, 6, dtype=torch.float64)
    w1, w2 = (layer.weight.detach().numpy() for layer in (block.reduce, block.expand))
    expected = numpy_squeeze_excite(x.numpy(), w1, w2)
    np.testing.assert_allclose(block(x).detach().numpy(), expected, rtol=0, atol=1e-15)
    # Negative control: the check would notice another nonlinearity.
    block.reduce.weight.data.neg_()
    assert np.abs(block(x).detach().numpy() - expected).max() > 1e-3


class Tutorial(nn.Module):
    """The folk version: pool to 1x1, two bias-free Linear layers, ReLU, Sigmoid, multiply."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        hidden = int(channels / reduction)
        self.first = nn.Linear(channels, hidden, bias=False)
        self.second = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        s = self.pool(x).flatten(1)
        s = torch.sigmoid(self.second(torch.relu(self.first(s))))
        return x * s[:, :, None, None].expand_as(x)


def test_equals_the_tutorial() -> None:
    ours, theirs = SqueezeExcite(48, ratio=5), Tutorial(48, 5)
    theirs.first.load_state_dict(ours.reduce.state_dict())
    theirs.second.load_state_dict(ours.expand.state_dict())
    x = torch.randn(2, 48, 6, 6)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_equals_libraries(library: str) -> None:
    ours = SqueezeExcite(64, ratio=16, bias=True)
    libraries = {"torchvision": SqueezeExcitation(64, 4), "timm": SEModule(64, rd_channels=4)}
    theirs = libraries[library]
    for mine, name in ((ours.reduce, "fc1"), (ours.expand, "fc2")):
        layer = theirs.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        layer.weight.data = mine.weight.data[:, :, None, None]
        assert layer.bias is not None
        layer.bias.data = mine.bias.data
    x = torch.randn(3, 64, 8, 8)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(("channels", "ratio", "hidden"), [(64, 16, 4), (64, 32, 2), (100, 7, 14)])
def test_hidden_is_never_rounded(channels: int, ratio: int, hidden: int) -> None:
    block = SqueezeExcite(channels, ratio=ratio)
    assert block.hidden == block.reduce.out_features == hidden
    assert sum(p.numel() for p in block.parameters()) == 2 * channels * hidden


@pytest.mark.parametrize(
    ("ratio", "message"),
    [
        (32, "ratio=32 leaves no hidden channel for a layer of 16 channels: choose ratio <= 16"),
        (0, "ratio=0 is no reduction ratio: choose ratio >= 1"),
    ],
)
def test_impossible_ratio(ratio: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SqueezeExcite(16, ratio=ratio)
