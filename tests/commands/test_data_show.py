"""`senet-data show`: the sheet has what the network gets, and nothing else is written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import composed, write_image

from senet_train.commands.data_check.cli import main
from senet_train.commands.data_show.sheet import COLUMNS, LINE, MARGIN, title_of
from senet_train.data.find import find_data
from senet_train.data.loaders import TrainingBatches, load_splits

SMALL = ("data.image_size=32", "data.crop=pad", "data.workers=0")
Draw = Callable[..., np.ndarray]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    base = tmp_path / "tree"
    for label, name in enumerate(("fox", "owl")):
        for i in range(8):
            write_image(base / "train" / name / f"{i}.png", 10 * i + label, (36, 40))
            write_image(base / "val" / name / f"{i}.png", 99 + i + label, (36, 40))
    return base


@pytest.fixture
def draw(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """The sheet's cells, (number, 32, 32, 3), drawn by the command in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def cells(*words: str, options: tuple[str, ...] = (), number: int = 4) -> np.ndarray:
        assert main(["show", str(tree), *SMALL, *words, *options, "--images", str(number)]) == 0
        sheet = np.asarray(Image.open("sheet.png"))
        places = [divmod(i, COLUMNS) for i in range(number)]
        tops = [MARGIN + row * (96 + LINE + MARGIN) for row, _ in places]
        lefts = [MARGIN + column * (96 + MARGIN) for _, column in places]
        return np.stack(
            [sheet[t : t + 96 : 3, x : x + 96 : 3] for t, x in zip(tops, lefts, strict=True)]
        )

    return cells


def given(tree: Path, *words: str, epoch: int = 0) -> np.ndarray:
    """The pixels of the first batch of a training."""
    config = composed(["data=imagenet_subset", f"data.root={tree}", *SMALL, *words])
    source, data = find_data(config.data)
    train = load_splits(source, data).train
    images, _, _ = next(iter(TrainingBatches(train, data, seed=config.seed, epoch=epoch)))
    std, mean = (torch.tensor(each)[:, None, None] for each in (data.std, data.mean))
    return (255 * (images * std + mean)).round().permute(0, 2, 3, 1).numpy()


def test_the_sheet_has_what_a_training_gets(tree: Path, draw: Draw) -> None:
    plain, strong = draw(), draw("data.augment=strong", "seed=3", options=("--epoch", "2"))
    assert np.array_equal(plain, given(tree)[:4])
    assert np.array_equal(strong, given(tree, "data.augment=strong", "seed=3", epoch=2)[:4])
    assert not np.array_equal(plain, given(tree, "seed=3")[:4])
    assert [file.name for file in Path.cwd().iterdir()] == ["sheet.png"]
    assert draw(number=14).shape == (14, 32, 32, 3)


def test_titles() -> None:
    names = ("fox", "Käfer", "owl")
    assert title_of(torch.tensor(1), names) == "Kafer"
    assert title_of(torch.tensor([0.25, 0.0, 0.75]), names) == "owl 0.75, fox 0.25"
    assert title_of(torch.tensor([0.0, 0.0, 1.0]), names) == "owl"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/nowhere"], "PATH=/nowhere does not exist"),
        (["TREE", "data.augment=rand"], "there is no data.augment named rand"),
        (["TREE", "data.mixup=0"], "data.mixup=0: must be 'none'"),
        (["TREE", "data.cutmix=1.0", "data.batch_size=1"], "choose data.batch_size at least 2"),
        (["TREE", "--epoch", "-1"], "--epoch"),
        (["TREE", "--images", "0"], "0 is no count"),
        (["TREE", "--out", "no/sheet.png"], "--out no/sheet.png cannot be written"),
        (["TREE", "--out", "notes.txt"], "exists and holds something else"),
    ],
)
def test_bad_input(
    tree: Path, draw: Draw, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    Path("notes.txt").write_text("mine")
    code = main(["show", *(str(tree) if word == "TREE" else word for word in words)])
    printed = capsys.readouterr()
    assert (code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert message in printed.err
    assert [file.name for file in Path.cwd().iterdir()] == ["notes.txt"]
