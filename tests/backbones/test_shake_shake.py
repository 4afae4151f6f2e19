"""Shake-Shake: counts, numbers in evaluation, the gradient's own shares, and paired arms."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from support import TINY, Result, count
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones import BACKBONES
from senet_train.backbones.shake_shake import Mixing, Mixture, ShakeShake
from senet_train.networks.insertion import insert
from senet_train.training.distributed.draws import divide_draws
from senet_train.training.distributed.world import World

# Parameters with 10 and 100 classes. 2x32d: those in the tests of
# https://github.com/osmr/imgclsmob. 2x96d: 26.2 M in the paper.
PUBLISHED = {
    "shakeshake26_2x32d": (32, (2_923_162, 2_934_772)),
    "shakeshake26_2x96d": (96, (26_192_922, 26_227_572)),
}
small = partial(ShakeShake, width=4, blocks_per_stage=2)


def closed_form(width: int, num_classes: int) -> int:
    """Stem; blocks of two branches, each convolution with its BatchNorm; shortcuts; classifier."""
    total, read = 3 * 16 * 9 + 2 * 16, 16
    for channels in (width, 2 * width, 4 * width):
        total += read * channels + 2 * channels  # two paths of half the channels each
        for before in (read, channels, channels, channels):
            total += 2 * (9 * channels * (before + channels) + 4 * channels)
        read = channels
    return total + (read + 1) * num_classes


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters(name: str) -> None:
    width, published = PUBLISHED[name]
    for num_classes, expected in zip((10, 100), published, strict=True):
        with torch.device("meta"):
            network = BACKBONES[name](num_classes)
            assert count(network) == closed_form(width, num_classes) == expected
            insert(network, partial(SqueezeExcite, ratio=16))
        added = sum(4 * 2 * c * (c // 16) for c in (width, 2 * width, 4 * width))
        assert count(network) - expected == added


def written_out(state: dict[str, Tensor], x: Tensor, alpha: Tensor) -> Tensor:
    """The logits from the state dict, with shares of the first branch (blocks, B)."""

    def norm(name: str, x: Tensor) -> Tensor:
        weight, bias, mean, variance = (
            state[f"{name}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    x = norm("bn1", F.conv2d(x, state["conv1.weight"], padding=1))
    for number, share in enumerate(alpha):
        block, stride = f"blocks.{number}", 2 if number in (2, 4) else 1
        o, sides = F.relu(x), []
        for branch in ("branch1", "branch2"):
            y = F.conv2d(o, state[f"{block}.{branch}.0.weight"], stride=stride, padding=1)
            y = F.relu(norm(f"{block}.{branch}.1", y))
            y = F.conv2d(y, state[f"{block}.{branch}.3.weight"], padding=1)
            sides.append(norm(f"{block}.{branch}.4", y))
        if f"{block}.two_paths.conv1.weight" in state:
            shifted = torch.zeros_like(o)
            shifted[:, :, 1:, 1:] = o[:, :, :-1, :-1]
            paths = [
                F.conv2d(y, state[f"{block}.two_paths.conv{path}.weight"], stride=stride)
                for path, y in ((1, o), (2, shifted))
            ]
            x = norm(f"{block}.two_paths.bn", torch.cat(paths, 1))
        share = share[:, None, None, None]
        x = x + share * sides[0] + (1 - share) * sides[1]
    return F.relu(x).mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


def random_small() -> ShakeShake:
    network = small(5).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.2, 1.5)
    return network


def test_evaluation_is_what_is_written() -> None:
    network, x = random_small().eval(), torch.randn(3, 3, 12, 12).double()
    with torch.no_grad():
        half = written_out(network.state_dict(), x, torch.full((6, 3), 0.5).double())
        torch.testing.assert_close(network(x), half)
        other = written_out(network.state_dict(), x, torch.full((6, 3), 0.6).double())
    assert not torch.allclose(other, half)
    assert torch.equal(network(x), network(x))


def test_training_mixes_by_what_was_drawn_for_each_image() -> None:
    """The norms held, so that only the mixture is another than in evaluation."""
    network, x = random_small().eval(), torch.randn(3, 3, 12, 12).double()
    network.mixing.train()
    torch.manual_seed(7)
    alpha = torch.rand(6, 2, 3)[:, 0].double()
    torch.manual_seed(7)
    with torch.no_grad():
        torch.testing.assert_close(network(x), written_out(network.state_dict(), x, alpha))
        swapped = written_out(network.state_dict(), x, alpha.flip(1))
        torch.manual_seed(7)
        assert not torch.allclose(network(x), swapped)


def test_the_gradient_has_shares_of_its_own() -> None:
    first, second = (torch.randn(2, 3, 4, 4, requires_grad=True) for _ in range(2))
    alpha, beta = torch.tensor([[0.1, 0.8], [0.7, 0.2]]).view(2, 2, 1, 1, 1)
    grad = torch.randn(2, 3, 4, 4)
    y = Mixture.apply(first, second, alpha, beta)
    torch.testing.assert_close(y, alpha * first + (1 - alpha) * second)
    y.backward(grad)
    torch.testing.assert_close(first.grad, beta * grad)
    torch.testing.assert_close(second.grad, (1 - beta) * grad)
    assert not torch.allclose(first.grad, alpha * grad)  # what autograd would have made of it


def test_a_networks_gradient_has_them_too() -> None:
    """Of the last block, where nothing else lies between the branches and the logits but ReLU."""
    network, x = random_small(), torch.randn(3, 3, 12, 12).double()
    seen = {}
    last = network.blocks[-1]
    for name in ("branch1", "branch2"):
        keep = partial(seen.__setitem__, name)
        getattr(last, name).register_full_backward_hook(
            lambda module, inputs, outputs, keep=keep: keep(outputs[0])
        )
    torch.manual_seed(7)
    beta = torch.rand(6, 2, 3)[-1, 1].double().view(3, 1, 1, 1)
    torch.manual_seed(7)
    network(x).sum().backward()
    torch.testing.assert_close(seen["branch1"] * (1 - beta), seen["branch2"] * beta)
    assert seen["branch1"].any()
    assert not torch.allclose(seen["branch1"], seen["branch2"])


ARMS = {"se": partial(SqueezeExcite, ratio=2), "draws": lambda channels: nn.Dropout(0.5)}


def drawn(attention: Callable[[int], nn.Module], seed: int = 0) -> list[Tensor]:
    """What the blocks' mixtures are of two branches of ones and zeros: the shares themselves."""
    network = small(5)
    insert(network, attention)
    ways: list[Tensor] = []

    def note(module: Mixing, inputs: tuple[Tensor, ...], mixes) -> None:
        ones = torch.ones(4, 1, 1, 1)
        ways.extend(mix(ones, torch.zeros_like(ones)) for mix in mixes)

    network.mixing.register_forward_hook(note)
    torch.manual_seed(seed)
    network(torch.randn(4, 3, 12, 12))
    return ways


