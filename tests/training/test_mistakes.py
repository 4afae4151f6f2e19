"""The pictures of what a network gets wrong show what it got wrong."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix
from support import TINY, Senet, run_folders, status_of

from senet_train import figures
from senet_train.data.images import MemoryImages
from senet_train.figures import figure_pixels
from senet_train.training.pictures.classes import draw_confusion, draw_gallery
from senet_train.training.tasks.mistakes import (
    MOST_CLASSES,
    captions_of,
    confusion,
    most_confused,
    surest_mistakes,
    write_mistakes,
)


def test_confusion_is_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    labels, said = torch.randint(0, 7, (2, 200), generator=generator)
    expected = confusion_matrix(labels, said, labels=range(9))  # two classes are nowhere
    np.testing.assert_array_equal(confusion(labels, said, 9), expected)
    assert not np.array_equal(expected, expected.T)  # rows are told from columns


def test_surest_mistakes_come_first() -> None:
    labels = torch.zeros(20, dtype=torch.int64)
    logits = torch.stack([torch.zeros(20), torch.arange(20.0) - 2], 1)
    assert surest_mistakes(logits, labels).tolist() == list(range(19, 3, -1))
    assert surest_mistakes(logits[:2], labels[:2]).tolist() == []
    captions = captions_of(logits[[0, 4]], labels[[0, 4]], ["cat", "d" * 30])
    assert captions == ["is cat\nsaid cat\nat 0.88", f"is cat\nsaid {'d' * 16}\nat 0.88"]


def words(figure: Figure) -> tuple[list[str], list[str], list[str]]:
    """A matrix's numbers, and the names along both axes."""
    axes = figure.axes[0]
    ticks = axes.get_xticklabels(), axes.get_yticklabels()
    rows, columns = ([label.get_text() for label in labels] for labels in ticks)
    return [text.get_text() for text in axes.texts], rows, columns


@pytest.mark.parametrize(("num_classes", "numbers"), [(3, True), (30, False)])
def test_a_matrix_says_what_it_has_room_for(num_classes: int, numbers: bool) -> None:
    counts = np.diag(np.arange(1, num_classes + 1)) * 1000
    names = [f"$class_{number}" for number in range(num_classes)]  # no mathematics
    said, rows, columns = words(draw_confusion(counts, names, int(counts.trace())))
    assert said == ([f"{n},000" for n in range(1, num_classes + 1)] if numbers else [])
    assert rows == columns == names


def test_a_thousand_classes_have_no_names() -> None:
    figure = draw_confusion(np.eye(1000, dtype=np.int64), [f"class{n}" for n in range(1000)], 1000)
    said, rows, columns = words(figure)
    assert not said
    assert not [text for text in (*rows, *columns) if "class" in text]


def test_a_gallery_shows_the_images_themselves() -> None:
    pixels = np.zeros((5, 2, 2, 3), dtype=np.uint8)
    pixels[4, 0, 0] = (255, 0, 0)  # one red pixel of the only image of the second row
    shown = figure_pixels(lambda: draw_gallery(pixels, ["a", "b", "c", "d", "$e_^"], "five"))
    red = np.argwhere((shown == (255, 0, 0)).all(2))
    assert len(red) > 500
    top, left = red.min(0)
    assert top > shown.shape[0] / 2
    assert left < 30


class Pictures:
    """Stands in for the Journal."""

    def __init__(self) -> None:
        self.written: dict[str, int] = {}

    def write_picture(self, tag: str, pixels: np.ndarray, epoch: int) -> None:
        assert pixels.dtype == np.uint8
        self.written[tag] = epoch


@pytest.mark.parametrize(
    ("wrong", "tags"),
    [([], ["test/confusion"]), ([1], ["test/confusion", "test/misclassified"])],
)
def test_without_a_mistake_none_is_shown(wrong: list[int], tags: Sequence[str]) -> None:
    labels = torch.tensor([0, 1, 2])
    logits = torch.eye(4)[labels]  # of the fourth logit the data know no class
    logits[wrong] = torch.tensor([0.0, 0, 0, 1])
    images = MemoryImages(torch.zeros(3, 8, 8, 3, dtype=torch.uint8), labels, ["a", "b", "c"])
    journal = Pictures()
    write_mistakes(journal, logits, images, ("x", "y", "\u732b"), epoch=7)
    assert journal.written == dict.fromkeys(tags, 7)


def test_of_many_classes_the_most_confused_are_shown() -> None:
    """Ten thousand classes, of which three are confused: their cells are those of the whole."""
    num_classes = 10_000
    labels = torch.arange(num_classes).repeat(2)
    said = labels.clone()
    said[[7, 9, 9000]] = torch.tensor([9, 9000, 7])
    names, few_labels, few_said = most_confused([f"c{n}" for n in range(num_classes)], labels, said)
    assert len(names) == MOST_CLASSES
    assert {"c7", "c9", "c9000", "9,801 others"} <= set(names)
    matrix = confusion(few_labels, few_said, len(names))
    at = {name: number for number, name in enumerate(names)}
    assert matrix[at["c7"], at["c9"]] == matrix[at["c9"], at["c9000"]] == 1
    assert matrix[at["c9000"], at["c7"]] == 1
    assert matrix.sum() == len(labels)
    assert matrix.trace() == len(labels) - 3
    assert matrix[-1, -1] == 2 * 9_801


def test_a_picture_that_fails_takes_nothing_from_the_run(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is there before it is drawn, and the run has finished."""
    seen = []

    def fail(*arguments: object) -> None:
        [folder] = run_folders(tmp_path)
        seen.append(((folder / "result.json").exists(), status_of(folder)["state"]))
        raise MemoryError("no room for a picture")

    monkeypatch.setattr("senet_train.training.tasks.classification.write_mistakes", fail)
    result = senet(*TINY)
    assert result.code == 0
    assert seen == [(True, "finished")]
    assert "could not be drawn (MemoryError: no room for a picture)" in result.err
    assert "test top-1" in result.out


def test_names_in_other_scripts_are_drawn(recwarn: pytest.WarningsRecorder) -> None:
    """In Latin letters where no font here has theirs: without a box, or a warning for each."""
    names = ["翘头剪", "止血钳", "مقص", "café", "Ελλάδα", "$a_b$ <b>&"]
    _, rows, columns = words(draw_confusion(np.eye(6, dtype=np.int64), names, 6))
    assert rows == columns
    assert rows[3:] == names[3:]  # ours has them
    figure_pixels(lambda: draw_confusion(np.eye(6, dtype=np.int64), names, 6))
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    assert len(set(rows)) == 6


def test_a_machine_without_other_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "characters", lambda: frozenset(range(32, 127)))
    assert figures.drawable("翘头剪 a") == "QiaoTouJian a"
