"""Under CUDA's autocast a map keeps its type: no attention makes all that follows it float32.

CUDA's autocast computes other functions in float32 than the CPU's. Here it acts on fake tensors,
which have a device and a type and no values: no GPU is needed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from senet_train.attention import ATTENTIONS
from senet_train.attention.frequency_channel import cosines
from senet_train.attention.gate import GATES
from senet_train.attention.squeeze_excite import SQUEEZES
from senet_train.backbones import BACKBONES
from senet_train.config.schema import Placement
from senet_train.networks.insertion import build_network

# What else than the defaults decides which functions are called.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "se": [
        *({"squeeze": squeeze} for squeeze in SQUEEZES),
        *({"gate": gate} for gate in GATES if gate != "open"),
    ],
    "ge": [{"extent": extent} for extent in (2, 4, 8)],
    "ge_theta": [{"extent": extent} for extent in (2, 4)],
    "ge_theta_plus": [{"extent": 4, "bias": True}],
    "scse": [{"combine": "add"}],
}
START_OTHERWISE = {"none", "simam", "ge", "gc", "nonlocal"}  # refuse to, or always do


@pytest.fixture(autouse=True)
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Autocast believes that there is a GPU; what is cached of fake tensors is forgotten."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *arguments: True)
    cosines.cache_clear()
    yield
    cosines.cache_clear()


@contextmanager
def on_fake_gpu(dtype: torch.dtype) -> Iterator[None]:
    """For the block, new tensors are fake ones on a GPU, under its autocast."""
    with FakeTensorMode(), torch.device("cuda"), torch.autocast("cuda", dtype):
        yield


def test_autocast_acts_as_on_a_gpu() -> None:
    """Negative control: by CUDA's list of functions, this one is computed in float32."""
    with on_fake_gpu(torch.bfloat16):
        image = torch.ones(1, 3, 8, 8)
        half = nn.Conv2d(3, 4, 3)(image)
        assert half.is_cuda
        assert half.dtype == torch.bfloat16
        assert F.interpolate(half, (8, 8)).dtype == torch.float32


def variants(name: str) -> list[Callable[..., nn.Module]]:
    """The attention with its defaults, with other options, and started as the identity."""
    also = [] if name in START_OTHERWISE else [{"identity": True}]
    return [partial(ATTENTIONS[name], **options) for options in ({}, *OPTIONS.get(name, []), *also)]


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", ATTENTIONS)
def test_an_attention_keeps_the_type_of_its_map(name: str, dtype: torch.dtype) -> None:
    with on_fake_gpu(dtype):
        for attention in variants(name):
            module = attention(64)
            for given in (dtype, torch.float32):  # a block's map, and a network's first ones
                x = torch.ones(2, 64, 16, 16, dtype=given)
                y = module(x)
                assert (y.dtype, y.device, y.shape) == (given, x.device, x.shape), attention


def make_fake(network: nn.Module) -> None:
    """Replace every weight and buffer by one of the device and the mode that hold now."""
    for module in network.modules():
        for key, weight in module._parameters.items():
            if weight is not None:
                module._parameters[key] = nn.Parameter(torch.empty(weight.shape))
        for key, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[key] = torch.empty(buffer.shape, dtype=buffer.dtype)


SMALLEST = ("resnet8", "preact_resnet20", "mobilenet_v1")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in SMALLEST else pytest.mark.slow) for n in BACKBONES],
)
def test_a_backbone_keeps_the_type_of_its_maps(name: str) -> None:
    """Every module that is given a map of bfloat16 gives one, with attention in its blocks."""
    widened: list[str] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        maps = [x for x in (inputs[0], output) if isinstance(x, Tensor) and x.ndim == 4]
        if [x.dtype for x in maps] == [torch.bfloat16, torch.float32]:
            widened.append(type(module).__name__)

    network, _ = build_network(
        partial(BACKBONES[name]),
        partial(ATTENTIONS["ge_theta"], extent=2),
        Placement(),
        num_classes=10,
        seed=0,
    )
    with on_fake_gpu(torch.bfloat16):
        make_fake(network)
        for module in network.modules():
            module.register_forward_hook(note)
        logits = network(torch.ones(2, 3, 64, 64))
    assert logits.dtype == torch.bfloat16
    assert widened == []
