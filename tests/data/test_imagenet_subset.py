"""Class folders: labels by name, odd trees refused in one line, keyed crops for any workers."""

import dataclasses
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import DATA, open_tree, write_image

from senet_train.data.imagenet_subset import NAMED_CLASSES, load_image
from senet_train.data.images import FileImages, MemoryImages
from senet_train.data.loaders import TrainingBatches, load_splits
from senet_train.errors import InputError, RunError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """cat, dog and eel; 6 training and 2 test images each; some names and sizes differ."""
    for number, name in enumerate(("cat", "dog", "eel")):
        for i in range(6):
            write_image(tmp_path / "train" / name / f"{i}.png", 10 * number + i, (12, 9 + i))
        for i in range(2):
            write_image(tmp_path / "val" / name / f"v{i}.PNG", 100 + 10 * number + i)
    return tmp_path


def test_labels_come_from_names(tree: Path) -> None:
    source = open_tree(tree)
    pool, test = source.load()
    assert source.class_names == ("cat", "dog", "eel")
    for images in (pool, test):
        for image_id, label in zip(images.ids, images.labels.tolist(), strict=True):
            assert image_id.split("/")[1] == source.class_names[label]
    assert test.ids[0] == "val/cat/v0.PNG"


def test_test_folder_may_be_called_test(tree: Path) -> None:
    (tree / "val").rename(tree / "test")
    assert open_tree(tree).load()[1].ids[0] == "test/cat/v0.PNG"
    write_image(tree / "val" / "cat" / "x.png", 0)
    with pytest.raises(InputError, match=r"has both val/ and test/"):
        open_tree(tree)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("missing", r"train has classes that .*val lacks \(eel\)"),
        ("extra", r"val has classes that .*train lacks \(fox\)"),
        ("hidden", r"train has hidden class folders \(\.ipynb_checkpoints\)"),
        ("empty", r"train has class folders without an image \(fox\)"),
        ("single", r"train has class folders with a single image \(fox\)"),
        ("nested", r"deeper is a folder: images lie in their class folder"),
    ],
)
def test_odd_trees(tree: Path, spoil: str, message: str) -> None:
    if spoil == "missing":
        for file in (tree / "val" / "eel").iterdir():
            file.unlink()
        (tree / "val" / "eel").rmdir()
    elif spoil == "extra":
        write_image(tree / "val" / "fox" / "0.png", 0)
    elif spoil == "single":
        for part in ("train", "val"):
            write_image(tree / part / "fox" / "0.png", 0)
    elif spoil == "hidden":
        write_image(tree / "train" / ".ipynb_checkpoints" / "0.png", 0)
    elif spoil == "empty":
        (tree / "train" / "fox").mkdir()
        (tree / "train" / "fox" / "notes.txt").write_text("no image")
    else:
        write_image(tree / "train" / "cat" / "deeper" / "0.png", 0)
    with pytest.raises(InputError, match=message):
        open_tree(tree)


def test_missing_root() -> None:
    with pytest.raises(InputError, match=r"data\.root=/nowhere holds no train/<class>/"):
        open_tree(Path("/nowhere"))


def test_hidden_files_are_no_images(tree: Path) -> None:
    (tree / "train" / "cat" / "._0.png").write_bytes(b"resource fork")
    assert len(open_tree(tree).load()[0].labels) == 18


def test_chosen_classes(tree: Path) -> None:
    with pytest.raises(InputError, match="gives one class"):
        open_tree(tree, classes=["cat", "cat"])
    source = open_tree(tree, classes=["eel", "cat"])
    assert source.class_names == ("cat", "eel")
    assert len(source.load()[0].labels) == 12
    with pytest.raises(InputError, match=r"data\.classes=\[\] is no class"):
        open_tree(tree, classes=[])
    with pytest.raises(InputError, match="train lacks the classes gnu"):
        open_tree(tree, classes=["gnu"])
    with pytest.raises(InputError, match="lacks the classes n01440764"):
        open_tree(tree, classes="imagenette")
    assert all(len(set(names)) == 10 for names in NAMED_CLASSES.values())


