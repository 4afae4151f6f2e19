"""Every attention's formula and parameters against numpy, timm and the papers' closed forms."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from support import count
from timm.layers import (
    EcaModule,
    EffectiveSEModule,
    GatherExcite,
    GlobalContext,
)
from timm.layers.cbam import CbamModule
from timm.layers.coord_attn import CoordAttn
from timm.layers.non_local_attn import NonLocalAttn
from torch import nn

from senet_train import attention as ours
from senet_train.attention import frequency_channel
from senet_train.attention.efficient_channel import adaptive_kernel
from senet_train.backbones import BACKBONES
from senet_train.config.schema import Placement
from senet_train.networks.cost import measure_cost
from senet_train.networks.insertion import build_network

CHANNELS, RATIO = 64, 16
HIDDEN = CHANNELS // RATIO
SE_WEIGHTS = 2 * CHANNELS * HIDDEN

# Trainable values on C channels with R hidden ones, as the papers count them.
CLOSED_FORMS = {
    "none": (ours.NoAttention, 0),
    "static": (ours.StaticGate, CHANNELS),
    "shuffled": (partial(ours.ShuffledSqueezeExcite, ratio=RATIO), SE_WEIGHTS),
    "se": (partial(ours.SqueezeExcite, ratio=RATIO), SE_WEIGHTS),
    "se bias": (
        partial(ours.SqueezeExcite, ratio=RATIO, bias=True),
        SE_WEIGHTS + CHANNELS + HIDDEN,
    ),
    "se none": (partial(ours.SqueezeExcite, ratio=RATIO, squeeze="none"), SE_WEIGHTS),
    "ese": (ours.EffectiveSqueezeExcite, CHANNELS**2 + CHANNELS),
    "eca": (ours.EfficientChannelAttention, 3),
    "fca": (partial(ours.FrequencyChannelAttention, ratio=RATIO), SE_WEIGHTS),
    "gct": (ours.GatedChannelTransformation, 3 * CHANNELS),
    "srm": (ours.StyleRecalibration, 4 * CHANNELS),
    "cbam": (partial(ours.ConvolutionalBlockAttention, ratio=RATIO), SE_WEIGHTS + 98),
    "coord": (
        partial(ours.CoordinateAttention, ratio=RATIO),
        3 * CHANNELS * HIDDEN + 2 * HIDDEN,
    ),
    "ge": (ours.GatherExcite, 0),
    "ge_theta": (ours.GatherExciteTheta, 11 * CHANNELS * 3),
    "ge_theta_plus": (
        partial(ours.GatherExciteThetaPlus, extent=4, ratio=RATIO),
        11 * CHANNELS * 2 + SE_WEIGHTS,
    ),
    "scse": (
        partial(ours.SpatialChannelSqueezeExcite, ratio=2),
        CHANNELS**2 + CHANNELS,
    ),
    "sge": (partial(ours.SpatialGroupEnhance, groups=64), 128),
    "simam": (ours.SimpleAttention, 0),
    "gc": (
        partial(ours.GlobalContext, ratio=RATIO, bias=False),
        SE_WEIGHTS + CHANNELS + 2 * HIDDEN,
    ),
    "nonlocal": (
        partial(ours.NonLocal, ratio=2),
        2 * CHANNELS**2 + 3 * (CHANNELS // 2) + 3 * CHANNELS,
    ),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_parameters(name: str) -> None:
    constructor, expected = CLOSED_FORMS[name]
    assert count(constructor(CHANNELS)) == expected


def test_every_attention_has_its_closed_form() -> None:
    assert {name.partition(" ")[0] for name in CLOSED_FORMS} | {"bam"} == set(ours.ATTENTIONS)


def test_bam_adds_what_its_paper_says() -> None:
    """ResNet-50 with one behind each of three stages: 25.92 M, 0.36 M more than without.

    3 C R + 18 R^2 + 3 C + 5 R + 3 each, with R = C / 16.
    """
    total = sum(count(ours.BottleneckAttention(channels)) for channels in (256, 512, 1024))
    widths = ((256, 16), (512, 32), (1024, 64))
    assert total == sum(3 * c * r + 18 * r**2 + 3 * c + 5 * r + 3 for c, r in widths) == 360_761
    assert round((25_557_032 + total) / 1e6, 2) == 25.92


def test_eca_adds_86_to_resnet50() -> None:
    blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
    assert sum(n * adaptive_kernel(channels) for channels, n in blocks.items()) == 86
    assert [adaptive_kernel(c) for c in (16, 32, 64, 128, 1024, 2048)] == [3, 3, 3, 5, 5, 7]


def randomise(module: nn.Module) -> nn.Module:
    """Weights and statistics that hide nothing: no zero, no one."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.2, 0.9)
    for parameter in module.parameters():
        parameter.data *= torch.where(torch.rand_like(parameter) < 0.5, -1.0, 1.0)
    return module.eval()


