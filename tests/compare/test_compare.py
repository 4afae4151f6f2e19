"""senet-compare: what is compared with what, what is refused, and that nothing vanishes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare_runs import NUM_IMAGES, compared, write_run
from scipy import stats

from senet_train.compare.next_runs import is_read

pytestmark = pytest.mark.usefixtures("unrendered")  # tests/compare/test_pictures.py is of pictures

SE = {"attention.name": "se", "attention.ratio": 4}
ECA = {"attention.name": "eca"}
PLAIN_TOP1 = [0.70, 0.71, 0.69, 0.72, 0.70]
SE_TOP1 = [0.75, 0.77, 0.74, 0.78, 0.75]
Compare = Callable[..., tuple[int, str, str]]


@pytest.fixture
def compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Compare:
    """`compare("--margin", "1")` on tmp_path/runs; exit code, output, errors in one line."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def run(*arguments: str, path: str = "runs") -> tuple[int, str, str]:
        return compared(capsys, str(tmp_path / path), *arguments)

    return run


def write_table(base: Path, num_seeds: int = 5) -> None:
    """A plain net, an arm clearly better, and one that is the same but for noise."""
    for seed in range(num_seeds):
        write_run(base, "resnet20", seed, PLAIN_TOP1[seed])
        write_run(base, "se_resnet20-r4", seed, SE_TOP1[seed], changes=SE)
        noise = 0.01 if seed % 2 else -0.01
        write_run(base, "eca_resnet20", seed, PLAIN_TOP1[seed] + noise, changes=ECA)


def change_record(run: Path, **values: object) -> None:
    """Other values in the record of a run."""
    file = run / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def scramble(run: Path, seed: int) -> None:
    """As many images right, and others."""
    with np.load(run / "correct.npz") as file:
        right = np.unpackbits(file["bits"])[:NUM_IMAGES]
    bits = np.packbits(np.random.default_rng(seed).permutation(right))
    np.savez(run / "correct.npz", bits=bits, num_images=NUM_IMAGES)


def result(folder: Path) -> dict:
    return json.loads((folder / "comparison.json").read_text())


