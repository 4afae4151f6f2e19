"""Shared by all tests: the command in this process, in an empty folder."""

import gc
import multiprocessing
import os
import pickle
import shutil
import signal
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import torch
from composing import composing_is_fast
from device.pretended_gpu import register as register_the_pretended_gpu
from processes.dying import Forked
from support import (
    ROOT,
    TINY,
    Command,
    Result,
    Senet,
    draw_tree,
    pictures_unrendered,
    run_folders,
)
from threadpoolctl import threadpool_limits

from senet_train.backbones.slots import Backbone
from senet_train.cli import main
from senet_train.config.schema import Data
from senet_train.data import contents
from senet_train.networks.cost import NetworkCost
from senet_train.networks.insertion import Slot
from senet_train.runs import checkpoint_files, finished
from senet_train.training import checks, fit, plan
from senet_train.training.callbacks import speed
from senet_train.training.tasks import classification

# Tests of signals are of processes that inherit this, which nohup would have them ignore.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Networks and tables of the tests are tiny: a second thread costs more than it brings.
torch.set_num_threads(1)
threadpool_limits(1)  # of numpy
# A process's first backward pass makes a queue for each device that there is: none comes later.
register_the_pretended_gpu()


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real processes first, and so in one worker: a long test that begins last would end alone.

    With them all others that need its fork server, which takes seconds to start.
    """
    items.sort(
        key=lambda item: (
            item.path.parent.name != "processes"
            and "warm_fork_server" not in getattr(item, "fixturenames", ())
        )
    )


@pytest.fixture(scope="session", autouse=True)
def composing() -> Iterator[None]:
    """Commands in this process compose fast."""
    with composing_is_fast():
        yield


# What takes time in every run, and is asked for by the tests of it alone.
SPARED = (
    (os, "fsync", lambda descriptor: None),  # for power cuts, which tests do not have
    (speed, "LATENCY_SECONDS", 0.0),
    (speed, "LEAST_PASSES", 1),  # at each batch size, after the one that warms up
    (fit, "reset_peak_memory", lambda: None),  # its search for garbage takes 0.14 s here
    (checkpoint_files, "read_back", lambda path: None),  # asked for in test_checkpoint_files.py
    (classification, "write_mistakes", lambda *arguments: None),  # drawn in test_tensorboard.py
)


@pytest.fixture(scope="session", autouse=True)
def time_is_spared() -> Iterator[None]:
    """Runs in this process leave out what SPARED has."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, value in SPARED:
            patch.setattr(owner, name, value)
        yield


@pytest.fixture(scope="session", autouse=True)
def costs_are_known() -> Iterator[None]:
    """A network whose cost was measured before in this process is not measured again."""
    known: dict[bytes, NetworkCost] = {}

    def cost_at(network: Backbone, slots: list[Slot], data: Data) -> NetworkCost:
        try:
            key = pickle.dumps((network, slots, data.image_size, data.test_size))
        except (AttributeError, RecursionError, pickle.PicklingError):  # of a test, or deep
            return checks.cost_at(network, slots, data)
        if key not in known:
            known[key] = checks.cost_at(network, slots, data)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "cost_at", cost_at)
        yield


@pytest.fixture(scope="session", autouse=True)
def kept_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is known of the tests' files and runs out of the user's cache folder."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "cache_folder", lambda: folder)
        patch.setattr(finished, "cache_folder", lambda: folder)
        yield


@pytest.fixture(scope="session")
def warm_fork_server() -> None:
    """Start the fork server of this process with what processes/warm.py loads.

    A sweep's launcher takes the server that is there. Python 3.11 imports what is to be loaded
    from PYTHONPATH alone, and says nothing where that fails.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(["processes.warm"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)
        forkserver.ensure_running()


@pytest.fixture
def unrendered() -> Iterator[None]:
    """Pictures are of one pixel."""
    with pictures_unrendered():
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test that fails here fails everywhere, and again."""
    torch.default_generator.manual_seed(0)


@pytest.fixture
def senet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Senet:
    """`senet("ratio=4")` runs the command in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def run(*arguments: str) -> Result:
        code = main(arguments)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


@pytest.fixture
def command(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, warm_fork_server: None
) -> Iterator[Command]:
    """`command("ratio=4")` starts the command as a process of its own; none outlives the test."""
    started: list[Forked] = []

    def start(*arguments: str, folder: Path = tmp_path) -> Forked:
        started.append(Forked(arguments, folder, tmp_path_factory.mktemp("printed")))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of TINY, which nobody changes."""
    base = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        assert main(TINY) == 0
    [folder] = run_folders(base)
    return folder


@pytest.fixture
def finished_run(tiny_run: Path, tmp_path: Path) -> Path:
    """The folder of a run as `senet(*TINY)` leaves it, which a test may change."""
    shutil.copytree(tiny_run.parents[2], tmp_path / "outputs")
    [folder] = run_folders(tmp_path)
    return folder


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run of the fault tests leaves that nobody disturbs."""
    from processes import dying, outcome

    folder = tmp_path_factory.mktemp("whole")
    assert dying.run(folder, outcome.LINE) == 0
    return outcome.state_of(folder)


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tree of class folders, and the folder of a tiny run that was trained on it."""
    base = tmp_path_factory.mktemp("seen")
    draw_tree(base / "tree")
    settings = [word for word in TINY if not word.startswith(("data.num", "data=", "trainer.max"))]
    tree = ("data=imagenet_subset", f"data.root={base / 'tree'}", "trainer.max_epochs=4")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        assert main([*settings, *tree, "optim.label_smoothing=0.0"]) == 0
    [folder] = run_folders(base)
    return base / "tree", folder
