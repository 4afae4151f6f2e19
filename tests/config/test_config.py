"""conf/ and the schema: everything composes, everything is commented, nothing odd gets through."""

import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from support import CONF, config, draw_smallest_tree

from senet_train.attention import ATTENTIONS
from senet_train.backbones import BACKBONES
from senet_train.config.read import read_config
from senet_train.config.resolvers import register_resolvers
from senet_train.config.schema import Config
from senet_train.config.typed_words import of_logger
from senet_train.data.find import SOURCES
from senet_train.errors import InputError
from senet_train.networks.bind import LIBRARIES
from senet_train.runs.identity import (
    LATER_DATA,
    LATER_OPTIM,
    LATER_TRAINER,
    LOCAL_DATA_KEYS,
    LOCAL_KEYS,
    LOCAL_TRAINER_KEYS,
    Identity,
    as_tree,
    identify,
)
from senet_train.training.loggers import LOGGERS
from senet_train.training.plan import make_plan
from senet_train.training.tasks import TASKS
from senet_train.training.tasks.task import SCENE_SOURCES

FILES = sorted(CONF.rglob("*.yaml"))
GROUPS = (
    *("attention", "data", "experiment", "logger", "model", "optim", "recipe", "task", "trainer"),
)
SCHEDULE_FILES = sorted((CONF / "optim" / "schedule").glob("*.yaml"))
OPTIONS = [(g, f.stem) for g in GROUPS for f in sorted((CONF / g).glob("*.yaml"))]


def settings(group: str, option: str) -> list[str]:
    """What chooses an option; a set of scenes is for other tasks than the usual one.

    Digits are no image files, which some recipes crop. A small network is enough for what does not
    choose one.
    """
    scenes = group == "data" and option in SCENE_SOURCES
    small = group in ("attention", "logger", "optim", "recipe")
    return [
        *["task=segmentation"] * scenes,
        *["model=se_resnet8", "ratio=4"] * small,
        f"{group}={option}",
        *["data.crop=pad"] * (group == "recipe" and option != "none"),
    ]


def raw(*overrides: str) -> Any:
    """Compose as the command does."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The smallest tree of class folders, for data=imagenet_subset."""
    return draw_smallest_tree(tmp_path)


def keys_are_in_the_identity_or_local(checked: Config) -> None:
    keys = set(leaves(as_tree(checked)))
    hashed = set(leaves(identify(checked, "fingerprint", "label").content))
    local = {
        *LOCAL_KEYS,
        *(f"data.{key}" for key in LOCAL_DATA_KEYS),
        *(f"trainer.{key}" for key in LOCAL_TRAINER_KEYS),
    }
    keys = {key for key in keys if not of_logger(key)}  # a local group
    assert not any(map(of_logger, hashed))
    unhashed = keys - hashed - local - {"placement.modules", "placement.part"}  # auto: as before
    unhashed -= {"task"} if checked.task == "classification" else set()
    unhashed -= {f"optim.{key}" for key in LATER_OPTIM}  # likewise
    unhashed -= {f"data.{key}" for key in LATER_DATA}
    unhashed -= {f"trainer.{key}" for key in LATER_TRAINER}
    if checked.attention.name == "none":  # nowhere is nowhere
        unhashed -= {"placement.stages", "placement.position", "placement.min_channels"}
    assert not unhashed
    assert not hashed & local


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda x: x)
def test_every_option_composes_and_builds(group: str, option: str, tree: Path) -> None:
    """On the meta device, with the network built and the identity found, of all that matters.

    Of `model=se_X` it is enough that it composes: it is X with attention, tested below, and
    test_pretrained.py builds every X with attention.
    """
    checked = config(*settings(group, option))
    keys_are_in_the_identity_or_local(checked)
    if checked.data.source.name in ("cifar10", "cifar100"):
        with pytest.raises(InputError, match="not the official archive"):
            make_plan(config(f"{group}={option}", f"data.root={tree}", "data.download=false"))
    elif checked.data.source.name == "imagenet_subset":
        plan = make_plan(config(f"{group}={option}", f"data.root={tree}"))
        assert plan.config.data.num_classes == 2
    elif not (group == "model" and option.startswith("se_")):
        assert make_plan(checked).cost.parameters > 70_000


def test_groups_and_tables_agree() -> None:
    """An option file for every name in a table, and the other way round."""
    assert {o for g, o in OPTIONS if g == "attention"} == set(ATTENTIONS)
    assert {o for g, o in OPTIONS if g == "data"} == set(SOURCES) | set(SCENE_SOURCES)
    assert {o for g, o in OPTIONS if g == "task"} == set(TASKS)
    assert {o for g, o in OPTIONS if g == "logger"} == set(LOGGERS)
    models = {o for g, o in OPTIONS if g == "model"}
    libraries = set(LIBRARIES) - {""}
    assert models == set(BACKBONES) | {f"se_{name}" for name in BACKBONES} | libraries


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(CONF)))
def test_every_value_has_a_comment(file: Path) -> None:
    lines = file.read_text().splitlines()
    if file.parent.name == "help":
        return
    values = [
        line for line in lines if ": " in line and not line.lstrip().startswith(("#", "-", '"'))
    ]
    alone = [line for line in values if "#" not in line]
    header = bool(lines[0].startswith("#"))
    assert header or not alone, alone


@pytest.mark.parametrize("optim", ["one_cycle", "he_cifar", "adamw"])
@pytest.mark.parametrize("file", SCHEDULE_FILES, ids=lambda f: f.stem)
def test_every_schedule_suits_every_recipe(file: Path, optim: str) -> None:
    plan = make_plan(config(f"optim={optim}", f"optim/schedule={file.stem}", "model=se_resnet20"))
    assert plan.config.optim.schedule.name == yaml.safe_load(file.read_text())["name"]
    assert 0 <= plan.schedule(0.99) <= 1