def test_a_broken_link(tree: Path) -> None:
    (tree / "train" / "cat" / "9.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"9\.png is a broken link"):
        open_tree(tree)


def test_images_per_class_nest(tree: Path) -> None:
    ids = {n: set(open_tree(tree, images_per_class=n).load()[0].ids) for n in (2, 3, 6)}
    assert [len(ids[n]) for n in (2, 3, 6)] == [6, 9, 18]
    assert ids[2] < ids[3] < ids[6]
    with pytest.raises(InputError, match=r"images_per_class=7: choose 2 to 6"):
        open_tree(tree, images_per_class=7)


def test_fingerprint_changes_with_the_files(tree: Path) -> None:
    before = open_tree(tree).fingerprint
    assert open_tree(tree).fingerprint == before
    (tree / "val" / "dog" / "v0.PNG").rename(tree / "val" / "dog" / "w0.PNG")
    renamed = open_tree(tree).fingerprint
    write_image(tree / "train" / "dog" / "0.png", 0, (30, 30))
    assert len({before, renamed, open_tree(tree).fingerprint}) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_named(tree: Path, workers: int) -> None:
    broken = tree / "train" / "dog" / "3.png"
    broken.write_bytes(broken.read_bytes()[:100])
    pool, _ = open_tree(tree, workers=workers).load()
    assert isinstance(pool, FileImages)
    with pytest.raises(RunError, match=rf"^{broken} cannot be read as an image"):
        pool.to_memory()
    assert not multiprocessing.active_children()  # ended at once, not by a later collection


def test_a_signal_to_every_process_takes_no_batch(tree: Path) -> None:
    """A scheduler's SIGTERM reaches the workers too: it is the trainer that decides."""
    pool, _ = open_tree(tree, workers=2).load()
    reading = pool.read([torch.tensor([0])] * 12)
    batches = [next(reading), next(reading)]  # one of each worker
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    assert len(workers) == 2
    assert len([*batches, *reading]) == 12


def epoch(tree: Path, crop: str, cache: str, workers: int) -> list[torch.Tensor]:
    data = dataclasses.replace(DATA, crop=crop, cache=cache, workers=workers, batch_size=4)
    images = load_splits(open_tree(tree, crop=crop, workers=workers), data).train
    assert isinstance(images, MemoryImages if cache == "memory" else FileImages)
    return [pixels for pixels, _, _ in TrainingBatches(images, data, seed=0, epoch=1)]


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("crop", ["pad", "resized"])
def test_workers_change_nothing(tree: Path, crop: str) -> None:
    alone = epoch(tree, crop, "stream", 0)
    torch.manual_seed(123)
    assert equal(alone, epoch(tree, crop, "stream", 2))


def test_memory_and_stream_are_the_same_numbers(tree: Path) -> None:
    assert equal(epoch(tree, "pad", "memory", 0), epoch(tree, "pad", "stream", 0))
    assert not equal(epoch(tree, "pad", "memory", 0), epoch(tree, "resized", "stream", 0))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    """A grey picture stays the grey it is."""
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    grey = np.full((8, 8), 102, dtype=np.uint8)
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(grey).convert("RGB").convert(mode).save(path)
    with Image.open(path) as stored:
        assert stored.mode == mode
    pixels = load_image(str(path), (), image_size=8, crop="none")
    assert pixels.shape == (8, 8, 3)
    assert (pixels.int() - 102).abs().max() <= 1


def test_evaluation_cuts_out_the_middle(tmp_path: Path) -> None:
    picture = np.zeros((40, 64, 3), dtype=np.uint8)
    picture[:, 12:52] = 200
    for part in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(2):
                Image.fromarray(picture).save(tmp_path / part / name / f"{i}.png")
    _, test = open_tree(tmp_path, image_size=20).load()
    assert isinstance(test, FileImages)
    pixels = test.to_memory().pixels
    assert pixels.shape == (4, 20, 20, 3)
    assert int((pixels != 200).sum()) <= 4 * 2 * 20 * 3  # at most a column on either side
