"""One run as several processes: the same numbers as one process, and the same promises."""

import csv
import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from processes.outcome import EVERY_STEP, LINE, equal, state_of
from support import DATA, Command, Senet, run_folders, wait_for, weights_in
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from senet_train.backbones.shake_shake import shakeshake26_2x32d
from senet_train.backbones.wide_resnet import Dropout, WideResNet
from senet_train.cli import main
from senet_train.config.schema import Data
from senet_train.data.images import MemoryImages
from senet_train.data.loaders import TrainingBatches
from senet_train.errors import InputError
from senet_train.runs.status import is_alive, read_status
from senet_train.training.distributed.draws import divide_draws, draws_of_libraries
from senet_train.training.distributed.world import SINGLE_PROCESS, STORE, World, world
from senet_train.training.fit import refuse_uneven

# At a larger rate twelve steps let rounding grow to 1e-4, between two kernels of one process too.
TWO = (*(word for word in LINE if "batch_size" not in word), "data.batch_size=8", "optim.lr=0.0001")


def place(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    """Be one of two processes, without the other."""
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, STORE: "x"}
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    assert world() == World(rank, 2, rank, 2)


def test_a_process_is_alone_unless_it_was_started_as_one_of_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "1")  # other programs set these, too
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert world() == SINGLE_PROCESS


def test_a_process_that_is_called_one_of_several_says_that_it_is_alone(
    senet: Senet, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "RANK=2 and WORLD_SIZE=4 are set, and this process trains alone"
    assert said not in senet(*LINE, "dry_run=true").err
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert said in senet(*LINE, "dry_run=true").err


@pytest.mark.parametrize("variable", ["TORCHELASTIC_RUN_ID", STORE])
def test_a_variable_that_was_left_behind(
    senet: Senet, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """By a shell that torchrun had started, say: a line, and the run trains alone."""
    said = f"warning: {variable} is set and RANK is not: this process trains alone"
    assert said not in senet(*LINE, "dry_run=true").err
    monkeypatch.setenv(variable, "7")
    result = senet(*LINE, "dry_run=true")
    assert result.code == 0
    assert said in result.err


@pytest.mark.parametrize(
    "places",
    [
        {"RANK": "1"},
        {"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"},
        {"RANK": "0", "WORLD_SIZE": "two", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "", "LOCAL_WORLD_SIZE": "2"},
    ],
)
def test_a_place_that_cannot_be(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: dict[str, str]
) -> None:
    """Several processes would each train the whole run: refused in a line."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    result = senet(*LINE)
    assert result.code == 2
    [line] = result.err.splitlines()
    assert line.startswith("error: the environment has ")
    assert ": unset " in line
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_is_no_number(senet: Senet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning reads these as it is imported, whoever has set them."""
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.setenv(name, "first")
        result = senet(*LINE)
        assert result.err == (
            f"error: the environment has {name}=first, which is no number: unset {name}\n"
        )
        assert result.code == 2
        monkeypatch.delenv(name)


def test_shares_make_up_the_batches(monkeypatch: pytest.MonkeyPatch, data: Data) -> None:
    """Same images, same draws, in two halves."""
    pixels = torch.randint(0, 256, (20, 8, 8, 3), dtype=torch.uint8)
    images = MemoryImages(pixels, torch.arange(20), [str(i) for i in range(20)])

    def batches() -> list[tuple[Tensor, Tensor, Tensor]]:
        return list(TrainingBatches(images, data, seed=1, epoch=2, shard=world().shard))

    whole, halves = batches(), []
    for rank in (0, 1):
        place(monkeypatch, rank)
        halves.append(batches())
    for batch, first, second in zip(whole, *halves, strict=True):
        for part, one, other in zip(batch, first, second, strict=True):
            assert torch.equal(part, torch.stack([one, other], 1).flatten(0, 1))


@pytest.fixture
def data() -> Data:
    import dataclasses

    return dataclasses.replace(DATA, batch_size=6)


def test_dropout_is_that_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(6, 3, 2, 2)
    torch.manual_seed(5)
    whole = Dropout(0.5)(x)
    for rank in (0, 1):
        place(monkeypatch, rank)
        network = nn.Sequential(Dropout(0.5))
        divide_draws(network)
        torch.manual_seed(5)
        assert torch.equal(network(x[rank::2]), whole[rank::2])


@pytest.mark.parametrize(
    ("layer", "draws"),
    [
        (nn.Dropout(0.5), 1),
        (nn.Dropout(0.0), 0),
        (StochasticDepth(0.2, "row"), 1),
        (Dropout(0.5), 0),
        (WideResNet(3, depth=10, widen=1, dropout=0.5), 0),
        (shakeshake26_2x32d(3), 0),
    ],
)
def test_layers_of_libraries_that_draw(layer: nn.Module, draws: int) -> None:
    """For the images that they see, where ours draw for the whole batch."""
    assert draws_of_libraries(layer.to("meta"), 8) == draws


def test_a_network_that_draws_by_itself_says_so(senet: Senet) -> None:
    line = ("data=fake", "model=torchvision", "model.name=mobilenet_v3_small", "dry_run=true")
    said = "with trainer.devices=2 its numbers are not those of one process"
    assert said in senet(*line, "trainer.devices=2").err
    assert said not in senet(*TWO, "dry_run=true", "trainer.devices=2").err


def metrics(base: Path) -> list[dict[str, str]]:
    [folder] = run_folders(base)
    return list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))


