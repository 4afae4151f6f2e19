"""A sweep that is planned on one machine and made on others, where `auto` is something else."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from processes.dying import SERVER
from support import TINY, Senet, arms
from sweeps.planned_training import Bench

from senet_train.commands.compare import main as compare
from senet_train.sweeps.launchers.cluster import SubmititLocalLauncher
from senet_train.sweeps.launchers.cluster_job import ClusterJob

pytestmark = pytest.mark.usefixtures("bench")  # nor is anything trained in this process

BF16 = "bf16-mixed"
DATA = [word for word in TINY if not word.startswith(("ratio", "trainer."))]
BASE = [*DATA, "trainer.max_epochs=1"]
CLUSTER = [*BASE, "hydra/launcher=submitit_local"]
PLAIN, SE, ECA = ["attention=none"], ["attention=se", "ratio=4"], ["attention=eca"]
CHOOSE = "senet_train.training.plan.choose_precision"


def on_node(folder: Path, argv: Sequence[str], precision: Any, end: Path) -> None:
    """What a forked process does in the place of a node on which `auto` is this precision."""
    from senet_train.cli import main
    from senet_train.training import make_record, plan

    plan.choose_precision = lambda asked, _: precision if asked == "auto" else asked
    make_record.fit_and_test = Bench().fit_and_test
    os.chdir(folder)
    made: set[Path] = set()
    code = main(list(argv), planned=True, made=made)
    end.write_text(json.dumps([code, *(os.path.abspath(folder) for folder in made)]))


class Nodes:
    """Nodes that take the jobs of submitit_local, the first job the first node, and so on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.precisions, self.num_jobs = folder, [BF16], 0

    def wait_for(self, jobs: Sequence[Any], names: Sequence[str]) -> list[tuple[int, str]]:
        return [self.run(job.command) for job in jobs]

    def run(self, job: ClusterJob) -> tuple[int, str]:
        precision = self.precisions[self.num_jobs % len(self.precisions)]
        end = self.folder / f"end{self.num_jobs}.json"
        self.num_jobs += 1
        process = SERVER.Process(target=on_node, args=(self.folder, job.argv, precision, end))
        process.start()
        process.join(120)
        code, folder = json.loads(end.read_text())
        end.unlink()
        return code, folder


@pytest.fixture
def nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_fork_server: None
) -> Iterator[Nodes]:
    found = Nodes(tmp_path)

    def submit(self: object, queue: object, commands: Sequence[ClusterJob]) -> list[Any]:
        return [SimpleNamespace(job_id=str(i), command=job) for i, job in enumerate(commands)]

    monkeypatch.setattr(SubmititLocalLauncher, "submit", submit)
    monkeypatch.setattr(SubmititLocalLauncher, "wait_for", lambda self, *a: found.wait_for(*a))
    return found


def planner_chooses(monkeypatch: pytest.MonkeyPatch, precision: object) -> None:
    monkeypatch.setattr(CHOOSE, lambda asked, _: precision if asked == "auto" else asked)


def records(base: Path) -> list[dict[str, Any]]:
    return [json.loads(f.read_text()) for f in sorted((base / "outputs").rglob("result.json"))]


def plans(base: Path) -> list[dict[str, Any]]:
    files = (base / "outputs/fake/plans").glob("*.json")
    found = [json.loads(file.read_text())["declaration"] for file in files]
    return sorted(found, key=lambda plan: len(plan["seeds"]))


