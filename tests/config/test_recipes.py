"""Recipes: each is what its header says, and they change nothing unasked."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from support import CONF, config, draw_smallest_tree

from senet_train.config.schema import Config
from senet_train.training.plan import Plan, make_plan
from senet_train.training.schedule import with_warmup

FILES = {f.stem: f for f in sorted((CONF / "recipe").glob("*.yaml")) if f.stem != "none"}
TEXTS = {name: file.read_text() for name, file in FILES.items()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest tree of class folders."""
    return draw_smallest_tree(tmp_path_factory.mktemp("tree"))


def plan_of(name: str, tree: Path, *words: str) -> Plan:
    return make_plan(config(f"recipe={name}", "data=imagenet_subset", f"data.root={tree}", *words))


def rates(plan: Plan, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step."""
    optim, total = plan.config.optim, steps_per_epoch * plan.config.trainer.max_epochs
    factor = with_warmup(plan.schedule, round(steps_per_epoch * optim.warmup_epochs), total)
    return [optim.lr * factor(step) for step in range(total)]


# What the papers say, as their readers would write it down: images of a step, epochs, and settings.
SAID: dict[str, tuple[int, int, dict[str, Any]]] = {
    "he_cifar": (128, 182, {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": False}),
    "wrn": (128, 200, {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}),
    "paper_imagenet": (1024, 100, {"lr": 0.6, "momentum": 0.9, "nesterov": False}),
    "rsb_a3_like": (2048, 100, {"warmup_epochs": 5, "label_smoothing": 0.0}),
    "torchvision_v2_like": (1024, 600, {"lr": 0.5, "momentum": 0.9, "weight_decay": 2e-5}),
}


@pytest.mark.parametrize("name", SAID)
def test_a_recipe_is_what_its_source_says(name: str, tree: Path) -> None:
    images, epochs, settings = SAID[name]
    checked = plan_of(name, tree).config
    assert checked.data.batch_size * checked.optim.accumulate == images
    assert checked.trainer.max_epochs == epochs
    optim = {**dataclasses.asdict(checked.optim), **checked.optim.algorithm.options}
    assert settings.items() <= optim.items()
    assert checked.data.flip


# ... and of the images: MixUp, CutMix, and how many transforms. Random erasing has 0.1 in the blog.
MIXED = {"rsb_a3_like": (0.1, 1.0, 1), "torchvision_v2_like": (0.2, 1.0, 2)}


@pytest.mark.parametrize("name", SAID)
def test_a_recipe_augments_as_its_source_says(name: str, tree: Path) -> None:
    data = plan_of(name, tree).config.data
    mixup, cutmix, transforms = MIXED.get(name, ("none", "none", 0))
    assert (data.mixup, data.cutmix) == (mixup, cutmix)
    named = [] if isinstance(data.augment, str) else data.augment
    assert len(named) == transforms
    options = {choice.name: choice.options for choice in named}
    assert options.get("random_erasing", {"probability": 0.1}) == {"probability": 0.1}


@pytest.mark.parametrize(
    ("name", "steps", "drops", "gamma"),
    [
        ("he_cifar", 351, [32_000, 48_000], 0.1),
        ("wrn", 390, [60 * 390, 120 * 390, 160 * 390], 0.2),
        ("paper_imagenet", 1251, [30 * 1251, 60 * 1251, 90 * 1251], 0.1),
    ],
)
def test_the_rate_falls_where_the_paper_says(
    name: str, steps: int, drops: list[int], gamma: float, tree: Path
) -> None:
    """He's counts steps: 64,000 of them are not a whole number of epochs, and 182 are 118 fewer."""
    found = rates(plan_of(name, tree), steps)
    falls = [i for i in range(1, len(found)) if found[i] != found[i - 1]]
    assert falls == pytest.approx(drops, abs=100)
    assert [found[i] / found[i - 1] for i in falls] == pytest.approx([gamma] * len(drops))


@pytest.mark.parametrize("name", FILES)
def test_a_header_has_its_source_and_what_differs(name: str) -> None:
    header = "\n".join(line for line in TEXTS[name].splitlines() if line.startswith("#"))
    assert re.search(r"^# Source: \S", header, re.MULTILINE)
    assert re.search(r"^# Use:    \S", header, re.MULTILINE)
    assert ("Differences from" in header) == name.endswith("_like")


@pytest.mark.parametrize("name", FILES)
def test_a_recipe_is_the_words_in_it(name: str, tree: Path) -> None:
    """And any of them can be changed on the command line."""
    plan = plan_of(name, tree)
    assert plan_of(name, tree, "recipe=none").identity != plan.identity or name == "short"
    changed = plan_of(name, tree, "trainer.max_epochs=7", "optim.lr=0.123").config
    assert (changed.trainer.max_epochs, changed.optim.lr) == (7, 0.123)


def test_the_optimizers_of_the_papers_are_the_recipes() -> None:
    """`optim=he_cifar` is what it was: the recipe adds the batches, the crops and the length."""
    alone = config("data=cifar10", "optim=he_cifar", "trainer.max_epochs=182")
    assert config("data=cifar10", "recipe=he_cifar") == alone
    wide = config("data=cifar100", "optim=wrn", "trainer.max_epochs=200")
    assert config("data=cifar100", "recipe=wrn") == wide


def test_short_is_what_runs_without_a_recipe() -> None:
    usual: Config = config()
    assert config("recipe=short") == usual == config("recipe=none")


def test_a_preset_wins_over_a_recipe() -> None:
    both = config("recipe=he_cifar", "experiment=cifar10_short")
    assert both.optim.schedule.name == "one_cycle"
    assert both.trainer.max_epochs == 3
