"""The pretended GPU sees what a real one would wait for or refuse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from device.pretended_gpu import Counts, Pretended, device, pretended_gpu
from device.pretended_run import train
from device.test_pretended_gpu import ONE, SE, keeps_its_promises
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.training.tasks.classification import ImageClassifier

HOST = torch.device("cpu")


def there(*shape: int) -> Tensor:
    return torch.ones(shape, device=device())


WAITS: dict[str, Callable[[], Any]] = {
    "item": lambda: there().item(),
    "bool": lambda: bool(there() > 0),
    "tolist": lambda: there(2).tolist(),
    "cpu": lambda: there(2).cpu(),
    "equal": lambda: torch.equal(there(2), there(2)),
    "blocking copy": lambda: torch.ones(2).pin_memory().to(device()),
    "pageable copy": lambda: torch.ones(2).to(device(), non_blocking=True),
    "copy_ of the host": lambda: there(2).copy_(torch.ones(2)),
    "copy_ to the host": lambda: torch.ones(2).copy_(there(2)),
    "tensor of numbers": lambda: torch.tensor([1.0, 2.0], device=device()),
    "list as index": lambda: there(3)[[0, 1]],
    "mask as index": lambda: there(3)[there(3) > 0],
    "write through a mask": lambda: there(3).__setitem__(there(3) > 0, there(3)),
    "nonzero": lambda: there(3).nonzero(),
    "unique": lambda: there(3).unique(),
    "bincount": lambda: there(3).long().bincount(),
    "where of a number of the host": lambda: torch.where(there(2) > 0, there(2), torch.ones(())),
}
MIXED: dict[str, Callable[[], Any]] = {
    "sum": lambda: there(2) + torch.ones(2),
    "index of the host": lambda: there(2)[torch.tensor([0, 1])],
    "index into the host": lambda: torch.ones(2)[there(2).long()],
    "layer of the host": lambda: nn.Linear(2, 2)(there(1, 2)),
}
FREE: dict[str, Callable[[], Any]] = {
    "pinned copy": lambda: torch.ones(2).pin_memory().to(device(), non_blocking=True),
    "number": lambda: there(2) * 3.0,
    "full": lambda: torch.full((2,), 3.0, device=device()),
    "where of a number": lambda: torch.where(there(2) > 0, 1.0, there(2)),
    "masked fill": lambda: there(2).masked_fill_(there(2) > 0, 2.0),
    "sum with a scalar of the host": lambda: there(2) + torch.ones(()),
    "slice": lambda: there(4)[1:3],
    "index": lambda: there(4)[torch.arange(2, device=device())],
}


def counted(function: Callable[[], Any]) -> Counts:
    with pretended_gpu() as begin:
        counts = begin()
        function()
    return counts


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("inference", [False, True])
def test_waits_are_seen(name: str, inference: bool) -> None:
    """Each once; also under inference mode, where torch hands operations over whole."""
    with torch.inference_mode(inference):
        assert counted(WAITS[name]).waits.total() == 1


@pytest.mark.parametrize("name", MIXED)
def test_mixed_devices_are_seen(name: str) -> None:
    assert counted(MIXED[name]).mixed.total() == 1


@pytest.mark.parametrize("name", FREE)
def test_what_is_free_is_not_counted(name: str) -> None:
    counts = counted(FREE[name])
    assert not counts.waits
    assert not counts.mixed


def test_float64_is_seen() -> None:
    assert counted(lambda: there(2).double()).float64.total() == 1
    assert not counted(lambda: torch.ones(2).double()).float64


def test_it_computes_what_the_cpu_computes() -> None:
    """Forward, backward and a step: the same bits."""
    network = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    start = [parameter.detach().clone() for parameter in network.parameters()]

    def stepped(place: torch.device) -> list[Tensor]:
        for parameter, value in zip(network.parameters(), start, strict=True):
            parameter.data = value.clone()
        network.zero_grad()
        own = network.to(place)
        images = torch.linspace(-1, 1, 30).view(6, 5).to(place)
        sgd = torch.optim.SGD(own.parameters(), lr=0.1, momentum=0.9, fused=True)
        F.cross_entropy(own(images), torch.arange(6).to(place) % 3).backward()
        sgd.step()
        return [parameter.detach().cpu() for parameter in own.parameters()]

    expected = stepped(HOST)
    with pretended_gpu():
        found = stepped(device())
        assert all(isinstance(parameter, Pretended) for parameter in network.parameters())
    assert all(map(torch.equal, found, expected))
    assert not any(map(torch.equal, found, start))


def test_outside_of_the_block_there_is_no_gpu() -> None:
    with pretended_gpu():
        assert torch.accelerator.is_available()
    assert not torch.accelerator.is_available()


PLANTED: dict[str, Callable[[Tensor], Tensor]] = {
    "a wait": lambda loss: loss * float(loss.item() > -1),
    "a tensor of the host": lambda loss: (loss * torch.ones(2)).mean(),
    "float64": lambda loss: loss.double().float(),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_in_a_step_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    compute = ImageClassifier.training_loss
    monkeypatch.setattr(
        ImageClassifier, "training_loss", lambda *given: PLANTED[name](compute(*given))
    )
    run = train([*SE, ONE])
    with pytest.raises(AssertionError, match=r"in learner\.py:Learner\.training_step"):
        keeps_its_promises(run)