def test_verdicts_and_figures(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs")
    code, out, err = compare("--out", str(tmp_path / "out"))
    assert (code, err) == (0, "")
    assert "arms differ only in: attention.name" in out
    [block] = result(tmp_path / "out")["blocks"]
    plain, *others = block["arms"]
    assert plain["label"] == "resnet20"
    by_label = {arm["label"]: arm for arm in others}
    se, eca = by_label["se_resnet20-r4"], by_label["eca_resnet20"]
    assert se["difference"]["verdict"] == "better"
    assert eca["difference"]["verdict"] == "undecided"
    assert se["test"]["mean"] == pytest.approx(100 * sum(SE_TOP1) / 5)
    assert se["difference"]["difference"] == pytest.approx(5.4)
    paired = stats.ttest_rel(SE_TOP1, PLAIN_TOP1)
    assert se["difference"]["paired_p"] == pytest.approx(paired.pvalue)
    low, high = (100 * bound for bound in paired.confidence_interval())
    assert (se["difference"]["low"], se["difference"]["high"]) == pytest.approx((low, high))
    assert se["curves"]["0"] == [50.0, 75.0]
    assert se["settings"] == ""
    assert (tmp_path / "out" / "index.html").is_file()


def test_three_seeds_promise_little(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs", 3)
    code, out, _ = compare()
    assert code == 0
    assert "3 seeds" in out
    assert list(tmp_path.iterdir()) == [tmp_path / "runs"]  # nothing is written without --out


def test_blocks_have_their_own_controls(compare: Compare, tmp_path: Path) -> None:
    for rate in (0.1, 0.2):
        for seed in range(3):
            lr, end = {"optim.lr": rate}, f"-{rate}"
            write_run(tmp_path / "runs", "resnet20", seed, 0.7, changes=lr, folder=f"plain{end}")
            write_run(tmp_path / "runs", "se", seed, 0.7, changes={**SE, **lr}, folder=f"se{end}")
    compare("--out", str(tmp_path / "out"))
    blocks = result(tmp_path / "out")["blocks"]
    assert [[arm["folder"] for arm in block["arms"]] for block in blocks] == [
        ["plain-0.1", "se-0.1"],
        ["plain-0.2", "se-0.2"],
    ]


UNFAIR = {
    "optim.lr": ({"changes": {"optim.lr": 0.2}}, "optim.lr (0.1, 0.2)"),
    "trainer.max_epochs": ({"changes": {"trainer.max_epochs": 3}}, "trainer.max_epochs (2, 3)"),
    "data.image_size": ({"changes": {"data.image_size": 16}}, "data.image_size (8, 16)"),
    "code": ({"environment": {"code": "other"}}, "code (c0de, other)"),
    "kernel": ({"environment": {"kernel": "composed"}}, "kernel (folded, composed)"),
    "versions": ({"environment": {"versions": {"torch": "1"}}}, "versions.torch (2.15.0, 1)"),
}


@pytest.mark.parametrize("key", UNFAIR)
def test_a_confounded_pair_is_refused(compare: Compare, tmp_path: Path, key: str) -> None:
    other, difference = UNFAIR[key]
    changes = {**SE, **other.get("changes", {})}
    for seed in range(3):
        write_run(tmp_path / "runs", "resnet20", seed, 0.7 + seed / 100)
        write_run(
            tmp_path / "runs",
            "se",
            seed,
            0.7,
            changes=changes,
            environment=other.get("environment"),
        )
    code, out, err = compare("--out", str(tmp_path / "out"))
    assert (code, out) == (3, "")
    assert difference in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    code, out, _ = compare("--allow", key)
    assert code == 0
    assert "arms differ only in: " in out


def test_a_baseline_of_another_block_is_refused(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs")
    for seed in range(5):
        lr = {"optim.lr": 0.2}
        write_run(tmp_path / "runs", "resnet20", seed, 0.7, changes=lr, folder="resnet20-fast")
    assert compare()[0] == 0  # a block of its own with nothing to compare is listed
    assert "no other arm to compare it with" in compare()[1]
    code, _, err = compare("--baseline", "resnet20-fast")
    assert code == 3
    assert "optim.lr (0.2, 0.1)" in err
    assert compare("--baseline", "eca_resnet20", "--allow", "optim.lr")[0] == 0


def test_what_is_missing_or_failed_is_listed(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs")
    write_run(tmp_path / "runs", "eca_resnet20", 7, 0, state="diverged", changes=ECA)
    write_run(tmp_path / "runs", "resnet20", 8, 0, state="interrupted")
    write_run(tmp_path / "runs", "resnet20", 9, 0.7)
    (tmp_path / "runs" / ".aside").mkdir()
    write_run(tmp_path / "runs" / ".aside", "resnet20", 0, 0.1)  # replaced: invisible
    code, out, _ = compare("--out", str(tmp_path / "out"))
    assert code == 0
    assert "seed7: diverged" in out
    assert "seed8: interrupted" in out
    _, *others = result(tmp_path / "out")["blocks"][0]["arms"]
    assert [arm["missing_seeds"] for arm in others] == [[9], [9]]
    assert [arm["difference"]["num_seeds"] for arm in others] == [5, 5]


STATES = {
    "interrupted": "is interrupted; type its line again",
    "running": "is running on h, or cut; type its line again",
    "failed": "is failed; type its line again with retry=failed",
    "diverged": "is diverged",
    "pruned": "is pruned; a search stopped it, without hydra/sweeper it is trained to its end",
    "finished": "is finished, but its result.json is missing: copy the folder again, or run it "
    "anew with overwrite=true",
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("baseline", ["attention=none", "resnet20", "resnet20-00000000"])
def test_a_baseline_that_has_not_finished_is_named(
    compare: Compare, tmp_path: Path, state: str, baseline: str
) -> None:
    """It is known by its folder's name and identity.json; there is no record of it."""
    for seed in range(2):
        write_run(tmp_path / "runs", "se_resnet20-r4", seed, 0.7, changes=SE)
        plain = write_run(tmp_path / "runs", "resnet20", seed, 0.7, state=state)
        (plain / "result.json").unlink(missing_ok=True)
    (plain.parent / "identity.json").write_text(json.dumps({"attention": {"name": "none"}}))
    code, out, err = compare("--baseline", baseline)
    assert code == 2
    assert (
        f"no run of the baseline {baseline} has finished: resnet20 seed 0 {STATES[state]}; 1 more "
        "of its runs have not finished" in err
    )
    assert out.count("resnet20-00000000/seed") == 2  # listed, though there is no table
    code, alone, _ = compare("--baseline", "se_resnet20-r4")  # the same list, and its noise
    assert (code, alone.startswith(out)) == (0, True)


def test_where_nothing_has_finished_each_run_is_named(compare: Compare, tmp_path: Path) -> None:
    for seed in range(5):
        write_run(tmp_path / "runs", "se", seed, 0, changes=SE, state="interrupted")
    code, out, err = compare()
    assert code == 2
    assert "no run has finished: se seed 0 is interrupted; type its line again; se seed 1" in err
    assert "and 2 more" in err
    assert "choose" not in err
    assert out.count("interrupted") == 5


def test_an_unfair_comparison_lists_what_is_left_out(compare: Compare, tmp_path: Path) -> None:
    write_run(tmp_path / "runs", "resnet20", 0, 0.7)
    write_run(tmp_path / "runs", "resnet20", 1, 0.7, state="interrupted")
    write_run(tmp_path / "runs", "se", 0, 0.7, changes={**SE, "optim.lr": 0.2})
    code, out, err = compare()
    assert (code, err.count("\n")) == (3, 1)
    assert "seed1: interrupted" in out


def test_a_block_without_control_says_in_what_it_differs(compare: Compare, tmp_path: Path) -> None:
    """From the nearest block that has a control: here one key, not two."""
    write_table(tmp_path / "runs", 3)
    far = {"optim.lr": 0.4, "trainer.max_epochs": 9}
    write_run(tmp_path / "runs", "resnet20", 0, 0.7, changes=far, folder="far")
    lost = {**SE, "optim.lr": 0.2}
    write_run(tmp_path / "runs", "se", 0, 0.7, changes=lost, folder="lost")
    code, out, _ = compare()
    assert code == 0
    assert "lost/seed0: differs in optim.lr (0.2, control 0.1)\n" in out
    assert "far/seed0: no other arm to compare it with" in out


def test_of_other_images_no_setting_is_listed(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs", 3)
    other = write_run(
        tmp_path / "runs", "se", 0, 0.7, changes={**SE, "data.name": "digits"}, folder="other"
    )
    change_record(other, data_fingerprint="g")
    code, out, _ = compare()
    assert code == 0
    expected = "trained on other images (digits), of which there is no control"
    assert f"other/seed0: {expected}" in " ".join(out.split())


@pytest.mark.parametrize(
    ("top1", "share", "num_images", "learnt"),
    [
        (0.45, 1 / 3, 30, False),  # 1.96 standard errors are 0.169
        (0.55, 1 / 3, 30, True),
        (0.45, 1 / 3, 400, True),  # ... and 0.046
        (0.37, 1 / 3, 400, False),
        (0.20, 0.0, 400, True),  # an old record does not say it
    ],
)
def test_a_control_that_has_hardly_learnt(
    compare: Compare, tmp_path: Path, top1: float, share: float, num_images: int, learnt: bool
) -> None:
    for seed in range(3):
        for label, changes in (("resnet20", {}), ("se", SE)):
            run = write_run(tmp_path / "runs", label, seed, top1, changes=changes)
            facts = {"images": {"test": num_images}, "largest_class_share": share}
            change_record(run, data=facts)
    code, out, _ = compare()
    assert code == 0
    assert ("it has hardly learnt" not in out) is learnt
    if not learnt:
        said = f"resnet20 names {100 * top1:.1f} % of {num_images} test images rightly, and the "
        assert f"{said}largest class is 33.3 % of them" in " ".join(out.split())


@pytest.mark.parametrize("apart", [0.03, 0.30])
def test_what_new_images_may_take_back_is_said_with_the_verdict(
    compare: Compare, tmp_path: Path, apart: float
) -> None:
    """A difference of 12 of 400 images that every seed has is no chance of seeds, but of images."""
    for seed in range(5):
        for label, changes, above in (("resnet20", {}, 0.0), ("se", SE, apart)):
            top1 = 0.5 + above + 0.0025 * (seed % (3 if above else 2))
            run = write_run(tmp_path / "runs", label, seed, top1, changes=changes)
            if label == "se":  # right where the control is wrong, and wrong where it is right
                scramble(run, seed=1)
            change_record(run, data={"images": {"test": NUM_IMAGES}, "largest_class_share": 0.1})
    code, out, _ = compare()
    assert code == 0
    few = apart < 0.1
    where = " on these 400 test images" if few else ""
    assert f"Does se beat resnet20? Yes, it is better{where}." in " ".join(out.split())
    assert ("this holds for these 400 test images: on new ones" in " ".join(out.split())) is few
    assert compare("--out", str(tmp_path / "out"))[0] == 0
    for page in ("checklist.md", "index.html", "comparison.md"):
        text = (tmp_path / "out" / page).read_text()
        assert ("this holds for these 400 test images" in text) is few, page


def test_a_copy_that_was_cut_stops_one_run(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs")
    first(tmp_path / "runs", "result.json").unlink()
    code, out, _ = compare()
    assert code == 0
    assert "seed0: finished, but its result.json is missing" in " ".join(out.split())
    assert "Missing seeds" in out


def test_a_declared_factor_joins_one_block(compare: Compare, tmp_path: Path) -> None:
    """fair_cost: the wider plain net is an arm, not the control."""
    for seed in range(3):
        write_run(tmp_path / "runs", "resnet20", seed, 0.70 + seed / 100)
        write_run(tmp_path / "runs", "se", seed, 0.70, changes=SE)
        write_run(
            tmp_path / "runs",
            "resnet20",
            seed,
            0.71,
            folder="wide",
            factor=["trainer.max_epochs"],
            changes={"trainer.max_epochs": 3},
        )
    compare("--out", str(tmp_path / "out"))
    [block] = result(tmp_path / "out")["blocks"]
    assert block["control"] == "resnet20-00000000"
    assert set(block["differ_in"]) == {"trainer.max_epochs", "attention.name"}
    wide = next(arm for arm in block["arms"] if arm["folder"] == "wide")
    assert wide["settings"] == "trainer.max_epochs=3"


def test_other_machines_are_noted(compare: Compare, tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / "runs", "resnet20", seed, 0.7 + seed / 100)
        other = {"device": "H200", "threads": 16}
        write_run(tmp_path / "runs", "se", seed, 0.7, changes=SE, environment=other)
    _, out, _ = compare()
    assert "runs differ in device (H200, cpu)" in out
    assert "runs differ in threads (1, 16)" in out


def test_plan_names_the_runs_that_would_settle_it(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs", 3)
    code, out, _ = compare("--plan")
    assert code == 0
    commands = [line for line in out.splitlines() if line.startswith("  senet-train ")]
    assert commands
    for line in commands:
        assert line.startswith(
            "  senet-train 'arms=[]' experiment=se_ratio model=resnet20 'seeds=[3"
        )
    write_table(tmp_path / "settled")
    assert "--plan" not in compare("--plan", path="settled")[1]


def test_a_factor_joins_only_its_own_recipe(compare: Compare, tmp_path: Path) -> None:
    """Two ordinary tables of 2 and 20 epochs stay two blocks when a third run varies epochs."""
    for epochs in (2, 20):
        for seed in range(3):
            long, end = {"trainer.max_epochs": epochs}, f"-{epochs}"
            top1 = 0.7 + seed / 100
            write_run(tmp_path / "runs", "resnet20", seed, top1, changes=long, folder=f"plain{end}")
            write_run(
                tmp_path / "runs", "se", seed, 0.71, changes={**SE, **long}, folder=f"se{end}"
            )
    other = {"data.name": "digits", "trainer.max_epochs": 7}
    factor = ["trainer.max_epochs"]
    write_run(tmp_path / "runs", "resnet20", 0, 0.7, changes=other, folder="x", factor=factor)
    expected = [["plain-2", "se-2"], ["plain-20", "se-20"]]
    compare("--out", str(tmp_path / "out"))
    blocks = result(tmp_path / "out")["blocks"]
    assert [[arm["folder"] for arm in block["arms"]] for block in blocks] == expected
    # A run that declares the factor and is otherwise like both, at 20 epochs: it joins those.
    wide = {"model.shortcut": "A", "trainer.max_epochs": 20}
    factor = ["model.shortcut", "trainer.max_epochs"]
    write_run(tmp_path / "runs", "resnet20", 0, 0.7, changes=wide, folder="wide", factor=factor)
    same = {"trainer.max_epochs": 20}
    write_run(tmp_path / "runs", "resnet20", 4, 0.7, changes=same, folder="plain-20", factor=factor)
    compare("--out", str(tmp_path / "out"))
    blocks = result(tmp_path / "out")["blocks"]
    folders = [{arm["folder"] for arm in block["arms"]} for block in blocks]
    assert folders == [{"plain-2", "se-2"}, {"plain-20", "se-20", "wide"}]


def test_a_block_that_cannot_be_judged_stops_no_other(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs")
    lr = {"optim.lr": 0.2}
    write_run(tmp_path / "runs", "resnet20", 0, 0.7, changes=lr, folder="plain-fast")
    write_run(tmp_path / "runs", "se", 1, 0.7, changes={**SE, **lr}, folder="se-fast")
    code, out, _ = compare()
    assert code == 0
    assert out.count("no seed is shared with its control plain-fast") == 2


def test_an_arm_whose_runs_differ_is_noted(compare: Compare, tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / "runs", "resnet20", seed, 0.7 + seed / 100)
        code = {"code": "c0de" if seed else "other"}
        write_run(tmp_path / "runs", "se", seed, 0.71, changes=SE, environment=code)
    code, out, _ = compare("--allow", "code")
    assert code == 0
    assert "arms differ only in: attention.name, code" in out
    assert "runs of se-00000000 differ among themselves in code" in out


def test_pairs_that_went_on_from_different_networks_are_noted(
    compare: Compare, tmp_path: Path
) -> None:
    for seed in range(3):
        arms = [write_run(tmp_path / "runs", "resnet18", seed, 0.7 + seed / 100)]
        arms += [write_run(tmp_path / "runs", "se", seed, 0.71, changes=SE)]
        for number, path in enumerate(arms):
            sha256 = f"{seed}{number if seed == 2 else 0}"
            (path / "weights.json").write_text(json.dumps({"file": "x", "sha256": sha256}))
    code, out, _ = compare()
    assert code == 0
    assert "runs of seed 2 went on from different networks" in out
    assert out.count("went on from") == 1
    (path / "weights.json").write_text("{}")
    assert "weights.json cannot be read (it has no sha256)" in compare()[2]


def test_the_papers_figure_stands_beside_its_own_arms_only(
    compare: Compare, tmp_path: Path
) -> None:
    """Of its own network, on its own data, by the control's recipe; else none."""
    imagenet = {"data.name": "imagenet_subset", "data.num_classes": 1000}
    first = ["resnet50: 76.70 (ImageNet, table 10)", "se_resnet50-r16: 77.72 (ImageNet, table 10)"]
    deep = ["resnet152: 77.58 (ImageNet, table 2)", "se_resnet152-r16: 78.43 (ImageNet, table 2)"]
    tables = {
        "resnet50": (imagenet, first),
        "resnet152": (imagenet, deep),
        "resnet20": (imagenet, []),
        "resnet50-of-digits": ({}, []),
        "resnet50-of-9-classes": ({**imagenet, "data.num_classes": 9}, []),
    }
    for name, (data, expected) in tables.items():
        model = name.partition("-")[0]
        own, runs = {**data, "model.name": model}, tmp_path / name
        fast = {**own, "optim.lr": 0.3}
        write_run(runs, model, 0, 0.7, changes=own)
        write_run(runs, f"se_{model}-r16", 0, 0.7, changes={**SE, **own})
        write_run(runs, model, 0, 0.7, changes=fast, folder="x", factor=["optim"])
        code, out, _ = compare(path=name)
        assert code == 0
        listed = [line.strip() for line in out.splitlines() if "ImageNet" in line]
        assert listed == expected


LATER = {
    **{"optim.name": "sgd", "optim.layer_decay": 1.0, "optim.accumulate": 1},
    **{"data.augment": "standard", "data.mixup": "none", "data.cutmix": "none"},
    **{"data.test_size": "auto", "data.test_resize": "auto", "data.test_flips": "none"},
    "data.padding_mode": "zeros",
}
NEW = {
    **{"optim.name": "adamw", "optim.layer_decay": 0.8, "optim.accumulate": 4},
    "data.augment": [{"name": "randaugment", "num_ops": 2, "magnitude": 9}, {"name": "trivial"}],
    **{"data.mixup": 0.2, "data.cutmix": 1.0, "data.test_size": 144, "data.test_resize": 160},
    **{"data.test_flips": "horizontal", "data.padding_mode": "reflect"},
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (LATER, "2 epochs, batch 16, lr 0.1, one_cycle"),
        (
            NEW,
            "2 epochs, batch 16, reflect padding, "
            "randaugment (num_ops 2, magnitude 9) + trivial, "
            "mixup 0.2, cutmix 1.0, "
            "4 batches a step, adamw, lr 0.1, one_cycle, layer decay 0.8, "
            "tested at 144 px, cut out of 160 px, tested with horizontal flips",
        ),
    ],
)
def test_the_recipe_names_what_is_not_as_before(
    compare: Compare, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """Runs of before, which have none of these keys, are equal to those at their defaults."""
    for seed in range(3):
        own = changes if seed or changes is NEW else {}
        write_run(tmp_path / "runs", "resnet20", seed, 0.7, changes=own)
        write_run(tmp_path / "runs", "se", seed, 0.7 + seed / 100, changes={**SE, **changes})
    assert compare("--out", str(tmp_path / "out"))[0] == 0
    [block] = result(tmp_path / "out")["blocks"]
    assert block["common"]["recipe"] == said
    assert block["varied"] == {}


@pytest.mark.parametrize("key", NEW)
def test_arms_of_two_recipes_are_not_compared(compare: Compare, tmp_path: Path, key: str) -> None:
    for seed in range(3):
        write_run(tmp_path / "runs", "resnet20", seed, 0.7)
        write_run(tmp_path / "runs", "se", seed, 0.7, changes={**SE, key: NEW[key]})
    code, out, err = compare()
    assert code == 3
    assert key in out + err


def test_nothing_is_called_shared_that_is_not(compare: Compare, tmp_path: Path) -> None:
    """--allow and machines: every value of every run counts, not the control's alone."""
    fast, other = {"optim.lr": 0.2}, {"model.name": "resnet50", "data.image_size": 16}
    for seed in range(3):
        write_run(tmp_path / "runs", "resnet20", seed, 0.7 + seed / 100)
        threads = {"threads": 1 + seed}
        write_run(
            tmp_path / "runs", "se", seed, 0.7, changes={**SE, **fast, **other}, environment=threads
        )
    allowed = [word for key in ("optim", "model", "data") for word in ("--allow", key)]
    assert compare("--out", str(tmp_path / "out"), *allowed)[0] == 0
    [block] = result(tmp_path / "out")["blocks"]
    varied = {
        "optim.lr": {"0.1": ["resnet20-00000000"], "0.2": ["se-00000000"]},
        "model.name": {"resnet20": ["resnet20-00000000"], "resnet50": ["se-00000000"]},
        "data.image_size": {"8": ["resnet20-00000000"], "16": ["se-00000000"]},
        "threads": {
            "1": ["resnet20-00000000", "se-00000000"],
            "2": ["se-00000000"],
            "3": ["se-00000000"],
        },
    }
    assert block["varied"] == varied
    assert set(varied) < set(block["differ_in"])
    assert block["title"] == "fake, resnet20 and resnet50"
    assert (block["common"]["data"], block["common"]["machine"]) == ("fake", "cpu")
    assert "network" not in block["common"]
    assert block["common"]["recipe"] == "2 epochs, batch 16, one_cycle"
    for file in ("methods.md", "comparison.md", "index.html", "comparison.tex"):
        text = (tmp_path / "out" / file).read_text()
        assert "optim.lr 0.1 (resnet20), 0.2 (se)" in text.replace("\\_", "_")
        assert "threads 1 (resnet20, se), 2 (se), 3 (se)" in text
    methods = (tmp_path / "out" / "methods.md").read_text()
    shared = methods.partition("All arms share: ")[2].partition(". They do not share: ")[0]
    assert shared
    assert not any(word in shared for word in ("lr", "threads", "px", "resnet"))


def test_what_all_share_is_said_of_all(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs", 3)
    _, out, _ = compare("--out", str(tmp_path / "out"))
    assert "data fake at 8 px; network resnet20; recipe 2 epochs, batch 16, lr 0.1" in out
    assert "machine cpu, threads 1" in out
    assert "not share" not in out + (tmp_path / "out" / "methods.md").read_text()


def test_links_and_folders_without_a_status_are_seen(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "elsewhere")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "elsewhere" / "fake")
    (tmp_path / "elsewhere" / "fake" / "loop").symlink_to(tmp_path / "runs")
    status = next((tmp_path / "elsewhere").rglob("eca*/seed3/status.json"))
    status.unlink()
    code, out, _ = compare()
    assert (code, "Left out" in out) == (0, False)  # its record can be read: it has finished
    status.with_name("result.json").write_text("{")
    code, out, _ = compare()
    assert code == 0
    assert "seed3: its status.json cannot be read" in out
    assert "Left out" in out


def test_plan_of_two_noisy_seeds_reaches_the_first_look(compare: Compare, tmp_path: Path) -> None:
    for seed, top1 in enumerate((0.6, 0.8)):
        write_run(tmp_path / "runs", "resnet20", seed, 0.7)
        write_run(tmp_path / "runs", "se", seed, top1, changes=SE)
    out = compare("--plan")[1]
    assert out.count("'seeds=[2]'") == 2


def test_a_plan_drops_what_an_arm_does_not_read() -> None:
    assert is_read("ratio=4", {"name": "se", "ratio": 4})
    assert not is_read("ratio=4", {"name": "eca"})
    assert is_read("placement.stages=[3]", {"name": "eca"})
    assert not is_read("placement.stages=[3]", {"name": "none"})


def test_reports_go_nowhere_else(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs")
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        code, printed, err = compare("--out", str(out))
        assert (code, printed) == (2, "")
        assert "cannot be made" in err
    assert (tmp_path / "file").read_text() == "mine"


def first(base: Path, name: str) -> Path:
    return sorted(base.rglob(name))[0]


def damage(folder: Path, **changes: object) -> None:
    file = next(folder.rglob("result.json"))
    record = json.loads(file.read_text())
    for key, value in changes.items():
        node = next(n for n in (record["metrics"], record["cost"], record) if key in n)
        node[key] = value
    file.write_text(json.dumps(record))


BAD = {
    "missing": (lambda base: None, ["--margin", "1"], "is no folder"),
    "empty": (lambda base: base.mkdir(), [], "holds no run"),
    "truncated": (
        lambda base: next(base.rglob("result.json")).write_text('{"schema": 1, '),
        [],
        "is no result of schema 2",
    ),
    "foreign": (lambda base: next(base.rglob("result.json")).write_text("[]"), [], "is no result"),
    "schema": (lambda base: damage(base, schema=3), [], "is no result of schema 2 (schema"),
    "nan": (lambda base: damage(base, test_top1=float("nan")), [], "test_top1=nan"),
    "cost": (
        lambda base: damage(base, images_per_second=float("nan")),
        [],
        "images_per_second=nan",
    ),
    "config": (lambda base: damage(base, config={}), [], "has no whole configuration"),
    "no bits": (
        lambda base: first(base, "correct.npz").unlink(),
        [],
        "correct.npz is missing: copy it too",
    ),
    "cut bits": (
        lambda base: first(base, "correct.npz").write_bytes(b"PK"),
        [],
        "correct.npz cannot be read",
    ),
    "other bits": (
        lambda base: np.savez(first(base, "correct.npz"), bits=np.zeros(50, "u1"), num_images=400),
        [],
        "the files are of two runs",
    ),
    "few bits": (
        lambda base: np.savez(first(base, "correct.npz"), bits=np.zeros(5, "u1"), num_images=400),
        [],
        "correct.npz cannot be read (it has 40 bits for 400 images)",
    ),
    "no curve": (
        lambda base: first(base, "metrics.csv").unlink(),
        [],
        "metrics.csv is missing: copy it too",
    ),
    "margin": (lambda base: None, ["--margin", "0"], "margin"),
    "margin text": (lambda base: None, ["--margin", "wide"], "--margin"),
    "baseline": (lambda base: None, ["--baseline", "nothing"], "no run is the baseline nothing"),
    "allow": (lambda base: None, ["--allow", "optim.rate"], "no run has such a key"),
    "option": (lambda base: None, ["--no-such"], "see senet-compare --help"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(compare: Compare, tmp_path: Path, name: str) -> None:
    break_it, arguments, message = BAD[name]
    base = tmp_path / "runs"
    if name not in ("missing", "empty"):
        write_table(base)
    break_it(base)
    code, out, err = compare(*arguments, "--out", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_control_and_no_shared_seed(compare: Compare, tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / "alone", "se", seed, 0.7, changes=SE)
        write_run(tmp_path / "only", "resnet20", seed, 0.7)
        write_run(tmp_path / "apart", "se", seed, 0.7, changes=SE)
        write_run(tmp_path / "apart", "resnet20", seed + 10, 0.7)
    write_run(tmp_path / "one", "resnet20", 0, 0.7)
    assert compare(path="alone")[0] == 2
    command = "senet-train 'arms=[]' experiment=se_ratio model=resnet20 attention=none"
    said = compare(path="alone")[2]
    assert f"no run is the baseline attention=none: train it ({command})" in said
    command, said = command.replace("none", "se ratio=16"), compare(path="one")[2]
    assert f"only the baseline attention=none: train an arm to compare with it ({command})" in said
    assert compare(path="apart")[0] == 2
    assert "share" in compare(path="apart")[2]


def test_one_arm_and_seed_twice(compare: Compare, tmp_path: Path) -> None:
    write_table(tmp_path / "runs" / "a")
    write_table(tmp_path / "runs" / "b")
    assert compare()[0] == 0  # equal copies
    damage(tmp_path / "runs" / "b", test_top1=0.5)
    code, _, err = compare()
    assert code == 2
    assert "same arm and seed with different results" in err


def test_it_imports_no_torch() -> None:
    code = (
        "import sys, senet_train.commands.compare as c, senet_train.compare.assemble, "
        "senet_train.compare.render.terminal; print([m for m in ('torch', 'matplotlib', 'jinja2') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_senet_train_wrote(compare: Compare, tmp_path: Path, monkeypatch) -> None:
    """The real records, through both commands."""
    from support import TINY

    from senet_train.cli import main as train

    monkeypatch.chdir(tmp_path)
    words = [word for word in TINY if not word.startswith(("ratio", "trainer.max_epochs"))]
    words.append("trainer.max_epochs=1")
    table = 'arms=[["attention=none"],["attention=se","ratio=4"]]'
    assert train([*words, table, "seeds=2", "hydra/launcher=basic"]) == 0
    code, out, _ = compare("--out", str(tmp_path / "out"), path="outputs")
    assert code == 0
    assert "no verdict at 2 seeds" in " ".join(out.split())
    [block] = result(tmp_path / "out")["blocks"]
    assert [arm["label"] for arm in block["arms"]] == ["resnet8", "se_resnet8-r4"]
    assert block["arms"][1]["settings"] == ""


@pytest.mark.parametrize("root", ["/data/birds", "C:\\data\\birds\\", "birds"])
def test_a_users_folder_is_named(root: str, compare: Compare, tmp_path: Path) -> None:
    data = {"data.name": "imagenet_subset", "data.root": root}
    for seed in range(3):
        write_run(tmp_path / "runs", "resnet20", seed, 0.7, changes=data)
        write_run(tmp_path / "runs", "se", seed, 0.8, changes=SE | data)
    assert "\nbirds (imagenet_subset), resnet20 ---" in compare()[1]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((400, 400), "above resnet20, on 400 images: one is 0.25 points. seeds"),
        ((400, 399), "above resnet20. seeds"),  # another part of the data
        ((0, 0), "above resnet20. seeds"),  # made before records had it
    ],
)
def test_the_number_of_test_images_is_said(
    counts: tuple[int, int], words: str, compare: Compare, tmp_path: Path
) -> None:
    for seed in range(3):
        for label, count, changes in zip(("resnet20", "se"), counts, ({}, SE), strict=True):
            run = write_run(tmp_path / "runs", label, seed, 0.7, changes=changes)
            record = json.loads((run / "result.json").read_text())
            if count:
                record["data"] = {"images": {"training": 9, "validation": 9, "test": count}}
            (run / "result.json").write_text(json.dumps(record))
    assert f"Points of test top-1 {words}" in " ".join(compare()[1].split())