def copied(theirs: nn.Module, mine: nn.Module, names: dict[str, str]) -> nn.Module:
    """`theirs` with the values of `mine`, by names; shapes may differ by axes of one."""
    state = mine.state_dict()
    target = {name for name in theirs.state_dict() if not name.endswith("num_batches_tracked")}
    full = {
        f"{name}.{leaf}": state[f"{source}.{leaf}"]
        for name, source in names.items()
        for leaf in ("weight", "bias", "running_mean", "running_var")
        if f"{source}.{leaf}" in state
    }
    assert full.keys() == target, full.keys() ^ target
    for name, value in theirs.state_dict().items():
        if name in full:
            value.copy_(full[name].reshape(value.shape))
    return theirs.eval()


def timm_pairs() -> dict[str, tuple[nn.Module, nn.Module]]:
    """Ours and timm's with equal weights."""
    ese = randomise(ours.EffectiveSqueezeExcite(CHANNELS))
    eca = randomise(ours.EfficientChannelAttention(CHANNELS))
    cbam = randomise(ours.ConvolutionalBlockAttention(CHANNELS, ratio=16))
    their_cbam = CbamModule(CHANNELS, rd_channels=4)
    their_cbam.spatial.conv.bn = nn.Identity()  # the paper's text has none
    coord = randomise(ours.CoordinateAttention(CHANNELS, ratio=8))
    their_coord = CoordAttn(CHANNELS, rd_channels=8, se_factor=1.0)
    gc = randomise(ours.GlobalContext(CHANNELS, ratio=8))
    their_gc = GlobalContext(CHANNELS, fuse_add=True, fuse_scale=False, rd_channels=8)
    pixels = randomise(ours.NonLocal(CHANNELS, ratio=4))
    their_pixels = NonLocalAttn(CHANNELS, rd_channels=16)
    their_pixels.scale = 16**-0.5  # as in transformers; timm scales by the input's channels
    pooled = GatherExcite(CHANNELS, extent=4, use_mlp=False)
    everywhere = GatherExcite(CHANNELS, extent=0, use_mlp=False)
    return {
        "ese": (ese, copied(EffectiveSEModule(CHANNELS), ese, {"fc": "fc"})),
        "eca": (eca, copied(EcaModule(CHANNELS), eca, {"conv": "conv"})),
        "cbam": (
            cbam,
            copied(
                their_cbam,
                cbam,
                {
                    "channel.fc1": "reduce",
                    "channel.fc2": "expand",
                    "spatial.conv.conv": "spatial",
                },
            ),
        ),
        "coord": (
            coord,
            copied(
                their_coord,
                coord,
                {"conv1": "reduce", "bn1": "norm", "conv_h": "rows", "conv_w": "columns"},
            ),
        ),
        "gc": (
            gc,
            copied(
                their_gc,
                gc,
                {
                    "conv_attn": "weigh",
                    "mlp_add.fc1": "reduce",
                    "mlp_add.norm": "norm",
                    "mlp_add.fc2": "expand",
                },
            ),
        ),
        "nonlocal": (
            pixels,
            copied(
                their_pixels,
                pixels,
                {"t": "query", "p": "key", "g": "value", "z": "out", "norm": "norm"},
            ),
        ),
        "ge": (ours.GatherExcite(CHANNELS, extent=4), pooled),
        "ge global": (ours.GatherExcite(CHANNELS), everywhere),
    }


