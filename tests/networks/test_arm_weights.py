"""An arm as pretrained weights: every seed goes on from the network that its own run trained."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from support import brief_runs_in, config, run_folders
from torchvision_cases import FAKE

from senet_train import load_run
from senet_train.cli import main
from senet_train.config.schema import Choice
from senet_train.errors import InputError
from senet_train.networks.bind import bind_network
from senet_train.training.parameters import new_prefixes
from senet_train.training.plan import make_plan

SQUEEZE = (*FAKE, "model.name=squeezenet1_1")
GIVEN = (*SQUEEZE, "attention=se", "optim.frozen=backbone", "trainer.kernel=composed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`trained`, an arm of seeds 1 and 2, and in `outputs` the arm that has gone on from it.

    The checkpoints of `trained` are full ones: their weights are averages.
    """
    base = tmp_path_factory.mktemp("made")
    with brief_runs_in(base):
        for seed in ("seed=1", "seed=2"):
            assert main([*SQUEEZE, seed, "trainer.ema_decay=0.5", "output_dir=first"]) == 0
        [arm] = Path("first/fake").iterdir()
        arm.rename("trained")
        for seed in ("seed=1", "seed=2"):
            assert main([*GIVEN, seed, "model.pretrained=trained"]) == 0
    return base


@pytest.fixture
def arm(made: Path, tmp_path: Path) -> Path:
    """A copy of `trained` that a test may spoil."""
    return Path(shutil.copytree(made / "trained", tmp_path / "trained"))


def best(arm: Path, seed: int) -> Path:
    return arm / f"seed{seed}" / "checkpoints" / "best.ckpt"


def test_each_seed_goes_on_from_its_own_run(made: Path) -> None:
    """With a frozen backbone what was loaded is still there, to the bit."""
    arm, folders = made / "trained", run_folders(made)
    assert [folder.name for folder in folders] == ["seed1", "seed2"]
    assert len({folder.parent for folder in folders}) == 1
    for seed, folder in zip((1, 2), folders, strict=True):
        after = load_run(folder)
        new = new_prefixes(after.model, after.slots)
        backbone = {k: v for k, v in after.model.state_dict().items() if not k.startswith(new)}
        files = {n: torch.load(best(arm, n), weights_only=True) for n in (1, 2)}
        averaged = files[seed]["state_dict"]
        assert all(torch.equal(averaged[f"network.{k}"], v) for k, v in backbone.items())
        for other in (files[3 - seed]["state_dict"], files[seed]["current_model_state"]):
            assert not any(torch.equal(other[f"network.{k}"], v) for k, v in backbone.items())
        sha256 = hashlib.sha256(best(arm, seed).read_bytes()).hexdigest()
        file = f"trained/seed{seed}/checkpoints/best.ckpt"
        said = json.loads((folder / "weights.json").read_text())
        assert said == {"file": file, "sha256": sha256}
        assert f"tensors loaded from {file}; sha256 {sha256}" in (folder / "run.log").read_text()
        known = json.loads((folder / "result.json").read_text())["config"]["model"]["pretrained"]
        assert known == f"arm:{json.loads((arm / 'identity.json').read_text())['sha256']}"


def test_an_arm_is_known_by_its_identity(arm: Path, tmp_path: Path) -> None:
    def identity(folder: Path, seed: int) -> str:
        plan = make_plan(config(*GIVEN, f"model.pretrained={folder}", f"seed={seed}"))
        return plan.identity.sha256

    first = identity(arm, 1)
    assert identity(best(arm, 1), 1) != first
    moved = Path(shutil.move(arm, tmp_path / "elsewhere"))
    assert identity(moved, 2) == first
    spoil(moved, sha256="0" * 64)
    assert identity(moved, 1) != first


def test_a_sweep_asks_for_its_own_seeds_alone(arm: Path, senet, tmp_path: Path) -> None:
    given = (*GIVEN, "model.pretrained=trained", "dry_run=true")
    assert "left to train: 2 of 2 runs" in senet(*given, "seeds=[1,2]").out  # there is no seed 0
    assert senet("-m", *given, "seed=2,1").code == 0
    assert not (tmp_path / "outputs").exists()


