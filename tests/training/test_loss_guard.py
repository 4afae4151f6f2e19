"""A loss that is not finite stops the run before it touches a weight, on any device."""

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from processes.dying import SERVER
from torch import Tensor, nn

from senet_train.training.distributed.collectives import process_group
from senet_train.training.distributed.world import STORE
from senet_train.training.loss_guard import LossGuard, NotFinite
from senet_train.training.optimizers import FusedSGD

HOST = torch.device("cpu")
SETTINGS = [
    {"lr": 0.1, "momentum": momentum, "nesterov": nesterov}
    for momentum, nesterov in ((0.0, False), (0.9, False), (0.9, True))
]


def layer() -> nn.Linear:
    torch.manual_seed(2)
    return nn.Linear(7, 3)


def sgd(network: nn.Module, settings: dict[str, Any]) -> FusedSGD:
    groups = [{"params": [*network.parameters()], "weight_decay": 0.01}]
    return FusedSGD(groups, halted=torch.zeros(()), **settings)


def torchs(network: nn.Module, settings: dict[str, Any]) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), weight_decay=0.01, fused=True, **settings)


def gradients(network: nn.Module, step: int) -> None:
    torch.manual_seed(step)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)


def spoil(network: nn.Module) -> None:
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)


def state(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    momentum = [entry.get("momentum_buffer") for entry in optimizer.state.values()]
    kept = [tensor for tensor in momentum if tensor is not None]
    return [tensor.detach().clone() for tensor in (*network.parameters(), *kept)]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(map(torch.equal, a, b))


@pytest.mark.parametrize("settings", SETTINGS)
def test_steps_are_those_of_torch(settings: dict[str, Any]) -> None:
    """To the bit, although momentum starts at zeros."""
    ours, theirs = layer(), layer()
    own, other = sgd(ours, settings), torchs(theirs, settings)
    for step in range(5):
        for network, optimizer in ((ours, own), (theirs, other)):
            gradients(network, step)
            optimizer.step()
        assert equal(state(ours, own), state(theirs, other))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("skipped", [(0,), (0, 1), (2,), (0, 3)])
def test_a_halted_step_changes_nothing(settings: dict[str, Any], skipped: tuple[int, ...]) -> None:
    """Also the very first: as if there had been no such step."""
    ours, theirs = layer(), layer()
    own, other = sgd(ours, settings), torchs(theirs, settings)
    for step in range(5):
        before = state(ours, own)
        own.halted.fill_(float(step in skipped))
        if step in skipped:
            spoil(ours)
            own.step()
            assert equal(state(ours, own), before)
        else:
            for network, optimizer in ((ours, own), (theirs, other)):
                gradients(network, step)
                optimizer.step()
    assert equal(state(ours, own), state(theirs, other))


def test_torch_leaves_the_momentum_of_a_skipped_first_step_to_chance() -> None:
    """The control: with new memory filled by NaN, as torch can, its momentum is NaN."""
    network = layer()
    optimizer: Any = torchs(network, SETTINGS[1])
    gradients(network, 0)
    before = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        optimizer.found_inf = torch.ones(())
        optimizer.step()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = before
    assert all(entry["momentum_buffer"].isnan().any() for entry in optimizer.state.values())


@pytest.mark.parametrize("overflow", [0.0, 1.0])
@pytest.mark.parametrize("halted", [0.0, 1.0])
def test_either_flag_skips_a_step(overflow: float, halted: float) -> None:
    """GradScaler sets one for a step, and deletes it afterwards; the other stays."""
    network = layer()
    optimizer: Any = sgd(network, SETTINGS[1])
    before = state(network, optimizer)
    gradients(network, 0)
    optimizer.halted.fill_(halted)
    optimizer.grad_scale, optimizer.found_inf = None, torch.tensor(overflow)
    optimizer.step()
    assert equal(state(network, optimizer), before) == bool(overflow or halted)
    assert optimizer.found_inf == max(overflow, halted)
    assert optimizer.halted == halted
    del optimizer.grad_scale, optimizer.found_inf


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("first", [0, 3, 5])
def test_the_first_loss_that_is_not_finite_is_named(bad: float, first: int) -> None:
    """Whatever comes after it."""
    guard = LossGuard(HOST)
    for step in range(6):
        guard.see(torch.tensor(bad if step in (first, 4) else 1.0 + step))
        assert float(guard.halted) == float(step >= min(first, 4))
    found = guard.ask()
    assert found is not None
    assert found.batches_ago == 6 - min(first, 4)
    assert found.value is not None
    assert repr(found.value) == repr(bad)


def test_finite_losses_say_nothing() -> None:
    guard = LossGuard(HOST)
    for loss in (1.0, -3.0, 0.0, torch.finfo(torch.float32).max):
        guard.see(torch.tensor(loss))
    assert guard.ask() is None
    assert float(guard.halted) == 0.0
    guard.see(torch.tensor(torch.nan))
    assert guard.ask() is not None  # steps are counted from the last question
    assert guard.losses == []


def guard_in_process(rank: int, folder: Path) -> None:
    """One of two processes: the loss of the second is not finite in the third of five steps."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ.update({name: str(value) for name, value in places.items()})
    os.environ.update({STORE: str(folder / "store"), "GLOO_SOCKET_IFNAME": "lo"})
    with process_group(on_gpu=False):
        guard, halted = LossGuard(HOST), []
        for step in range(5):
            guard.see(torch.tensor(torch.inf if rank and step >= 2 else 1.0))
            halted.append(float(guard.halted))
        found = guard.ask()
    assert found is not None
    torch.save((halted, found.batches_ago, found.value), folder / str(rank))


def test_all_processes_halt_at_the_same_step(tmp_path: Path, warm_fork_server: None) -> None:
    """Their gradients are of both losses. The one without a bad loss does not know its value."""
    processes = [SERVER.Process(target=guard_in_process, args=(i, tmp_path)) for i in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    first, second = (torch.load(tmp_path / str(rank), weights_only=True) for rank in (0, 1))
    assert first == ([0.0, 0.0, 1.0, 1.0, 1.0], 3, None)
    assert second == ([0.0, 0.0, 1.0, 1.0, 1.0], 3, math.inf)
    assert NotFinite(3, None) != NotFinite(3, math.inf)