def test_arms_see_the_same_mixtures() -> None:
    """Even where attention draws on its own."""
    plain = drawn(nn.Identity)
    assert len(plain) == 6
    for attention in ARMS.values():
        assert all(torch.equal(a, b) for a, b in zip(plain, drawn(attention), strict=True))
    another = drawn(nn.Identity, seed=1)
    assert not any(torch.equal(a, b) for a, b in zip(plain, another, strict=True))


def test_processes_share_the_draw_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, part = Mixing(2), Mixing(2)
    monkeypatch.setattr("senet_train.training.distributed.draws.world", lambda: World(1, 2, 1, 2))
    divide_draws(part)
    ones = torch.ones(4, 1, 1, 1)
    torch.manual_seed(0)
    every = [mix(ones, 0 * ones) for mix in whole(ones)]
    torch.manual_seed(0)
    ours = [mix(ones[:2], 0 * ones[:2]) for mix in part(ones[:2])]
    assert all(torch.equal(a[1::2], b) for a, b in zip(every, ours, strict=True))


def test_it_trains_and_is_exported(senet) -> None:
    settings = [word for word in TINY if not word.startswith(("model", "trainer.max"))]
    done: Result = senet(*settings, "model=se_shakeshake26_2x32d", "trainer.max_epochs=1")
    assert done.code == 0, done.err
    with torch.device("meta"):
        torch.export.export(small(5).eval(), (torch.empty(2, 3, 12, 12),))