def gate_points(folder: Path) -> list[tuple[int, str]]:
    [file] = folder.glob("events.*")
    return [
        (event.step, value.tag)
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.tag.startswith("gates/")
    ]


@pytest.mark.parametrize(
    "words",
    [
        "attention=se data.test_flips=horizontal",
        pytest.param("attention=se data.mixup=0.3 data.cutmix=1.0", marks=pytest.mark.slow),
        pytest.param("attention=srm", marks=pytest.mark.slow),
        pytest.param("attention=se optim=adamw optim.accumulate=2", marks=pytest.mark.slow),
        pytest.param(
            "attention=se data.sampling=balanced optim.focal_gamma=2.0 optim.label_smoothing=0.0 "
            "trainer.score=macro_f1 trainer.patience=1 trainer.max_epochs=6",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_two_processes_train_the_same_network(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    line = [word for word in TWO if not word.startswith(("model", "ratio"))]
    line += ["model=resnet8", *words.split(), "trainer.kernel=composed"]
    for name, devices in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        result = senet(*line, f"trainer.devices={devices}")
        assert result.code == 0, result.err
        assert ("2 processes share every batch, with 1 thread each" in result.err) == (devices == 2)
    for one, two in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        for key in ("train_loss", "val_loss", "val_macro_f1", "val_balanced_accuracy"):
            assert float(two[key]) == pytest.approx(float(one[key]), rel=1e-5), key
    ones, twos = (weights_in(*run_folders(tmp_path / name)) for name in ("one", "two"))
    for key, tensor in ones.items():
        torch.testing.assert_close(twos[key], tensor, rtol=1e-4, atol=1e-6)
    folders = [run_folders(tmp_path / name)[0] for name in ("one", "two")]
    assert gate_points(folders[0]) == gate_points(folders[1]) != []  # the first alone writes
    assert folders[0].parts[-2:] == folders[1].parts[-2:]  # one identity
    again = senet(*line, "trainer.devices=2")
    assert "found finished" in again.err


LONG = (*TWO, "trainer.max_epochs=20", "trainer.devices=2", EVERY_STEP)


def under_way(base: Path, epochs: int) -> bool:
    return (
        bool(run_folders(base))
        and (run_folders(base)[0] / "metrics.csv").exists()
        and len(metrics(base)) >= epochs
    )


def members(base: Path) -> list[int]:
    """The numbers of the processes that train, which the command has started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or not ours
            environment = (process / "environ").read_bytes()
            if (process / "cwd").readlink() == base and STORE.encode() in environment:
                found.append(int(process.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["signal to the command", "command killed", "second killed"])
def test_two_processes_go_on_exactly(
    senet: Senet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
    victim: str,
) -> None:
    base, whole = tmp_path / "cut", tmp_path / "whole"
    base.mkdir()
    whole.mkdir()
    monkeypatch.chdir(whole)
    assert senet(*LONG).code == 0
    first = command(*LONG, folder=base)
    wait_for(lambda: under_way(base, 3))
    processes = members(base)
    assert len(processes) == 2
    if victim == "signal to the command":
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 143
    elif victim == "command killed":
        first.kill()
    else:
        os.kill(max(processes), signal.SIGKILL)
        assert first.wait(90) == 1
    wait_for(lambda: not any(map(is_alive, processes)))
    [folder] = run_folders(base)
    status = read_status(folder)
    assert status is not None
    assert status.state == "interrupted", json.dumps(vars(status))
    second = command(*LONG, folder=base)
    _, err = second.communicate(timeout=120)
    assert second.returncode == 0
    assert "going on after" in err
    assert equal(state_of(whole), state_of(base))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.devices=0"], "trainer.devices=0: must be greater than or equal to 1"),
        (["trainer.devices=3"], "data.batch_size=8 cannot be shared by trainer.devices=3 in equal"),
        (["trainer.devices=2", "trainer.kernel=joined"], "by one process: choose auto or composed"),
        (
            ["trainer.devices=2", "attention=shuffled"],
            "of another image of the batch, and",
        ),
    ],
)
def test_bad_input(senet: Senet, tmp_path: Path, words: list[str], message: str) -> None:
    result = senet(*TWO, *words)
    assert result.code == 2
    assert message in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_under_torchrun(senet: Senet, monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, 0)
    result = senet(*TWO, "seeds=2", "trainer.devices=2")
    assert result.code == 2
    assert "error: torchrun starts the processes of one run, and this is a sweep" in result.err


@pytest.mark.parametrize("started_by_us", [True, False])
def test_an_unread_ratio_is_mentioned_by_the_command_alone(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    started_by_us: bool,
) -> None:
    """The processes that a run of a sweep starts do not say it again."""
    monkeypatch.chdir(tmp_path)
    if started_by_us:
        place(monkeypatch, 0)
    words = [*TWO, "model=resnet8", "trainer.devices=2", "dry_run=true", "hydra.mode=RUN"]
    assert main(words, planned=True) == 0
    said = capsys.readouterr().err
    assert "dry run: " in said
    assert ("ratio=4 changes nothing" in said) is not started_by_us


def test_an_only_batch_of_unequal_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be smaller than data.batch_size, which was seen to be a multiple."""
    place(monkeypatch, 0)
    refuse_uneven(50)
    with pytest.raises(InputError, match=r"49 images, which trainer\.devices=2 cannot share"):
        refuse_uneven(49)


def test_torchrun_with_another_number(senet: Senet, monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, 0)
    result = senet(*TWO)
    assert result.code == 2
    assert "trainer.devices=1 and torchrun started 2 processes: choose" in result.err
