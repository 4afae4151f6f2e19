"""The gates that TensorBoard shows are the network's own, and looking at them changes no bit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from processes.outcome import LINE, equal, state_of
from support import TINY, Result, run_folders
from torch import Tensor, nn

from senet_train.attention import ATTENTIONS
from senet_train.backbones import BACKBONES
from senet_train.backbones.slots import Backbone
from senet_train.config.schema import Placement
from senet_train.networks.hardware import TAILS
from senet_train.networks.insertion import Slot, build_network
from senet_train.networks.kernels.excitation import is_gate
from senet_train.networks.watch import channel_gates
from senet_train.training.callbacks import gate_histograms as gates
from senet_train.training.callbacks.gate_histograms import GateHistograms, effective_gates


def network_of(attention: str, **options: Any) -> tuple[Backbone, list[Slot]]:
    make = partial(ATTENTIONS[attention], **options)
    network, slots = build_network(BACKBONES["resnet20"], make, Placement(), num_classes=3, seed=0)
    network.use_tail(TAILS["joined"])
    return network.eval().to(memory_format=torch.channels_last), slots


def images(number: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(number, 3, 8, 8, generator=generator)


@pytest.mark.parametrize(
    ("attention", "options"),
    [("se", {"ratio": 4}), ("se", {"ratio": 4, "gate": "tanh"}), ("eca", {}), ("static", {})],
)
def test_gates_are_the_factors_of_channels(attention: str, options: dict[str, Any]) -> None:
    """Of one pixel, the brightest: what scales a channel scales it there, too."""
    network, slots = network_of(attention, **options)
    expected: dict[int, list[Tensor]] = {1: [], 2: [], 3: []}

    def compare(stage: int, module: nn.Module, inputs: tuple[Tensor], y: Tensor) -> None:
        x = inputs[0].flatten(2)
        place = x.abs().argmax(2, keepdim=True)
        expected[stage].append((y.flatten(2).gather(2, place) / x.gather(2, place)).flatten())

    for slot in slots:
        network.get_submodule(slot.name).register_forward_hook(partial(compare, slot.stage))
    found = effective_gates(network, slots, images())
    for stage, parts in expected.items():
        np.testing.assert_allclose(found[stage], torch.cat(parts).numpy(), rtol=1e-4)
    if attention == "se":
        assert found[3].std() > 1e-4  # the comparison can tell one gate from another


def test_a_map_of_zeros_has_no_gate() -> None:
    x = torch.ones(2, 3, 4, 4)
    x[0, 1] = 0
    s, seen = channel_gates(x, 0.25 * x)
    assert s[seen > 0].tolist() == [0.25] * 5


def test_the_fold_is_back_whatever_happens() -> None:
    network, slots = network_of("se", ratio=4)
    modules = [network.get_submodule(slot.name) for slot in slots]
    effective_gates(network, slots, images())
    assert all(is_gate(module) for module in modules)
    with pytest.raises(RuntimeError):
        effective_gates(network, slots, torch.zeros(1, 7, 8, 8))
    assert all(is_gate(module) for module in modules)


class InTraining(GateHistograms):
    """What must not be: BatchNorm's statistics move."""

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)
        pl_module.train()
        pl_module.network(images().contiguous(memory_format=torch.channels_last))
        pl_module.eval()


def test_looking_changes_no_bit(
    senet: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, optimizer, metrics and predictions; the control is one that trains a little."""
    states = {}
    for name, looking in (
        ("with", [GateHistograms]),
        ("without", []),
        ("training", [InTraining]),
    ):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setattr(
            "senet_train.training.fit.gate_histograms",
            lambda plan, journal, looking=looking: [kind(plan.slots, journal) for kind in looking],
        )
        result = senet(*LINE)
        assert result.code == 0, result.err
        states[name] = state_of(tmp_path / name)
    assert equal(states["with"], states["without"])
    assert not equal(states["with"]["last"], states["training"]["last"])


def test_averaged_weights_are_looked_at(
    senet: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def note(network: nn.Module, *arguments: Any) -> Any:
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return effective_gates(network, *arguments)

    monkeypatch.setattr(gates, "effective_gates", note)
    assert senet(*TINY, "trainer.ema_decay=0.9").code == 0
    [folder] = run_folders(tmp_path)
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    averaged, trained = last["state_dict"], last["current_model_state"]
    assert len(seen) == 2
    assert all(torch.equal(averaged[f"network.{name}"], seen[-1][name]) for name in seen[-1])
    assert not equal(averaged["network.fc.weight"], trained["network.fc.weight"])