def test_the_same_classes_are_the_same_run(tree: Path) -> None:
    arms = set()
    for classes in ("all", "[a,b]", "[b,a]"):
        overrides = ("data=imagenet_subset", f"data.root={tree}", f"data.classes={classes}")
        arms.add(make_plan(config(*overrides)).identity.sha256)
    assert len(arms) == 1


def test_no_target_anywhere() -> None:
    assert len(FILES) > 30
    assert not [file for file in FILES if "_target_" in file.read_text()]


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_se_model_is_backbone_plus_attention(name: str) -> None:
    """Every file says so in the same words, and of one it is composed what they mean."""
    text = (CONF / f"model/se_{name}.yaml").read_text()
    expected = ("# @package _global_", [f"{name}@model", {"override /attention": "se"}])
    assert (text.splitlines()[0], yaml.safe_load(text)["defaults"]) == expected
    assert len(yaml.safe_load(text)) == 1
    if name in ("resnet18", "wrn16_8"):
        assert raw(f"model=se_{name}") == raw(f"model={name}", "attention=se")
        assert raw(f"model=se_{name}", "attention=none") == raw(f"model={name}")


def test_ratio_feeds_the_attention() -> None:
    plan = make_plan(config("model=se_resnet20", "ratio=8"))
    assert plan.config.attention.options["ratio"] == 8
    assert plan.identity.label == "se_resnet20-r8"
    assert [slot.hidden for slot in plan.slots] == [2] * 3 + [4] * 3 + [8] * 3


@pytest.mark.parametrize(("size", "stem"), [(8, "cifar"), (64, "cifar"), (65, "imagenet")])
def test_stem_follows_the_image_size(size: int, stem: str) -> None:
    assert config(f"data.image_size={size}").model.options["stem"] == stem
    assert config("model.stem=imagenet").model.options["stem"] == "imagenet"


def test_top_level_keys_are_frozen() -> None:
    """Users' scripts rely on these names; a change here is a change for them."""
    assert {f.name for f in dataclasses.fields(Config)} == {
        "data",
        "model",
        "attention",
        "placement",
        "optim",
        "trainer",
        "ratio",
        "factor",
        "seed",
        "output_dir",
        "retry",
        "overwrite",
        "dry_run",
        "task",
        "logger",
    }


def leaves(tree: Any, path: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path


SAME = [
    ("seed=3",),
    ("output_dir=elsewhere",),
    ("overwrite=true",),
    ("data.workers=4",),
    ("trainer.channels_last=false",),
    ("trainer.accelerator=cpu",),
    ("attention.ratio=16",),
    ("placement.stages=[3,2,1]",),
    ("model=resnet8", "attention=se"),
    ("optim.name=sgd",),
    ("optim.frozen=none", "optim.backbone_lr_factor=1.0", "attention.identity=false"),
    ("optim.layer_decay=1.0", "optim.accumulate=1"),
    ("trainer.patience=none", "trainer.max_minutes=none"),
    ("trainer.score=auto", "data.sampling=shuffle"),
    ("optim.class_weights=none", "optim.class_weights_beta=0.999", "optim.focal_gamma=0.0"),
]
OTHER = [
    ("ratio=8",),
    ("optim.lr=0.06",),
    ("optim=adamw",),
    ("optim.accumulate=2",),
    ("trainer.score=macro_f1",),
    ("optim.class_weights=inverse",),
    ("data.sampling=balanced",),
    ("trainer.patience=5",),
    ("trainer.max_minutes=5.0",),
    ("optim.focal_gamma=2.0", "optim.label_smoothing=0.0"),
    ("optim.layer_decay=0.9",),
    ("optim=radam",),
    ("optim.frozen=backbone",),
    ("optim.backbone_lr_factor=0.1",),
    ("attention.bias=true",),
    ("placement.stages=[3]",),
    ("task=segmentation", "placement.part=aspp"),
    ("trainer.max_epochs=3",),
    ("trainer.ema_decay=0.99",),
    ("data.batch_size=32",),
    ("data.split_seed=1",),
    ("data.flip=true",),
    ("model=se_resnet34",),
    ("model=torchvision", "attention=se"),
]


@cache
def identity_with(*overrides: str) -> Identity:
    """That of a run with these settings, and of a small network where they choose none."""
    chosen = any(word.startswith("model=") for word in overrides)
    network = () if chosen else ("model=se_resnet8",)
    return make_plan(config(*network, *overrides)).identity


@pytest.mark.parametrize("overrides", SAME, ids=" ".join)
def test_same_identity(overrides: tuple[str, ...]) -> None:
    assert identity_with(*overrides) == identity_with()


@pytest.mark.parametrize("overrides", OTHER, ids=" ".join)
def test_other_identity(overrides: tuple[str, ...]) -> None:
    assert identity_with(*overrides).sha256 != identity_with().sha256


def test_the_baseline_has_no_placement() -> None:
    first = make_plan(config("model=resnet18"))
    second = make_plan(config("model=resnet18", "placement.stages=[1]"))
    assert first.identity == second.identity


def test_config_yaml_reads_back() -> None:
    """What a run writes as config.yaml is the configuration again."""
    resolved = make_plan(config("ratio=8")).config
    again = read_config(OmegaConf.create(yaml.safe_load(OmegaConf.to_yaml(as_tree(resolved)))))
    assert again == resolved


def test_identity_does_not_move() -> None:
    """Pinned: a change that moves it makes every finished run anew. Say so in the CHANGELOG."""
    plan = make_plan(config("trainer.precision=32"))
    assert plan.identity.arm == PINNED


PINNED = "se_resnet18-r16-edee0b99"