@pytest.mark.parametrize(
    "name", ["ese", "eca", "cbam", "coord", "gc", "nonlocal", "ge", "ge global"]
)
def test_equals_timm(name: str) -> None:
    torch.manual_seed(1)
    mine, theirs = timm_pairs()[name]
    x = torch.randn(3, CHANNELS, 8, 12)
    torch.testing.assert_close(mine(x), theirs(x), rtol=1e-5, atol=1e-5)
    # Negative control: another input is not equal, so neither side ignores it.
    assert not torch.allclose(mine(x), theirs(x.flip(0)), rtol=1e-3, atol=1e-3)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def simam_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    """Image by image, channel by channel, from the paper's text."""
    y = np.empty_like(x)
    for b, c in np.ndindex(*x.shape[:2]):
        plane = x[b, c]
        variance = plane.var(ddof=1)
        y[b, c] = plane * sigmoid((plane - plane.mean()) ** 2 / (4 * (variance + 1e-4)) + 0.5)
    return y


def gct_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    alpha, gamma, beta = (
        getattr(module, name).detach().numpy() for name in ("alpha", "gamma", "beta")
    )
    y = np.empty_like(x)
    for b, image in enumerate(x):
        s = alpha * np.sqrt((image**2).sum((1, 2)) + 1e-5)
        s = s / np.sqrt((s**2).mean() + 1e-5)
        y[b] = image * (1 + np.tanh(gamma * s + beta))[:, None, None]
    return y


def srm_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    first, second = module.mean_weight.detach().numpy(), module.std_weight.detach().numpy()
    s, norm = first * x.mean((2, 3)) + second * np.sqrt(x.var((2, 3)) + 1e-5), module.norm
    s = (s - norm.running_mean.numpy()) / np.sqrt(norm.running_var.numpy() + norm.eps)
    s = s * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    return x * sigmoid(s)[:, :, None, None]


def sge_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    y = np.empty_like(x)
    size = x.shape[1] // 8
    for b, g in np.ndindex(len(x), 8):
        group = x[b, g * size : (g + 1) * size]
        likeness = np.einsum("chw,c->hw", group, group.mean((1, 2)))
        normal = (likeness - likeness.mean()) / np.sqrt(likeness.var() + 1e-5)
        gamma, beta = module.gamma[g].item(), module.beta[g].item()
        y[b, g * size : (g + 1) * size] = group * sigmoid(gamma * normal + beta)
    return y


