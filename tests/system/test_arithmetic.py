"""float32 is float32 in every command, also on a GPU that could multiply TF32."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import TINY, Senet
from torch.nn.modules.module import register_module_forward_pre_hook

from senet_train.commands.evaluate import cli as evaluate
from senet_train.commands.inspect.session import inspect_run
from senet_train.commands.predict import cli as predict
from senet_train.commands.profile import cli as profile
from senet_train.networks import stopwatch
from senet_train.system.arithmetic import arithmetic, exact_float32

Flags = tuple[str, str, str]


def flags() -> Flags:
    """What float32 is in convolutions, recurrent layers and products of matrices of a GPU."""
    cudnn: Any = torch.backends.cudnn
    return (
        cudnn.conv.fp32_precision,
        cudnn.rnn.fp32_precision,
        torch.backends.cuda.matmul.fp32_precision,
    )


EXACT = ("ieee", "ieee", "ieee")


@pytest.fixture
def seen_flags() -> Iterator[set[Flags]]:
    """The flags under which any module computed something: a plan's, on meta, do not."""
    found: set[Flags] = set()

    def note(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        if not all(isinstance(x, torch.Tensor) and x.is_meta for x in inputs):
            found.add(flags())

    handle = register_module_forward_pre_hook(note)
    yield found
    handle.remove()


def test_exact_for_the_block_alone() -> None:
    before = flags()
    assert before[0] == "tf32"  # negative control: what torch does by itself in convolutions
    with exact_float32():
        assert flags() == EXACT
        with exact_float32():
            pass
        assert flags() == EXACT
        assert torch.get_float32_matmul_precision() == "highest"  # asked by Lightning on a GPU
    assert flags() == before
    with pytest.raises(KeyError), exact_float32():
        raise KeyError
    assert flags() == before


def test_the_settings_of_a_run_are_of_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    for deterministic in (True, False):
        settings = arithmetic(deterministic=deterministic, cudnn_benchmark=True, threads=2)
        with settings:
            assert flags() == EXACT
            assert torch.are_deterministic_algorithms_enabled() == deterministic
            assert torch.backends.cudnn.benchmark
            assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert torch.get_num_threads() == 1


def test_training_and_its_test(senet: Senet, seen_flags: set[Flags]) -> None:
    assert senet(*TINY, "trainer.max_epochs=1").code == 0
    assert seen_flags == {EXACT}


def inspected(run: str) -> int:
    """What senet-inspect computes, without the pictures and files that it makes of that."""
    inspect_run(
        Path(run), part="val", root=None, classes=None, knockout=True, report_progress=print
    )
    return 0


COMMANDS: dict[str, Callable[[str, str], int]] = {
    "evaluate": lambda tree, run: evaluate.main([run]),
    "predict": lambda tree, run: predict.main([run, f"{tree}/val"]),
    "inspect": lambda tree, run: inspected(run),
    "profile": lambda tree, run: profile.main([run, "--batch-sizes", "1"]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_that_run_networks(
    command: str,
    seen: tuple[Path, Path],
    seen_flags: set[Flags],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree, run = map(str, seen)
    monkeypatch.setattr(stopwatch, "SECONDS", 0.0)
    assert COMMANDS[command](tree, run) == 0
    assert seen_flags == {EXACT}
