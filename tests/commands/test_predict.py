"""senet-predict says what the run's own test said, streams, and stops at no bad file."""

import csv
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support import Result, png_that_claims

from senet_train import load_run
from senet_train.commands.predict import cli
from senet_train.commands.predict.report import write_rows
from senet_train.commands.predict.rows import Row, decoded, predicted
from senet_train.commands.predict.walk import SkippedFiles, image_files
from senet_train.data.image_files import decoders_silent
from senet_train.data.imagenet_subset import load_image
from senet_train.runs.trained import forward
from senet_train.runs.trained.forward import Forward
from senet_train.runs.trained.preprocess import Preprocess

Predict = Callable[..., Result]


@pytest.fixture
def predict(seen: tuple[Path, Path], tmp_path: Path, monkeypatch, capsys) -> Predict:
    """`predict(image)` runs the command on the run of `seen`, in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Result:
        code = cli.main([str(seen[1]), *map(str, arguments)])
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


def said_by_the_test(run: Path) -> dict[str, tuple[int, float]]:
    """Image id -> the class that the run's own test put first, and its probability."""
    with np.load(run / "predictions.npz", allow_pickle=False) as file:
        first = zip(file["top5"][:, 0].tolist(), file["probability_first"].tolist(), strict=True)
        return dict(zip(file["image_id"].tolist(), first, strict=True))


def test_it_says_what_the_test_of_the_run_said(seen: tuple[Path, Path], predict: Predict) -> None:
    tree, run = seen
    assert predict(tree / "val", "--out", "said.csv", "--batch-size", "4").code == 0
    known = said_by_the_test(run)
    with open("said.csv", newline="") as file:
        said = list(csv.DictReader(file))
    assert len(said) == len(known) == 27
    assert len({row["class_1"] for row in said}) > 1
    for row in said:
        label, probability = known[str(Path(row["file"]).relative_to(tree))]
        assert row["class_1"] == ("cat", "dog", "eel")[label]
        assert float(row["probability_1"]) == pytest.approx(probability, abs=1e-3)
        assert sum(float(row[f"probability_{k}"]) for k in (1, 2, 3)) == pytest.approx(1, abs=1e-5)


def test_another_preprocessing_says_something_else(seen: tuple[Path, Path]) -> None:
    """The test above would notice a pipeline that is not the run's."""
    tree, folder = seen
    run = load_run(folder)
    known = said_by_the_test(folder)
    changes = (
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.5, 0.5, 0.5)},
        {"margin": 256 / 224},
    )
    for change in changes:
        other = dataclasses.replace(run, preprocess=dataclasses.replace(run.preprocess, **change))
        said = predicted(
            image_files([tree / "val"], SkippedFiles()), Forward.of(other), 1, SkippedFiles()
        )
        apart = [
            abs(row.classes[0][1] - known[str(Path(row.file).relative_to(tree))][1]) for row in said
        ]
        assert max(apart) > 5e-3, change


@pytest.mark.parametrize("crop", ["none", "resized"])
def test_images_are_cut_as_in_testing(seen: tuple[Path, Path], crop: str) -> None:
    tree, folder = seen
    data = dataclasses.replace(load_run(folder).config.data, crop=crop)
    file = str(tree / "val" / "cat" / "3.png")
    tested = load_image(file, (), image_size=8, crop=crop)
    assert torch.equal(Preprocess.of(data).pixels(file), tested)


def test_json_holds_the_same(seen: tuple[Path, Path], predict: Predict) -> None:
    tree, _ = seen
    assert predict(tree / "val", "--out", "said.csv", "--top", "2").code == 0
    assert predict(tree / "val", "--out", "said.json", "--top", "2").code == 0
    said = json.loads(Path("said.json").read_text())
    with open("said.csv", newline="") as file:
        for row, entry in zip(csv.DictReader(file), said, strict=True):
            assert row["file"] == entry["file"]
            assert row["class_2"] == entry["classes"][1]["class"]
            assert float(row["probability_2"]) == entry["classes"][1]["probability"]


def test_a_table_of_the_likeliest_classes(seen: tuple[Path, Path], predict: Predict) -> None:
    tree, _ = seen
    done = predict(tree / "val" / "cat" / "0.png", tree / "val" / "eel")
    assert done.code == 0
    assert done.err == ""
    lines = done.out.splitlines()
    assert lines[0].split() == ["image", "class", "probability"]
    chances = [float(line.split()[-1]) for line in lines if re.search(r" 0\.\d{4}$", line)]
    assert len(chances) == 10 * 3
    assert sum(chances) == pytest.approx(10, abs=1e-2)
    assert chances[:3] == sorted(chances[:3], reverse=True)


def spoilt(folder: Path) -> None:
    """Files that are no image, or one that nobody should decode."""
    folder.mkdir()
    (folder / "page.jpg").write_text("<html>404</html>")
    (folder / "none.png").touch()
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "esc\x1b[31m.png").write_bytes(b"\x89PNG")
    (folder / "bomb.png").write_bytes(png_that_claims(30_000))


def test_bad_images_are_named_and_counted(
    seen: tuple[Path, Path], predict: Predict, tmp_path: Path
) -> None:
    spoilt(tmp_path / "bad")
    done = predict(tmp_path / "bad", seen[0] / "val" / "dog", "--out", "said.csv")
    assert done.code == 1
    *reasons, count = done.err.splitlines()
    assert count == "5 of 14 could not be read"
    assert len(reasons) == 5
    assert any("bomb.png" in line and "900000000 pixels" in line for line in reasons)
    assert any("page.jpg: in no known format" in line for line in reasons)
    assert "\x1b" not in done.err
    assert len(Path("said.csv").read_text().splitlines()) == 1 + 9


