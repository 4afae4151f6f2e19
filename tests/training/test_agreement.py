"""How often the processes of a run, and a host and its GPU, wait for each other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from training.fitting import fit

from senet_train.errors import PeerLost
from senet_train.system import signals
from senet_train.system.signals import Stopped
from senet_train.training.callbacks import agreement
from senet_train.training.callbacks.agreement import MOST_STEPS, steps_in
from senet_train.training.distributed import collectives
from senet_train.training.distributed.collectives import explain_lost_peers, process_group
from senet_train.training.distributed.world import STORE, World, world
from senet_train.training.loss_guard import LossGuard

# What the survivors of a run said when another process was gone.
GONE = (
    "[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1",
    "[../gloo/transport/tcp/pair.cc:589] Read error [::1]:2: Connection reset by peer",
    "Gloo connectFullMesh failed with [../pair.cc:144] Application timeout caused pair closure",
    "Timed out waiting 1800000ms for recv operation to complete",
    "NCCL error in: NCCLUtils.cpp:77, remote process exited or there was a network error",
    "ncclRemoteError: A call failed possibly due to a network error or a remote process exiting "
    "prematurely.\nLast error:\nsocketProgressOpt: Call to recv from 10.0.0.2 failed : Broken pipe",
    "ncclInternalError: Internal check failed.\nLast error:\nConnection closed by remote peer a",
    "NCCL communicator was aborted on rank 1.",
    "[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7, OpType=ALLREDUCE)",
    "socketPollConnect: connect returned Connection refused, exceeded error retry count (35)",
    "failed to recv, got 0 bytes. Connection was likely closed. Did the remote server shutdown?",
)


@pytest.fixture
def one_of_two(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Be the first of two processes, whose group has no second: what it says is what all say.

    The calls of its collective operations.
    """
    places = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, STORE: "x"}
    for name, value in places.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    assert world() == World(0, 2, 0, 2)
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    calls: list[str] = []

    def watch(name: str) -> None:
        real = getattr(dist, name)

        def called(tensor: torch.Tensor, *arguments: Any, **named: Any) -> Any:
            calls.append(f"{name} of {tuple(tensor.shape)} {tensor.device}")
            return real(tensor, *arguments, **named)

        monkeypatch.setattr(dist, name, called)

    for name in ("all_reduce", "broadcast"):
        watch(name)
    yield calls
    dist.destroy_process_group()


def test_a_step_exchanges_one_number_and_the_rest_once_in_many(
    one_of_two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is whether to halt, which stays on the device; nothing of Lightning's besides."""
    monkeypatch.setattr(agreement, "steps_in", lambda seconds, seconds_per_step: MOST_STEPS)
    steps: list[list[str]] = []
    see = LossGuard.see

    def seen(guard: LossGuard, loss: torch.Tensor) -> None:
        steps.append([])
        before = len(one_of_two)
        see(guard, loss)
        assert one_of_two[before:] == ["all_reduce of () cpu"]

    def asked(*values: float) -> list[float]:
        if len(values) == 4:
            steps[-1].append("exchange")
        return exchange(*values)

    exchange = agreement.all_reduce_max
    monkeypatch.setattr(LossGuard, "see", seen)
    monkeypatch.setattr(agreement, "all_reduce_max", asked)
    fit(tmp_path, max_epochs=2)
    epoch = [["exchange"], [], [], ["exchange"]]  # after the first step, and after the last
    assert steps == [*epoch, *epoch]
    broadcasts = [call for call in one_of_two if call.startswith("broadcast")]
    assert len(broadcasts) == 2 * 2  # the means of each validation, and the seconds of training


def test_one_process_on_a_cpu_asks_after_every_step(tmp_path: Path) -> None:
    """It waits for nobody: a signal, and a loss that is not finite, end it at once."""
    asked: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        agree = agreement.Agreement.agree

        def counted(self: Any, trainer: Any, module: Any) -> None:
            asked.append(trainer.global_step)
            agree(self, trainer, module)

        patch.setattr(agreement.Agreement, "agree", counted)
        fit(tmp_path, max_epochs=1)
    assert asked == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("seconds_per_step", "steps"),
    [(10.0, 1), (0.5, 1), (0.24, 2), (0.01, 50), (0.0001, MOST_STEPS)],
)
def test_an_exchange_is_due_in_half_a_second(seconds_per_step: float, steps: int) -> None:
    assert steps_in(0.5, seconds_per_step) == steps