MISSING = "model.pretrained=trained has no finished run of "
WAYS = {
    "seed=0": "seed 0 to go on from: train that arm with seed=0, or choose seeds=[1,2]",
    "seeds=[1,3,4]": "seeds 3, 4 to go on from: train that arm with them, or choose seeds=[1,2]",
    "seeds=4": "seeds 0, 3 to go on from",
    "seeds=auto": "seeds 0, 3, 4, 5 and 14 more to go on from: train that arm with them",
}


@pytest.mark.parametrize("asked", WAYS)
def test_a_seed_whose_run_is_missing(asked: str, arm: Path, senet, tmp_path: Path) -> None:
    arms = ['arms=[["attention=none"],["attention=se"]]'] if asked == "seeds=auto" else []
    result = senet(*SQUEEZE, "model.pretrained=trained", asked, *arms)
    refused(result, MISSING + WAYS[asked], tmp_path)


@pytest.mark.parametrize("file", ["result.json", "checkpoints/best.ckpt"])
def test_a_seed_whose_run_is_unfinished(file: str, arm: Path, senet, tmp_path: Path) -> None:
    (arm / "seed2" / file).unlink()
    given = (*GIVEN, "model.pretrained=trained", "seed=2")
    ways = "seed 2 to go on from: train that arm with seed=2, or choose seeds=[1]"
    refused(senet(*given), MISSING + ways, tmp_path)
    (arm / "seed1" / file).unlink()
    refused(senet(*given), "train that arm with seed=2\n", tmp_path)


def spoil(arm: Path, **changes: object) -> None:
    content = json.loads((arm / "identity.json").read_text())
    (arm / "identity.json").write_text(json.dumps(content | changes))


def test_what_is_no_arm_to_go_on_from(arm: Path, senet, tmp_path: Path) -> None:
    given = (*GIVEN, "seed=1", "model.pretrained=trained")
    no_arm = "model.pretrained=trained/seed1 is a folder without an arm's identity.json"
    refused(senet(*given[:-1], "model.pretrained=trained/seed1"), no_arm, tmp_path)
    refused(senet(*given, "model.name=squeezenet1_0"), "does not fit SqueezeNet", tmp_path)
    spoil(arm, attention={"name": "simam"})  # it has no tensors: the weights alone would fit
    refused(senet(*given), "trained with attention=simam, which would not come", tmp_path)
    spoil(arm, attention={"name": "none"}, sha256="../..")
    refused(senet(*given), "identity.json is damaged: its sha256 is '../..'", tmp_path)
    spoil(arm, attention=[])
    refused(senet(*given), "without an arm's identity.json", tmp_path)


def refused(result, message: str, folder: Path) -> None:
    assert result.code == 2
    [line] = result.err.splitlines(keepends=True)
    assert line.startswith("error: ")
    assert message in line
    assert not (folder / "outputs").exists()


def test_a_run_goes_on_without_the_arm(made: Path, senet, tmp_path: Path) -> None:
    """Cut before its test, the arm gone: found by the arm's identity, it ends the same."""
    given = (*GIVEN, "seed=1")
    shutil.copytree(made / "outputs", tmp_path / "outputs")
    folder = run_folders(tmp_path)[0]
    expected = {k: v.clone() for k, v in load_run(folder).model.state_dict().items()}
    origin = (folder / "weights.json").read_bytes()
    known = json.loads((folder / "result.json").read_text())["config"]["model"]["pretrained"]
    (folder / "result.json").unlink()
    status = folder / "status.json"
    status.write_text(status.read_text().replace('"finished"', '"interrupted"'))
    again = senet(*given, f"model.pretrained={known}")
    assert again.code == 0, again.err
    assert "going on after 1 epoch and " in again.err
    found = load_run(folder).model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert (folder / "weights.json").read_bytes() == origin
    begun = senet(*GIVEN, f"model.pretrained={known}", "seed=3")
    assert begun.code == 2
    assert "says what the weights are and not where" in begun.err


def test_without_a_seed_nothing_is_loaded(arm: Path) -> None:
    choice = Choice("squeezenet1_1", {"pretrained": str(arm)}, "torchvision")
    with pytest.raises(InputError, match="is an arm, whose networks belong to seeds"):
        bind_network(choice)[0](2)
    assert bind_network(choice, load_weights=False)[0](2)  # from a checkpoint: no folder is read