def test_nothing_readable_leaves_what_was_written(
    seen: tuple[Path, Path], predict: Predict, tmp_path: Path
) -> None:
    assert predict(seen[0] / "val", "--out", "said.csv").code == 0
    before = Path("said.csv").read_bytes()
    spoilt(tmp_path / "bad")
    assert predict(tmp_path / "bad", "--out", "said.csv").code == 1
    (tmp_path / "empty").mkdir()
    done = predict(tmp_path / "empty", "--out", "said.csv")
    assert done.code == 1
    assert "there is no image" in done.err
    assert Path("said.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.png", "tree"], "nowhere.png is not there: name image files"),
        (["tree", "--out", "said.txt"], "--out said.txt is neither .csv nor .json"),
        (["tree", "--out", "none/said.csv"], "--out none/said.csv cannot be written"),
        (["tree", "--out", "mine.csv"], "mine.csv exists and holds something else"),
        (["tree", "--top", "4"], "--top 4 and the run has 3 classes"),
        (["tree", "--top", "0"], "0 is no count"),
        ([], "the following arguments are required: IMAGE"),
    ],
)
def test_bad_input_is_one_line(
    predict: Predict, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "mine.csv").write_text("my own\n")
    done = predict(*arguments)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.splitlines()) == 1
    assert (tmp_path / "mine.csv").read_text() == "my own\n"


def test_folders_are_walked_in_order_and_never_in_a_circle(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.PNG", "a.jpg", "c/notes.txt", ".hidden/x.png", "b/.x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "up").symlink_to("..")
    (tmp_path / "d").symlink_to("b")  # no circle: followed
    skipped = SkippedFiles()
    found = [Path(f).relative_to(tmp_path) for f in image_files([tmp_path], skipped)]
    assert list(map(str, found)) == ["a.jpg", "b/10.PNG", "b/2.png", "d/10.PNG", "d/2.png"]
    named = [tmp_path / "c" / "notes.txt"]  # named by itself, it is tried
    assert list(image_files(named, skipped)) == [str(named[0])]
    assert skipped.count == 0


def test_no_more_is_read_than_the_network_is_ahead(tmp_path: Path) -> None:
    given = 0

    def endless() -> Iterator[str]:
        nonlocal given
        while True:
            given += 1
            yield f"{given}.png"

    reading = decoded(endless(), lambda file: torch.zeros(2, 2, 3), SkippedFiles(), ahead=8)
    for _ in range(100):
        next(reading)
    assert given <= 100 + 8
    reading.close()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "said.csv"
    write_rows([Row("a.png", [("cat", 0.5)])], file, 1)
    before = file.read_bytes()

    def failing() -> Iterator[Row]:
        yield Row("b.png", [("dog", 0.5)])
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_rows(failing(), file, 1)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_names_that_are_no_unicode_are_written(tmp_path: Path) -> None:
    row = Row("\udcff.png", [("cat", 0.5)])
    for name in ("said.csv", "said.json"):
        assert write_rows([row], tmp_path / name, 1) == 1
        assert "\\udcff.png" in (tmp_path / name).read_text()


def test_the_batch_is_what_the_machine_has_room_for(
    seen: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cpu = load_run(seen[1]), torch.device("cpu")
    widest = 16 * 8 * 8 * 4  # ResNet-20's first stage at 8 x 8, in float32
    assert forward.largest_map_bytes(run) == widest
    assert 2**20 < forward.free_bytes(cpu) < 2**50
    for free, batch_size in ((2**40, 32), (4 * 8 * widest * 5, 5), (0, 1)):
        monkeypatch.setattr(forward, "free_bytes", lambda device, free=free: free)
        assert forward.largest_batch(run, cpu) == batch_size
    assert Forward.of(run, 3).batch_size == 3


def test_a_batch_without_room_is_one_line(
    seen: tuple[Path, Path], predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Forward, pixels: torch.Tensor) -> torch.Tensor:
        with forward.explain_batch_too_large(self.run, len(pixels)):
            raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(Forward, "__call__", full)
    done = predict(seen[0] / "val", "--batch-size", "7")
    assert done.code == 1
    assert done.err == (
        "error: there is no memory for 7 images of 8 x 8 pixels at once: "
        "choose a smaller --batch-size\n"
    )


def test_it_imports_no_torch_before_it_must() -> None:
    code = (
        "import sys; from senet_train.commands.predict import cli as p; "
        "from senet_train.commands.evaluate import cli as e; "
        "codes = [p.main(['--help']), e.main(['--help']), p.main(['run', 'gone.png']), "
        "p.main(['.', '.', '--out', 'x.txt']), e.main(['.', '--batch-size', '0'])]; "
        "sys.exit(codes != [0, 0, 2, 2, 2] or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("usage: ")) == (0, 2), done.stderr


def test_large_images_are_not_warned_of(tmp_path: Path, capsys, recwarn) -> None:
    from PIL import Image

    Image.new("RGB", (200, 200)).save(tmp_path / "large.png")
    with pytest.MonkeyPatch.context() as patch, decoders_silent():
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 30_000)  # warns above it, refuses above twice
        with Image.open(tmp_path / "large.png") as picture:
            assert picture.size == (200, 200)
    assert not recwarn.list
