"""The average of the weights: torch's, to the bit, in a few kernels and without a wait."""

import pytest
import torch
from device.pretended_gpu import device, pretended_gpu
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn

from senet_train.training.callbacks.averaging import MovingAverage, tensors_of

HOST = torch.device("cpu")
DECAY = 0.8


def network(blocks: int = 3) -> nn.Module:
    layers = (layer for _ in range(blocks) for layer in (nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))
    whole = nn.Sequential(*layers)
    whole.register_buffer("scale", torch.rand(5).double())
    return whole


def change(model: nn.Module) -> None:
    """As a step of training would."""
    for tensor in tensors_of(model):
        tensor.add_(torch.randn(tensor.shape).to(tensor.dtype) if tensor.ndim else 1)


@pytest.mark.parametrize("decay", [0.9, 0.999, 1 / 3])
def test_bits_are_those_of_torch(decay: float) -> None:
    model = network()
    ours = MovingAverage(model, decay, HOST)
    theirs = AveragedModel(model, avg_fn=get_ema_avg_fn(decay), use_buffers=True)
    for _ in range(6):
        change(model)
        ours.update_parameters(model)
        theirs.update_parameters(model)
        pairs = list(zip(tensors_of(ours), tensors_of(theirs), strict=True))
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    assert not any(
        torch.equal(a, b) for a, b in zip(tensors_of(ours.module), tensors_of(model), strict=True)
    )


def test_torchs_own_multi_tensor_average_has_other_bits() -> None:
    """The control: it is not for nothing that the products are rounded one by one."""
    model = network()
    ours = MovingAverage(model, DECAY, HOST)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)
    for _ in range(3):
        change(model)
        ours.update_parameters(model)
        theirs.update_parameters(model)
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    assert all(torch.allclose(a, b) for a, b in pairs)
    assert not all(torch.equal(a, b) for a, b in pairs)


def update_on_gpu(blocks: int) -> tuple[int, int, list[Tensor]]:
    """The kernels and waits of an update, and the averages after it."""
    torch.manual_seed(1)
    model = network(blocks)
    changed = [tensor + 1 for tensor in tensors_of(model)]
    with pretended_gpu() as begin:
        model.to(device())
        average = MovingAverage(model, DECAY, device())
        average.update_parameters(model)
        for tensor, value in zip(tensors_of(model), changed, strict=True):
            tensor.copy_(value)
        counts = begin()
        average.update_parameters(model)
        return counts.kernels.total(), counts.waits.total(), [t.cpu() for t in tensors_of(average)]


def test_an_update_takes_as_many_kernels_for_any_network() -> None:
    few, waits, averages = update_on_gpu(2)
    many, further, _ = update_on_gpu(9)
    assert waits == further == 0
    assert few == many < 30
    torch.manual_seed(1)
    model = network(2)
    expected = MovingAverage(model, DECAY, HOST)
    expected.update_parameters(model)
    for tensor in tensors_of(model):
        tensor.add_(1)
    expected.update_parameters(model)
    assert all(map(torch.equal, averages, tensors_of(expected)))
