"""What is said of a network before it is trained."""

import pytest
from support import TINY, Senet, config

from senet_train.training.notices import batch_of_several_steps, recipe_words, stem_words
from senet_train.training.plan import make_plan

DATA = ("data=fake", "data.num_classes=10", "trainer.precision=32")


def plan(*words: str):
    return make_plan(config(*DATA, *words))


@pytest.mark.parametrize("words", [("model=resnet18",), ("model=se_resnet18", "ratio=8")])
def test_the_cifar_stem_on_larger_images_is_weighed(words: tuple[str, ...]) -> None:
    """Against the counts of both networks, planned by themselves."""
    small = plan(*words, "data.image_size=64")
    large = plan(*words, "data.image_size=128")
    assert large.config.model.options["stem"] == "imagenet"
    times = small.cost.multiply_adds / large.cost.multiply_adds
    assert 3.5 < times < 4.5
    assert stem_words(small) == (
        f"; with model.stem=cifar 64 px cost {times:.1f} times what 128 px cost with "
        "model.stem=imagenet"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("model=resnet18", "data.image_size=32"),
        ("model=resnet18", "data.image_size=128"),
        ("model=resnet20", "data.image_size=64"),  # has one stem
        ("model=mobilenet_v1", "data.image_size=64"),  # its ImageNet stem saves little
    ],
)
def test_nothing_is_said_where_nothing_is_saved(words: tuple[str, ...]) -> None:
    assert stem_words(plan(*words)) == ""


def test_it_is_part_of_the_networks_line(senet: Senet) -> None:
    said = senet(*DATA, "model=resnet18", "data.image_size=64", "dry_run=true").err
    assert "multiply-adds; with model.stem=cifar 64 px cost" in said.splitlines()[0]


def test_a_dry_run_says_the_recipe(senet: Senet) -> None:
    [line] = [x for x in senet(*DATA, "dry_run=true").err.splitlines() if x.startswith("recipe: ")]
    assert line == (
        "recipe: 10 epochs of sgd, lr 0.05 (one_cycle), weight decay 0.0005, batch 64, "
        "augmentation standard, precision 32"
    )
    words = ("optim=adamw", "optim.accumulate=4", "data.augment=[randaugment,random_erasing]")
    said = recipe_words(plan(*words, "data.mixup=0.2", "trainer.ema_decay=0.9").config)
    assert "10 epochs of adamw, " in said
    assert "batch 64, 4 batches a step, augmentation randaugment + random_erasing, mixup " in said
    assert said.endswith("weights averaged (0.9)")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), ""),  # three steps
        (("data.batch_size=64",), "an epoch is 1 step with data.batch_size=64, of 54 training"),
        (("data.batch_size=27",), "an epoch is 2 steps with data.batch_size=27, of 54 training"),
        (("optim.accumulate=3",), "an epoch is 1 step with data.batch_size=16 and optim.accum"),
    ],
)
def test_a_batch_that_holds_nearly_all_images(
    senet: Senet, words: tuple[str, ...], said: str
) -> None:
    result = senet(*TINY, "trainer.max_epochs=1", *words)
    assert result.code == 0
    lines = [line for line in result.err.splitlines() if "an epoch is" in line]
    assert [said in line for line in lines] == [True] * bool(said)
    assert all("such as data.batch_size=" in line for line in lines)


def test_the_batch_that_is_advised_makes_several_steps() -> None:
    for num_images in (*range(12, 100), 1_000, 50_000):
        assert 6 <= num_images / batch_of_several_steps(num_images) < 12
    assert {batch_of_several_steps(num_images) for num_images in range(1, 12)} == {2}


def test_a_dry_run_counts_the_images_that_it_knows(senet: Senet) -> None:
    said = senet(*TINY, "dry_run=true")
    assert "data: about 54 training images, 3 steps an epoch" in said.err
    table = senet(*TINY, "seeds=3", "ratio=2,4", "dry_run=true").out.splitlines()
    assert table.count("data: about 54 training images, 3 steps an epoch") == 1
    unknown = senet("data=cifar10", "model=resnet8", "seeds=1,2", "dry_run=true")  # not here yet
    assert "training images" not in unknown.out + unknown.err
    assert "" not in unknown.out.splitlines()
