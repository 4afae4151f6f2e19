"""When a network is compiled, and where that cannot be had."""

import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pretended_cards import pretend_cards
from support import TINY, Senet, config
from torch import nn

from senet_train.data.images import Source
from senet_train.errors import InputError, RunError
from senet_train.networks import hardware
from senet_train.networks.hardware import choose_kernel
from senet_train.networks.kernels import compiled
from senet_train.networks.kernels.compiled import (
    BATCH_SECONDS,
    COMPILE_SECONDS,
    SAVED,
    compiling_explained,
    compiling_pays,
    no_compiler,
)
from senet_train.training.plan import batches_of, make_plan

GPU = ("gpu", True, True)
LONG = ("data=cifar10", "data.root=.", "model=resnet8", "trainer.max_epochs=1000")


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    choose_kernel.cache_clear()
    yield
    choose_kernel.cache_clear()


@pytest.fixture
def headers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python.h in a folder of its own."""
    file = tmp_path_factory.mktemp("include") / "Python.h"
    file.touch()
    return file


@pytest.fixture
def equipped(monkeypatch: pytest.MonkeyPatch, headers: Path) -> None:
    """A machine with Triton, compilers and Python's headers, and an RTX 30xx."""
    pretend_cards(monkeypatch, (8, 6))
    monkeypatch.setattr(hardware, "driver_version", lambda: "")
    # In the module's own names: everybody else must find what there is.
    for name, function, found in (
        ("importlib", "util", SimpleNamespace(find_spec=lambda name: object())),
        ("shutil", "which", lambda name: f"/usr/bin/{name}"),
        ("sysconfig", "get_path", lambda name: str(headers.parent)),
    ):
        monkeypatch.setattr(compiled, name, SimpleNamespace(**{function: found}))


def test_it_pays_where_it_saves_more_than_it_takes() -> None:
    break_even = COMPILE_SECONDS / SAVED / BATCH_SECONDS
    few, many = int(0.99 * break_even), int(1.01 * break_even)
    usual = {"alone": True, "deterministic": False}
    assert [compiling_pays("gpu", batches, **usual) for batches in (0, few, many)] == [0, 0, 1]
    assert not compiling_pays("cpu", 10**9, **usual)
    assert not compiling_pays("mps", 10**9, **usual)
    assert not compiling_pays("gpu", many, alone=False, deterministic=False)
    assert not compiling_pays("gpu", many, alone=True, deterministic=True)


def test_steps_are_counted_before_images_are_read() -> None:
    source = Source(("a", "b"), "", load=lambda: pytest.fail("nothing is read"), num_images=1000)
    run = config("data=fake", "data.batch_size=32", "data.val_fraction=0.1", "trainer.max_epochs=7")
    assert batches_of(run, source) == 7 * (900 // 32)
    assert batches_of(run, replace(source, validation=range(500, 1000))) == 7 * (500 // 32)
    assert batches_of(run, replace(source, num_images=20)) == 7
    assert batches_of(run, replace(source, num_images=0)) == 0


@pytest.mark.parametrize("data", ["data=digits", "data=fake", "task=segmentation"])
def test_a_source_knows_how_many_images_it_will_read(data: str) -> None:
    words = [data, "data.num_classes=2"] if data == "data=fake" else [data]
    plan = make_plan(config(*words, "model=resnet8", "trainer.kernel=composed"))
    pool, _ = plan.source.load()
    assert plan.source.num_images == len(pool.labels)


def test_a_long_run_on_a_gpu_is_compiled_and_says_so(
    equipped: None, senet: Senet, caplog: pytest.LogCaptureFixture
) -> None:
    def kernel(*words: str) -> str:
        return make_plan(config(*LONG, *words)).config.trainer.kernel

    assert kernel() == "compiled"
    assert kernel("trainer.max_epochs=2") == "composed"
    assert kernel("trainer.kernel=composed") == "composed"
    assert kernel("trainer.deterministic=true") == "composed"
    assert kernel("trainer.accelerator=cpu") in ("folded", "joined")
    assert kernel("attention=none") == kernel("model=wrn28_10") == "compiled"  # as all of a table
    assert caplog.messages == []
    said = "trainer.kernel=compiled: torch.compile works on the network in the first step"
    assert said in senet(*LONG, "dry_run=true").err
    assert said not in senet(*LONG, "trainer.max_epochs=2", "dry_run=true").err


MISSING = {
    "triton": "torch.compile needs the package triton, which is not here",
    "compiler": "torch.compile needs a compiler, and there is none of cc, gcc, clang",
    "headers": "Python.h, which is not here",
}


@pytest.mark.parametrize("what", MISSING)
def test_without_a_compiler_auto_is_what_it_was_with_a_line(
    what: str,
    equipped: None,
    headers: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if what == "triton":
        monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
    elif what == "compiler":
        monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    else:
        headers.unlink()
    for words in ((), ("trainer.kernel=compiled", "trainer.max_epochs=1"), ()):
        assert make_plan(config(*LONG, *words)).config.trainer.kernel == "composed"
    [line] = caplog.messages  # once in a process
    assert line.startswith("trainer.kernel=composed, not compiled: ")
    assert line.endswith(MISSING[what])


def test_a_cpu_needs_another_compiler(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    header = Path(sysconfig.get_path("include")) / "Python.h"
    assert (no_compiler("cpu") == "") == header.exists()
    monkeypatch.setattr(compiled, "shutil", SimpleNamespace(which=lambda name: None))
    assert choose_kernel("compiled", "cpu", True, False) == "composed"
    [line] = caplog.messages
    assert line.endswith("there is none of c++, g++, clang++")


REFUSED = {
    "trainer.channels_last=false": "is for channels-last maps on a CPU: choose",
    "trainer.deterministic=true": "with trainer.deterministic=true: torch.compile chooses some",
    "task=detection": "is not for task=detection, whose images have any number of objects: choose",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_contradicts_it_is_refused(word: str, senet: Senet, tmp_path: Path) -> None:
    words = [each for each in TINY if "data" not in each] if "task" in word else TINY
    result = senet(*words, word, "trainer.kernel=compiled")
    assert result.code == 2
    assert result.err.startswith(f"error: trainer.kernel=compiled {REFUSED[word]}")
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_compiler_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: object, inputs: object) -> None:
        raise OSError("ptxas is not here\nsecond line")

    monkeypatch.setattr(compiled, "HOW", {"backend": broken})
    forward = compiled.compiled(nn.Linear(2, 2))
    with pytest.raises(RunError) as caught, compiling_explained():
        forward(torch.ones(1, 2))
    assert str(caught.value) == (
        "torch.compile failed (backend='broken' raised: OSError: ptxas is not here second line): "
        "trainer.kernel=composed trains without it"
    )
    with pytest.raises(RuntimeError, match="another"), compiling_explained():
        raise RuntimeError("another")


def test_a_profile_is_of_what_is_not_compiled() -> None:
    from senet_train.commands.profile.networks import spec_of

    with pytest.raises(InputError, match=r"trainer\.kernel=compiled is for training, and senet-"):
        spec_of(config(*TINY, "trainer.kernel=compiled"), torch.device("cpu"))
