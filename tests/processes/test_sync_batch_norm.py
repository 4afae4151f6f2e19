"""BatchNorm over several processes: that of the whole batch; torch's own where there is a GPU."""

import copy
import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from processes.dying import SERVER
from support import config
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from senet_train.errors import InputError
from senet_train.training.checks import refuse_unknown_norms
from senet_train.training.distributed.batch_norm import (
    ActivatedOnCPU,
    ActivatedOnGPU,
    SyncBatchNormOnCPU,
    synchronise_batch_norms,
)
from senet_train.training.distributed.collectives import process_group
from senet_train.training.distributed.world import STORE, World
from senet_train.training.fit import build_learner
from senet_train.training.parameters import freeze_batch_norms
from senet_train.training.plan import make_plan

MAPS, VECTORS = (6, 3, 4, 5), (6, 3)


def without_bias() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(3)
    norm.register_parameter("bias", None)
    return norm


CASES: dict[str, tuple[_BatchNorm, tuple[int, ...]]] = {
    "2d": (nn.BatchNorm2d(3, momentum=0.3, eps=0.01), MAPS),
    "1d": (nn.BatchNorm1d(3), VECTORS),
    "1d of series": (nn.BatchNorm1d(3), (6, 3, 4)),
    "mean of all batches": (nn.BatchNorm2d(3, momentum=None), MAPS),
    "no parameters": (nn.BatchNorm2d(3, affine=False), MAPS),
    "no bias": (without_bias(), MAPS),
    "no running statistics": (nn.BatchNorm2d(3, track_running_stats=False), MAPS),
    "activated": (BatchNormAct2d(3, act_layer=nn.SiLU, inplace=False), MAPS),
    "frozen": (nn.BatchNorm2d(3).eval(), MAPS),
}
STEPS = 2


@dataclasses.dataclass(frozen=True)
class Seen:
    """Of the last of STEPS forward and backward passes."""

    y: Tensor
    x_grad: Tensor
    grads: list[Tensor]
    state: dict[str, Tensor]


def passes(norm: nn.Module, x: Tensor, weight: Tensor) -> Seen:
    for _ in range(STEPS):
        images = x.clone().requires_grad_()
        norm.zero_grad()
        y = norm(images)
        (y * weight).sum().backward()
    assert images.grad is not None
    grads = [
        parameter.grad.clone() for parameter in norm.parameters() if parameter.grad is not None
    ]
    state = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    return Seen(y.detach(), images.grad, grads, state)