def test_all_processes_ask_after_the_same_step(
    one_of_two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slowest process decides: the next question comes in as many steps as it takes in half a
    second."""
    slowest = 0.2

    def others(*values: float) -> list[float]:
        return [max(values[0], slowest), *values[1:]] if len(values) == 4 else list(values)

    monkeypatch.setattr(agreement, "all_reduce_max", others)
    every: list[int] = []
    agree = agreement.Agreement.agree

    def noted(self: Any, trainer: Any, module: Any) -> None:
        agree(self, trainer, module)
        every.append(self.every)

    monkeypatch.setattr(agreement.Agreement, "agree", noted)
    monkeypatch.setattr(agreement.time, "monotonic", lambda: 0.0)
    fit(tmp_path, max_epochs=1)
    assert every == [2, 2, 2]  # after the steps 1, 3 and 4, the last


def test_a_signal_of_another_process_stops_this_one(
    one_of_two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others(*values: float) -> list[float]:
        return [values[0], 15, *values[2:]] if len(values) == 4 else list(values)

    monkeypatch.setattr(agreement, "all_reduce_max", others)
    with pytest.raises(Stopped) as stop:
        fit(tmp_path)
    assert stop.value.exit_code == 143
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()
    assert signals.pending_signal() is None  # none had arrived here


def test_the_device_is_asked_after_the_other_processes(
    one_of_two: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If one of them is gone, the device may wait for it for ever; gloo says so at once."""

    def gone(*values: float) -> list[float]:
        raise RuntimeError(GONE[0])

    def never(guard: LossGuard) -> None:
        raise AssertionError("the device is waited for")

    monkeypatch.setattr(agreement, "all_reduce_max", gone)
    monkeypatch.setattr(LossGuard, "ask", never)
    with pytest.raises(PeerLost), explain_lost_peers():
        fit(tmp_path)


@pytest.mark.parametrize("words", GONE)
def test_the_words_for_a_lost_process_are_known(words: str, one_of_two: list[str]) -> None:
    said = "one of the 2 processes of this run is gone"
    with pytest.raises(PeerLost, match=said), explain_lost_peers():
        raise RuntimeError(words)
    with pytest.raises(RuntimeError, match="size mismatch"), explain_lost_peers():
        raise RuntimeError("size mismatch, got 3, 4")


@pytest.mark.parametrize(("on_gpu", "backend"), [(True, "cpu:gloo,cuda:nccl"), (False, "gloo")])
def test_hosts_talk_over_gloo(on_gpu: bool, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside NCCL, which has the GPUs' tensors: what hosts tell each other waits for no GPU."""
    asked: list[str] = []
    monkeypatch.setattr(collectives, "world", lambda: World(0, 2, 0, 2))
    monkeypatch.setattr(dist, "init_process_group", lambda name, **named: asked.append(name))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    sent: list[torch.Tensor] = []
    monkeypatch.setattr(dist, "all_reduce", lambda tensor, *given: sent.append(tensor))
    monkeypatch.setattr(dist, "broadcast", lambda tensor, src: sent.append(tensor))
    with process_group(on_gpu):
        pass
    assert asked == [backend]
    collectives.all_reduce_max(1.0, 2.0)
    collectives.broadcast(3.0)
    collectives.barrier()
    assert [tensor.device.type for tensor in sent] == ["cpu"] * 4  # one as they leave the group
