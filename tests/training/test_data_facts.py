"""What a run says of its data, counted by hand."""

from pathlib import Path

import pytest
from support import DATA, config, open_tree, write_image

from senet_train.data.loaders import load_splits
from senet_train.runs.metrics import Metrics
from senet_train.runs.record import DataFacts
from senet_train.runs.summary import metric_rows
from senet_train.training.data_facts import data_line, facts_of
from senet_train.training.plan import make_plan


def unequal_tree(base: Path) -> Path:
    """12 cats and 4 dogs to train and validate on; 1 cat and 3 dogs to test on."""
    for name, sizes in (("cat", (12, 1)), ("dog", (4, 3))):
        for part, count in zip(("train", "test"), sizes, strict=True):
            for i in range(count):
                write_image(
                    base / part / name / f"{i}.png", 100 * len(part) + 10 * (name == "cat") + i
                )
    (base / "train" / "cat" / "list.txt").write_text("x")
    return base


def test_unequal_classes(tmp_path: Path) -> None:
    source = open_tree(unequal_tree(tmp_path))
    facts = facts_of(load_splits(source, DATA), source)
    assert facts.images == {"training": 13, "validation": 3, "test": 4}
    assert (facts.smallest_class, facts.largest_class) == ({"dog": 3}, {"cat": 10})
    assert facts.largest_class_share == 0.25
    assert data_line(facts, source.class_names) == (
        "data: 13 training, 3 validation and 4 test images of 2 classes, 3 (dog) to 10 (cat) "
        "training images of a class; top-1 to beat is 0.2500, as cat for every test image; "
        "test/ is the test set, and validation is split from train/; left out, as no images: 1 .txt"
    )


def test_nearly_equal_classes() -> None:
    facts = DataFacts({"training": 6, "validation": 2, "test": 2}, {"a": 4}, {"b": 6}, 0.5)
    assert "top-1" not in data_line(facts, ["a", "b"])


def test_equal_classes() -> None:
    facts = DataFacts({"training": 6, "validation": 2, "test": 2}, {"a": 3}, {"a": 3}, 0.5)
    line = data_line(facts, ["a", "b"])
    assert line == "data: 6 training, 2 validation and 2 test images of 2 classes"


SCENES = ["task=segmentation", "data=shapes", "data.num_images=80", "data.num_test_images=40"]


@pytest.mark.parametrize("words", [["data=digits"], SCENES])
def test_every_task_has_facts(words: list[str]) -> None:
    plan = make_plan(config(*words, "model=resnet8"))
    facts = facts_of(load_splits(plan.source, plan.config.data), plan.source)
    assert sum(facts.images.values()) > 100
    assert bool(facts.largest_class) == (words == ["data=digits"])


def test_top_5_of_five_classes_is_not_shown() -> None:
    metrics = Metrics(0.9, 1.0, 0.3, 0.89, 0.31, 0.91, 1.0, 0.29, 7)
    shown = {num: [name for name, _ in metric_rows(metrics, num)] for num in (5, 6)}
    assert "test top-5" not in shown[5]
    assert "val top-5" not in shown[5]
    assert "test top-5" in shown[6]