def inputs(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return 3 + torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def process(rank: int, folder: Path) -> None:
    """One of two, with every second image."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ.update({name: str(value) for name, value in places.items()})
    os.environ.update({STORE: str(folder / "store"), "GLOO_SOCKET_IFNAME": "lo"})
    found: dict[str, Any] = {}
    with process_group(on_gpu=False):
        for name, (norm, shape) in CASES.items():
            network = nn.Sequential(copy.deepcopy(norm))
            synchronise_batch_norms(network, on_gpu=False)
            x, weight = inputs(shape)
            found[name] = vars(passes(network, x[rank::2], weight[rank::2]))
    torch.save(found, folder / str(rank))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Seen]]:
    """What each of two processes has seen."""
    folder = tmp_path_factory.mktemp("parts")
    processes = [SERVER.Process(target=process, args=(rank, folder)) for rank in (0, 1)]
    for started in processes:
        started.start()
    for started in processes:
        started.join(120)
        assert started.exitcode == 0
    files = [torch.load(folder / str(rank), weights_only=True) for rank in (0, 1)]
    return [{name: Seen(**seen) for name, seen in file.items()} for file in files]


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_norm_of_the_whole_batch(parts: list[dict[str, Seen]], case: str) -> None:
    """Output, gradients, running statistics; and frozen, where nothing is shared."""
    norm, shape = CASES[case]
    x, weight = inputs(shape)
    whole = passes(nn.Sequential(copy.deepcopy(norm)), x, weight)
    for rank, seen in enumerate(part[case] for part in parts):
        torch.testing.assert_close(seen.y, whole.y[rank::2], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(seen.x_grad, whole.x_grad[rank::2], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(seen.state, whole.state, rtol=1e-5, atol=1e-5)
    assert len(whole.grads) == len(list(norm.parameters()))
    for one, other, both in zip(
        parts[0][case].grads, parts[1][case].grads, whole.grads, strict=True
    ):
        torch.testing.assert_close(one + other, both, rtol=1e-5, atol=1e-5)
    if norm.training:  # the comparison can tell: the norm of half a batch is another
        half = passes(nn.Sequential(copy.deepcopy(norm)), x[::2], weight[::2])
        assert not torch.allclose(half.y, parts[0][case].y, rtol=1e-3)


class Renamed(nn.BatchNorm2d):
    """A class of a user's, which computes what it inherits."""


class Own(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def norms_of(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


@pytest.mark.parametrize(
    ("on_gpu", "plain", "activated"),
    [(True, nn.SyncBatchNorm, ActivatedOnGPU), (False, SyncBatchNormOnCPU, ActivatedOnCPU)],
)
def test_what_is_built_for_which_device(
    on_gpu: bool, plain: type[_BatchNorm], activated: type[_BatchNorm]
) -> None:
    """Names, tensors, settings, mode and the layers behind stay; so does what it evaluates to."""
    norms = [nn.BatchNorm2d(4, eps=0.1, momentum=0.7), nn.BatchNorm2d(4).eval(), Renamed(4)]
    network = nn.Sequential(*norms, nn.Sequential(BatchNormAct2d(4, act_layer=nn.SiLU)))
    image = torch.randn(2, 4, 3, 3)
    network(image)
    evaluated = copy.deepcopy(network).eval()(image)
    before = network.state_dict(keep_vars=True)
    modes = [norm.training for norm in norms_of(network)]
    synchronise_batch_norms(network, on_gpu=on_gpu)
    assert [type(norm) for norm in norms_of(network)] == [plain, plain, plain, activated]
    after = network.state_dict(keep_vars=True)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert [norm.training for norm in norms_of(network)] == modes
    assert (network[0].eps, network[0].momentum) == (0.1, 0.7)
    assert torch.equal(network.eval()(image), evaluated)


@pytest.mark.parametrize(
    ("accelerator", "kind"), [("gpu", nn.SyncBatchNorm), ("cpu", SyncBatchNormOnCPU)]
)
def test_a_run_builds_what_its_device_needs(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, kind: type[_BatchNorm]
) -> None:
    """And a frozen backbone stays frozen, whatever its BatchNorms are."""
    plan = make_plan(config("data=fake", "model=se_resnet8", "attention=srm"))
    trainer = dataclasses.replace(plan.config.trainer, accelerator=accelerator)
    plan = dataclasses.replace(plan, config=dataclasses.replace(plan.config, trainer=trainer))
    alone = build_learner(plan, 5)
    assert not any(type(norm) is kind for norm in norms_of(alone))
    monkeypatch.setattr("senet_train.training.fit.world", lambda: World(1, 2, 1, 2))
    learner = build_learner(plan, 5)
    assert {type(norm) for norm in norms_of(learner)} == {kind}
    assert list(learner.state_dict()) == list(alone.state_dict())
    freeze_batch_norms(learner.network, ("layer1.",))
    for name, module in learner.network.named_modules():
        if isinstance(module, _BatchNorm):
            assert module.training == name.startswith("layer1."), name


def test_a_batch_norm_with_a_forward_pass_of_its_own() -> None:
    network: Any = nn.Sequential(nn.BatchNorm2d(3), Own(3), Renamed(3))
    refuse_unknown_norms(network, 1)
    with pytest.raises(InputError, match="Own, a BatchNorm with a forward pass of its own, would"):
        refuse_unknown_norms(network, 2)
    refuse_unknown_norms(network[::2], 2)
