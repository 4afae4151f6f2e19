"""Every optimizer takes torch's own steps, and changes nothing once a loss was not finite."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
import yaml
from support import CONF, config
from torch import Tensor, nn
from torch.optim import Optimizer

from senet_train.config.options import bind
from senet_train.config.schema import Choice
from senet_train.training.optimizers import OPTIMIZERS, PLUGINS, CopyHalts, build_optimizer
from senet_train.training.plan import make_plan

FILES = {file.stem: yaml.safe_load(file.read_text()) for file in (CONF / "optim").glob("*.yaml")}
LR, DECAY = 0.01, 0.05
ADAMS: dict[str, Callable[[Any], Optimizer]] = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=LR, betas=(0.9, 0.999), eps=1e-8, fused=True),
    "radam": lambda p: torch.optim.RAdam(p, lr=LR, decoupled_weight_decay=True, foreach=True),
    "nadam": lambda p: torch.optim.NAdam(p, lr=LR, decoupled_weight_decay=True, foreach=True),
}


def layer() -> nn.Linear:
    torch.manual_seed(2)
    return nn.Linear(7, 3)


def groups(network: nn.Module) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in network.parameters() if (p.ndim > 1) == matrix], "weight_decay": w}
        for matrix, w in ((True, DECAY), (False, 0.0))
    ]


def ours(name: str, network: nn.Module) -> Any:
    """As its file in conf/optim configures it."""
    optim = make_plan(config(f"optim={name}", f"optim.lr={LR}")).config.optim
    return build_optimizer(optim, groups(network), torch.zeros(()))


def gradients(network: nn.Module, step: int, factor: float = 1.0) -> None:
    torch.manual_seed(step)
    for parameter in network.parameters():
        parameter.grad = factor * torch.randn_like(parameter)


def tensors(network: nn.Module, optimizer: Optimizer) -> list[Tensor]:
    """Weights, then the state, without its counts."""
    state = [t for entry in optimizer.state.values() for t in entry.values() if t.dim() > 0]
    return [t.detach().clone() for t in (*network.parameters(), *state)]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(map(torch.equal, a, b))


def test_a_file_for_every_optimizer() -> None:
    """And a file of the group that names none of them is none."""
    assert {content["name"] for content in FILES.values()} == set(OPTIMIZERS)
    assert set(ADAMS) == set(OPTIMIZERS) - {"sgd"}  # test_loss_guard.py has SGD


@pytest.mark.parametrize("name", FILES)
def test_the_options_of_a_file_are_all_that_the_optimizer_reads(name: str) -> None:
    """`bind` refuses an option that it does not know; a shared key changes nothing in it."""
    optim = config(f"optim={name}").optim
    _, bound = bind(optim.algorithm, OPTIMIZERS, "optim", PLUGINS)
    assert bound == optim.algorithm
    assert set(bound.options) | {"name", "lr", "weight_decay"} <= set(FILES[name])


@pytest.fixture(params=["host", "device"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the flag may be asked for, as on a CPU, or the device chooses."""
    monkeypatch.setattr(CopyHalts, "may_ask", lambda self: request.param == "host")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("name", ADAMS)
def test_steps_are_those_of_torch(name: str) -> None:
    """To the bit; seven steps: RAdam rectifies from the sixth on."""
    network, other = layer(), layer()
    own, theirs = ours(name, network), ADAMS[name](groups(other))
    for step in range(7):
        for net, optimizer in ((network, own), (other, theirs)):
            gradients(net, step)
            optimizer.step()
        assert equal(tensors(network, own), tensors(other, theirs))
    assert not equal(tensors(network, own)[:2], [p.detach() for p in layer().parameters()])


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("first", [0, 1, 4])
@pytest.mark.parametrize("name", ADAMS)
def test_a_halted_step_changes_nothing(name: str, first: int) -> None:
    """From the first loss on that is not finite, were it the very first; and none after it."""
    network = layer()
    own = ours(name, network)
    for step in range(first):
        gradients(network, step)
        own.step()
    before = tensors(network, own)
    own.halted.fill_(1)
    for step in range(2):
        gradients(network, step, torch.nan)
        own.step()
        after = tensors(network, own)
        assert equal(after[: len(before)], before)
        assert not any(t.any() for t in after[len(before) :])  # a state that began here, of zeros


@pytest.mark.parametrize("name", ADAMS)
def test_torch_alone_takes_the_step(name: str) -> None:
    """The control: without a flag its weights are NaN."""
    network = layer()
    gradients(network, 0, torch.nan)
    ADAMS[name](groups(network)).step()
    assert all(p.isnan().all() for p in network.parameters())


@pytest.mark.parametrize("skipped", [(0,), (2,), (0, 1, 4)])
def test_an_overflow_leaves_a_step_of_adamw_out(skipped: tuple[int, ...]) -> None:
    """Its count too: as if there had been no such step."""
    network, other = layer(), layer()
    own, theirs = ours("adamw", network), ADAMS["adamw"](groups(other))
    for step in range(6):
        gradients(network, step)
        gradients(other, step)
        own.grad_scale, own.found_inf = None, torch.tensor(float(step in skipped))
        own.step()
        if step not in skipped:
            theirs.step()
    assert equal(tensors(network, own), tensors(other, theirs))
    counts = [float(entry["step"]) for entry in own.state.values()]
    assert counts == [6.0 - len(skipped)] * 2


@pytest.mark.parametrize("name", ADAMS)
def test_a_state_goes_on_exactly(name: str) -> None:
    """What a checkpoint holds of it is all of it."""
    network = layer()
    own = ours(name, network)
    for step in range(4):
        gradients(network, step)
        own.step()
    again = layer()
    again.load_state_dict(network.state_dict())
    resumed = ours(name, again)
    resumed.load_state_dict(deepcopy(own.state_dict()))
    for net, optimizer in ((network, own), (again, resumed)):
        gradients(net, 9)
        optimizer.step()
    assert equal(tensors(network, own), tensors(again, resumed))


def test_every_run_names_its_optimizer_for_tensorboard() -> None:
    """Every arm has the same columns."""
    said = [make_plan(config(f"optim={name}")).hyperparameters() for name in ("wrn", "adamw")]
    assert [arm["optimizer"] for arm in said] == ["sgd", "adamw"]
    assert said[0].keys() == said[1].keys()


def test_an_optimizer_without_a_name_is_sgd() -> None:
    """As runs wrote it down before there were others."""
    named, unnamed = config(), config("~optim.name")
    assert unnamed == named
    assert named.optim.algorithm == Choice("sgd", {"momentum": 0.9, "nesterov": True})