@pytest.mark.usefixtures("unrendered")
def test_planned_without_bfloat16_and_made_with_it(
    senet: Senet, nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planner_chooses(monkeypatch, 32)
    table = [arms(PLAIN, SE), "primary='attention=se ratio=4'"]
    first = senet(*CLUSTER, *table, "seeds=3")
    assert first.code == 0, first.err
    assert "finished 6 of 6 runs" in first.out
    assert nodes.num_jobs == 6
    made = records(tmp_path)
    assert {record["environment"]["precision"] for record in made} == {BF16}
    [plan] = plans(tmp_path)
    assert {record["plan"]["arm"] for record in made} == {
        plan["arms"][0]["arm"],
        plan["arms"][0]["control"],
    }
    assert not {record["arm"] for record in made} & {plan["arms"][0]["arm"], plan["primary"]}

    again = senet(*CLUSTER, *table, "seeds=3")
    assert (again.code, nodes.num_jobs) == (0, 6)  # no job is submitted
    assert "finished 6 of 6 runs" in again.out
    assert "left to train: 0 of 6 runs" in senet(*CLUSTER, *table, "seeds=3", "dry_run=true").out

    assert compare(["outputs", "--out", "report"]) == 0
    [block] = json.loads((tmp_path / "report/comparison.json").read_text())["blocks"]
    [basis] = block["judged_by"]
    assert [one["name"] for one in basis["plans"]] == [made[0]["plan"]["name"]]
    [arm] = [record["arm"] for record in made if record["label"] == "se_resnet8-r4"][:1]
    assert basis["primary"] == arm

    planner_chooses(monkeypatch, BF16)  # on a node itself: the plan is extended, not another made
    assert senet(*BASE, "hydra/launcher=basic", *table, "seeds=[0,3]").code == 0
    parent, extension = plans(tmp_path)
    assert (extension["seeds"], extension["arms"]) == ([0, 1, 2, 3], parent["arms"])
    assert len({record["arm"] for record in records(tmp_path)}) == 2


def test_planned_with_bfloat16_and_made_without_it(
    senet: Senet, nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planner_chooses(monkeypatch, BF16)
    nodes.precisions = [32]
    result = senet(*CLUSTER, arms(PLAIN, SE), "seeds=1")
    assert result.code == 0, result.err
    assert "finished 2 of 2 runs" in result.out
    assert {record["environment"]["precision"] for record in records(tmp_path)} == {"32"}
    assert compare(["outputs"]) == 0


def test_what_the_job_says_wins_over_an_older_run_in_another_precision(
    senet: Senet, nodes: Nodes, tmp_path: Path
) -> None:
    """The user has made this run in float32 before; the node finds it out of date: bfloat16."""
    assert senet(*BASE, *PLAIN, "trainer.precision=32").code == 0
    result = senet(*CLUSTER, arms(PLAIN, SE), "seeds=2")
    assert result.code == 0, result.err
    assert "finished 4 of 4 runs" in result.out


def test_machines_that_choose_differently_are_unfair(
    senet: Senet, nodes: Nodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.precisions = [BF16, 32]
    assert senet(*CLUSTER, arms(PLAIN, SE), "seeds=1").code == 0
    assert compare(["outputs"]) == 3
    assert "they differ in trainer.precision (bf16-mixed, 32)" in capsys.readouterr().err


def test_a_growing_study_says_so_too(senet: Senet, nodes: Nodes) -> None:
    nodes.precisions = [BF16, 32]
    result = senet(*CLUSTER, arms(PLAIN, SE), "seeds=auto", "max_seeds=3")
    assert result.code == 3
    assert "they differ in trainer.precision (bf16-mixed, 32)" in result.err.splitlines()[-1]


def test_a_growing_study_finds_its_runs(
    senet: Senet, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner_chooses(monkeypatch, 32)
    result = senet(*CLUSTER, arms(PLAIN, SE), "seeds=auto", "max_seeds=3")
    assert result.code == 0, result.err
    assert "look at 3 seeds: se_resnet8-r4-" in result.err
    assert "verdicts:\n  se_resnet8-r4-" in result.out


def test_a_search_finds_its_trials(
    senet: Senet, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner_chooses(monkeypatch, 32)
    words = ["hydra/sweeper=search", "hydra.sweeper.num_trials=2", "hydra.sweeper.pruner=none"]
    line = [*CLUSTER, *words, "optim.lr=choice(0.1,0.2)"]
    result = senet(*line)
    assert result.code == 0, result.err
    assert result.err.count("val score") == 2
    assert (senet(*line).code, nodes.num_jobs) == (0, 2)


def test_a_gpu_is_looked_for_where_the_run_is_made(senet: Senet, tmp_path: Path) -> None:
    table = [*BASE, "trainer.accelerator=gpu", arms(PLAIN, SE), "dry_run=true"]
    elsewhere = senet(*table, "hydra/launcher=submitit_local")
    assert (elsewhere.code, "left to train: 2 of 2 runs" in elsewhere.out) == (0, True)
    here = senet(*table, "hydra/launcher=basic")
    assert here.code == 2
    assert "there is no usable GPU" in here.err