def bam_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    """Both branches through numpy, a dilated convolution as a sum of shifted maps."""

    def norm(z: np.ndarray, layer: nn.Module) -> np.ndarray:
        mean, var, weight, bias = (
            t.detach().numpy().reshape(-1, *[1] * (z.ndim - 2))
            for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
        )
        return (z - mean) / np.sqrt(var + layer.eps) * weight + bias

    def conv(z: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
        weight, pad = layer.weight.detach().numpy(), layer.padding[0]
        height, width = z.shape[2:]
        padded = np.pad(z, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        out = (
            np.zeros((len(z), len(weight), height, width))
            + layer.bias.detach().numpy()[:, None, None]
        )
        for i, j in np.ndindex(*weight.shape[2:]):
            top, left = i * layer.dilation[0], j * layer.dilation[0]
            window = padded[:, :, top : top + height, left : left + width]
            out += np.einsum("bchw,oc->bohw", window, weight[:, :, i, j])
        return out

    first, _, second, bn = module.channel
    channel = x.mean((2, 3)) @ first.weight.detach().numpy().T + first.bias.detach().numpy()
    channel = np.maximum(channel, 0) @ second.weight.detach().numpy().T
    channel = norm(channel + second.bias.detach().numpy(), bn)
    spatial = x
    for layer in module.spatial[:4]:
        spatial = conv(spatial, layer)
    spatial = norm(spatial, module.spatial[4])
    return x * (1 + sigmoid(channel[:, :, None, None] + spatial))


def fca_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    """On a 14 x 14 map the paper's 7 x 7 frequencies are doubled; cosines of unit norm."""
    rows = [0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2]
    columns = [0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2]
    z = np.zeros(x.shape[:2])
    for c in range(CHANNELS):
        u, v = 2 * rows[c // 4], 2 * columns[c // 4]
        for h, w in np.ndindex(14, 14):
            wave = math.cos(math.pi * u * (h + 0.5) / 14) * math.cos(math.pi * v * (w + 0.5) / 14)
            z[:, c] += x[:, c, h, w] * wave * (2 if u else 1) ** 0.5 * (2 if v else 1) ** 0.5 / 14
    w1, w2 = module.reduce.weight.detach().numpy(), module.expand.weight.detach().numpy()
    return x * sigmoid(np.maximum(z @ w1.T, 0) @ w2.T)[:, :, None, None]


def scse_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    w1 = module.channel.reduce.weight.detach().numpy()
    w2 = module.channel.expand.weight.detach().numpy()
    channel = sigmoid(np.maximum(x.mean((2, 3)) @ w1.T, 0) @ w2.T)[:, :, None, None]
    pixel = np.einsum("bchw,c->bhw", x, module.pixel.weight.detach().numpy()[0, :, 0, 0])
    return np.maximum(x * channel, x * sigmoid(pixel)[:, None])


def theta_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    """Three depthwise convolutions of stride 2 as sums of strided windows; then nearest."""
    return excited_by_hand(x, gathered_by_hand(x, module))


def theta_plus_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    w1, w2 = (layer.weight.detach().numpy()[:, :, 0, 0] for layer in (module.reduce, module.expand))
    gathered = np.maximum(gathered_by_hand(x, module), 0)
    hidden = np.maximum(np.einsum("bchw,rc->brhw", gathered, w1), 0)
    return excited_by_hand(x, np.einsum("brhw,cr->bchw", hidden, w2))


def gathered_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    layers = list(module.gather)
    for start in range(0, len(layers), 3):
        weight, norm = layers[start].weight.detach().numpy()[:, 0], layers[start + 1]
        size = (x.shape[2] + 1) // 2
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        x = sum(
            padded[:, :, i : i + 2 * size : 2, j : j + 2 * size : 2][:, :, :size, :size]
            * weight[:, i, j, None, None]
            for i, j in np.ndindex(3, 3)
        )
        mean, var, scale, bias = (
            t.detach().numpy()[:, None, None]
            for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        x = (x - mean) / np.sqrt(var + norm.eps) * scale + bias
        x = np.maximum(x, 0) if start + 2 < len(layers) else x
    return x


def excited_by_hand(x: np.ndarray, s: np.ndarray) -> np.ndarray:
    nearest = np.arange(x.shape[2]) * s.shape[2] // x.shape[2]
    return x * sigmoid(s[:, :, nearest][:, :, :, nearest])


def static_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    return x * sigmoid(module.weight.detach().numpy())[:, None, None]


def shuffled_by_hand(x: np.ndarray, module: nn.Module) -> np.ndarray:
    w1, w2 = module.reduce.weight.detach().numpy(), module.expand.weight.detach().numpy()
    gates = sigmoid(np.maximum(x.mean((2, 3)) @ w1.T, 0) @ w2.T)
    return np.stack([image * gates[i - 1][:, None, None] for i, image in enumerate(x)])


BY_HAND = {
    "simam": (ours.SimpleAttention, simam_by_hand),
    "gct": (ours.GatedChannelTransformation, gct_by_hand),
    "srm": (ours.StyleRecalibration, srm_by_hand),
    "sge": (ours.SpatialGroupEnhance, sge_by_hand),
    "bam": (ours.BottleneckAttention, bam_by_hand),
    "fca": (partial(ours.FrequencyChannelAttention, ratio=16), fca_by_hand),
    "scse": (ours.SpatialChannelSqueezeExcite, scse_by_hand),
    "ge_theta": (ours.GatherExciteTheta, theta_by_hand),
    "ge_theta_plus": (ours.GatherExciteThetaPlus, theta_plus_by_hand),
    "static": (ours.StaticGate, static_by_hand),
    "shuffled": (ours.ShuffledSqueezeExcite, shuffled_by_hand),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_equals_its_formula(name: str) -> None:
    torch.manual_seed(2)
    constructor, by_hand = BY_HAND[name]
    module = randomise(constructor(CHANNELS)).double()
    x = torch.randn(3, CHANNELS, 14, 14, dtype=torch.float64) * 3 + 1
    expected = by_hand(x.numpy(), module)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-10, atol=1e-10)
    # Negative control: the gate moves the map by far more than that.
    assert np.abs(expected - x.numpy()).max() > 0.1


SQUEEZES = {
    "avg": lambda x: x.mean((2, 3)),
    "max": lambda x: x.max((2, 3)),
    "avg_max": lambda x: (x.mean((2, 3)) + x.max((2, 3))) / 2,
}
GATES = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "hardsigmoid": lambda z: np.clip(z / 6 + 0.5, 0, 1),
}


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("squeeze", [*SQUEEZES, "none"])
def test_squeezes_and_gates(squeeze: str, gate: str) -> None:
    module = ours.SqueezeExcite(CHANNELS, ratio=16, squeeze=squeeze, gate=gate).double()
    x = torch.randn(2, CHANNELS, 5, 6, dtype=torch.float64) * 4
    w1, w2 = module.reduce.weight.detach().numpy(), module.expand.weight.detach().numpy()
    if squeeze == "none":  # a 1x1 convolution is the same product at every pixel
        hidden = np.maximum(np.einsum("bchw,rc->brhw", x.numpy(), w1), 0)
        s = np.einsum("brhw,cr->bchw", hidden, w2)
    else:
        s = (np.maximum(SQUEEZES[squeeze](x.numpy()) @ w1.T, 0) @ w2.T)[:, :, None, None]
    expected = x.numpy() * GATES[gate](s)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-10, atol=1e-10)


def test_fca_with_one_frequency_is_se() -> None:
    fca = ours.FrequencyChannelAttention(CHANNELS, ratio=16, frequencies=1)
    se = ours.SqueezeExcite(CHANNELS, ratio=16)
    se.load_state_dict(fca.state_dict())
    se.reduce.weight.data *= 9  # the square root of 9 x 9: a cosine of unit norm
    x = torch.randn(2, CHANNELS, 9, 9)
    torch.testing.assert_close(fca(x), se(x))


def test_shuffled_needs_its_neighbours() -> None:
    """The opposite of the others' contract: alone in its batch an image has its own gate."""
    module = ours.ShuffledSqueezeExcite(CHANNELS).eval()
    x = torch.randn(3, CHANNELS, 4, 4)
    together, alone = module(x), torch.cat([module(image[None]) for image in x])
    assert (together - alone).abs().amax((1, 2, 3)).min() > 1e-4


@pytest.mark.parametrize(
    ("build", "rule"),
    [
        (lambda: ours.SpatialGroupEnhance(16, groups=5), "groups=5 does not divide the 16"),
        (lambda: ours.EfficientChannelAttention(16, kernel=4), "kernel=4 has no middle"),
        (lambda: ours.ConvolutionalBlockAttention(16, kernel=2), "kernel=2 has no middle"),
        (lambda: ours.FrequencyChannelAttention(64, frequencies=17), "frequencies=17"),
        (lambda: ours.SimpleAttention(16, regulariser=0.0), "regulariser=0.0 divides by zero"),
        (lambda: ours.NonLocal(16, ratio=17), "ratio=17 leaves no hidden channel"),
        (lambda: ours.CoordinateAttention(16, ratio=32), "choose ratio <= 16"),
        (lambda: ours.GlobalContext(16, ratio=16), "makes constant: choose ratio <= 8"),
    ],
)
def test_impossible_options(build, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        build()


INPUTS = {
    "one pixel": torch.randn(3, 32, 1, 1),
    "two pixels": torch.randn(3, 32, 2, 1),
    "zero": torch.zeros(3, 32, 4, 4),
    "constant": torch.ones(3, 32, 4, 4),
    "dead channels": torch.randn(3, 32, 4, 4) * (torch.arange(32) % 4 == 0)[:, None, None],
}


@pytest.mark.parametrize("what", INPUTS)
@pytest.mark.parametrize("name", sorted(ours.ATTENTIONS))
def test_gradients_stay_finite(name: str, what: str) -> None:
    """Deep stages of small images are one pixel; a ReLU leaves channels dead: no variance there."""
    module = ours.ATTENTIONS[name](32).train()
    x = INPUTS[what].clone().requires_grad_()
    y = module(x)
    y.square().sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_an_infinite_slope_would_be_noticed() -> None:
    """Negative control: sqrt at zero variance, as SGE's own code has it, gives NaN here."""
    x = INPUTS["zero"].clone().requires_grad_()
    (x * (0 * x.var((2, 3), keepdim=True).sqrt())).sum().backward()
    assert x.grad is not None
    assert not x.grad.isfinite().all()


@pytest.mark.parametrize("name", sorted(ours.ATTENTIONS))
def test_autocast_keeps_the_maps_type(name: str) -> None:
    """A float32 parameter times a bfloat16 map would turn the rest of the network to float32."""
    module = ours.ATTENTIONS[name](32)
    x = torch.randn(2, 32, 4, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x).dtype == torch.bfloat16


def test_where_they_start() -> None:
    """The identity, half of it, or about half, as the papers' own code initialises."""
    x = torch.randn(4, CHANNELS, 6, 6)
    for constructor in (ours.GlobalContext, ours.NonLocal, ours.GatedChannelTransformation):
        torch.testing.assert_close(constructor(CHANNELS)(x), x)
    for half in (ours.StaticGate, ours.StyleRecalibration):
        torch.testing.assert_close(half(CHANNELS)(x), x / 2)
    for about in (ours.SqueezeExcite, ours.ShuffledSqueezeExcite, ours.EffectiveSqueezeExcite):
        assert ((about(CHANNELS)(x) / x - 0.5).abs() < 0.1).all()


def test_fca_counts_the_same_again() -> None:
    """Its cosines are made once and kept: no part of the network's cost, whoever asks first."""
    frequency_channel.cosines.cache_clear()
    counts = []
    for _ in range(2):
        with torch.device("meta"):
            network, slots = build_network(
                BACKBONES["resnet20"],
                ours.FrequencyChannelAttention,
                Placement(stages=[3], position="standard", min_channels=1),
                num_classes=10,
                seed=0,
            )
            counts.append(measure_cost(network, slots, 32).attention_multiply_adds)
    each = 3 * 64 * 8**2 + 2 * 64 * 4  # times a cosine, pooled, scaled; two layers
    assert counts == [3 * each] * 2
    with torch.inference_mode():
        ours.FrequencyChannelAttention(CHANNELS)(torch.randn(1, CHANNELS, 5, 5))
    ours.FrequencyChannelAttention(CHANNELS)(torch.randn(1, CHANNELS, 5, 5)).sum().backward()


# One multiply-add for each element pooled, scaled, added or squared (C H W of each), and products.
PASSES = {
    "static": (1, 0),
    "se": (2, SE_WEIGHTS),
    "shuffled": (2, SE_WEIGHTS),
    "ese": (2, CHANNELS**2),
    "eca": (2, 3 * CHANNELS),
    "srm": (2, 0),
    "cbam": (6, 2 * SE_WEIGHTS + 98 * 64),
    "ge": (2, 0),
    "scse": (4, CHANNELS**2 + CHANNELS * 64),
    "simam": (7, 0),
    "nonlocal": (1, 4 * CHANNELS * 32 * 64 + 2 * 32 * 64**2),
}


@pytest.mark.parametrize("name", PASSES)
def test_multiply_adds(name: str) -> None:
    """On a map of 8 x 8; what is done per channel, and not per pixel, is below 4 %."""
    constructor = CLOSED_FORMS[name][0]
    with torch.device("meta"):
        network, slots = build_network(
            partial(BACKBONES["resnet20"]),
            constructor,
            Placement(stages=[3], position="stage", min_channels=1),
            num_classes=10,
            seed=0,
        )
        counted = measure_cost(network, slots, 32).attention_multiply_adds
    passes, products = PASSES[name]
    assert counted == pytest.approx(passes * CHANNELS * 64 + products, rel=0.04)
