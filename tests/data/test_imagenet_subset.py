"""Class folders: labels by name, odd trees refused in one line, keyed crops for any workers."""

import dataclasses
import multiprocessing
import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from support import DATA, TINY, Senet, config, draw_tree, open_tree, write_image

from senet_train.data.imagenet_subset import NAMED_CLASSES, load_image
from senet_train.data.images import FileImages, MemoryImages, Source
from senet_train.data.loaders import TrainingBatches, load_splits
from senet_train.errors import InputError, RunError
from senet_train.runs.identity import identify
from senet_train.runs.status import write_status
from senet_train.training import fit
from senet_train.training.plan import make_plan


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
    (tree / "testing").mkdir()
    with pytest.raises(InputError, match=r"has both test/ and testing/: move one away"):
        open_tree(tree)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("missing", r"train has classes that .*val lacks \(eel\)"),
        ("extra", r"val has classes that .*train lacks \(fox\)"),
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
    elif spoil == "empty":
        (tree / "train" / "fox").mkdir()
        (tree / "train" / "fox" / "notes.txt").write_text("no image")
    else:
        write_image(tree / "train" / "cat" / "deeper" / "0.png", 0)
    with pytest.raises(InputError, match=message):
        open_tree(tree)


def test_missing_root() -> None:
    with pytest.raises(InputError, match=r"data\.root=/nowhere does not exist: give the folder"):
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
    assert set(open_tree(tree, images_per_class=7).load()[0].ids) == ids[6]  # at most so many
    assert len(open_tree(tree, test_images_per_class=1).load()[1].labels) == 3


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


def parts_of(source: Source) -> tuple[set[str], set[str], set[str]]:
    """The names of the training, validation and test images."""
    splits = load_splits(source, DATA)
    return set(splits.train.ids), set(splits.validation.ids), set(splits.test.ids)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_three_parts(tree: Path, name: str) -> None:
    """A validation folder beside a test folder is the validation set; every image has its part."""
    (tree / "val").rename(tree / "test")
    for number, animal in enumerate(("cat", "dog", "eel")):
        write_image(tree / name / animal / "w.png", 200 + number)
    source = open_tree(tree)
    train, validation, test = parts_of(source)
    assert (len(train), len(validation), len(test)) == (18, 3, 6)
    assert all(image.startswith("train/") for image in train)
    assert all(image.startswith(f"{name}/") for image in validation)
    assert source.notes == (f"{name}/ is the validation set and test/ the test set",)
    assert not source.earlier_fingerprint  # such a run was refused, or did not see that folder


@pytest.mark.parametrize("name", ["valid", "VALIDATION", "Testing", "val"])
def test_two_parts(tree: Path, name: str) -> None:
    (tree / "val").rename(tree / name)
    source = open_tree(tree)
    assert [len(part) for part in parts_of(source)] == [15, 3, 6]
    assert source.notes == (f"{name}/ is the test set, and validation is split from train/",)


@pytest.mark.parametrize("folder", ["train", "."])
def test_one_folder_is_split(tree: Path, folder: str) -> None:
    """`train/<class>/*` alone, or `<class>/*` without any part."""
    if folder == ".":
        base = tree / "train"
    else:
        (tree / "val").rename(tree.parent / "elsewhere")
        base = tree
    source = open_tree(base)
    train, validation, test = parts_of(source)
    assert [len(part) for part in (train, validation, test)] == [12, 3, 3]
    assert len(train | validation | test) == 18  # no image in two parts
    for part in (train, validation, test):
        assert {image.split("/")[-2] for image in part} == {"cat", "dog", "eel"}
    assert source.notes == (f"validation and test are split from {'train'}/",)
    assert parts_of(open_tree(base)) == (train, validation, test)
    assert parts_of(open_tree(base, split_seed=1))[2] != test
    assert len(parts_of(open_tree(base, test_fraction=0.5))[2]) == 9
    assert open_tree(base, test_fraction=0.5).fingerprint != source.fingerprint


def test_a_fraction_is_no_matter_where_there_is_a_test_set(tree: Path) -> None:
    with pytest.raises(InputError, match=r"data\.test_fraction=0\.5 is for a tree without a test"):
        open_tree(tree, test_fraction=0.5)


def test_a_class_may_be_called_train(tree: Path) -> None:
    """Vehicles, say: a folder of images is a class, whatever its name."""
    vehicles = tree / "vehicles"
    for number, name in enumerate(("bus", "train")):
        for i in range(5):
            write_image(vehicles / name / f"{i}.png", 10 * number + i)
    assert open_tree(vehicles).class_names == ("bus", "train")


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (
            "no classes",
            r"holds images and no class folders: sort them into a folder for each",
        ),
        ("too deep", r"holds no train/<class>/ and no <class>/ folders: data\.root=.*/set does"),
        ("nothing", r"holds no train/<class>/ and no <class>/ folders: give the folder that does"),
        ("only test", r"test holds images and no class folders|holds no train/<class>/"),
        ("a file", r"is no folder"),
        ("two of one image", r"single image \(cat\): training and validation and test each need"),
    ],
)
def test_layouts_that_are_refused(tmp_path: Path, layout: str, message: str) -> None:
    base = tmp_path / "root"
    base.mkdir()
    if layout == "no classes":  # as competitions hand them out: the class is in the file's name
        for name in ("train/cat.0.jpg", "train/dog.0.jpg", "test/0.jpg"):
            write_image(base / name, 0)
    elif layout == "too deep":
        write_image(base / "set" / "train" / "cat" / "0.png", 0)
    elif layout == "only test":
        write_image(base / "test" / "cat" / "0.png", 0)
    elif layout == "a file":
        base = base / "file"
        base.touch()
    elif layout == "two of one image":
        write_image(base / "cat" / "0.png", 0)
        for i in range(3):
            write_image(base / "dog" / f"{i}.png", i)
    with pytest.raises(InputError, match=message):
        open_tree(base)


def test_what_systems_leave_behind_is_no_class(tree: Path) -> None:
    before = open_tree(tree).load()[0].ids
    for name in (".ipynb_checkpoints", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "lost+found"):
        for folder in (tree, tree / "train", tree / "train" / "cat"):
            write_image(folder / name / "0.png", 0)
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._0.png"):
        (tree / "train" / "cat" / name).write_bytes(b"x")
    source = open_tree(tree)
    assert source.load()[0].ids == before
    assert len(source.notes) == 1  # nothing that a user put there is left out


def test_every_ending_that_can_be_decoded(tree: Path) -> None:
    """And those that are left out are counted."""
    images = {"jfif": "JPEG", "jpe": "JPEG", "gif": "GIF", "avif": "AVIF", "JPG": "JPEG"}
    for ending, kind in images.items():
        with Image.open(tree / "train" / "cat" / "0.png") as picture:
            picture.save(tree / "train" / "cat" / f"more.{ending}", kind)
    before = open_tree(tree)
    for name in ("a.txt", "b.txt", "c.jp2", "README"):
        (tree / "train" / "cat" / name).write_text("x")
    (tree / "val" / "dog" / "d.heic").write_text("x")
    source = open_tree(tree)
    assert source.fingerprint == before.fingerprint
    assert len(source.load()[0].labels) == 18 + len(images)
    assert source.notes[1] == "left out, as no images: 2 .txt, 1 .jp2, 1 no ending, 1 .heic"
    assert not source.earlier_fingerprint  # an earlier run did not see all of them


def test_one_name_in_two_spellings(tree: Path) -> None:
    """A Mac writes an accent as a letter of its own: the class is the same on every machine."""
    cafe = {form: unicodedata.normalize(form, "café") for form in ("NFC", "NFD")}
    (tree / "train" / "cat").rename(tree / "train" / cafe["NFD"])
    (tree / "val" / "cat").rename(tree / "val" / cafe["NFC"])
    mixed = open_tree(tree)
    assert mixed.class_names == (cafe["NFC"], "dog", "eel")
    assert open_tree(tree, classes=[cafe["NFD"], "dog"]).class_names == (cafe["NFC"], "dog")
    (tree / "train" / cafe["NFD"]).rename(tree / "train" / cafe["NFC"])
    assert open_tree(tree).fingerprint == mixed.fingerprint
    write_image(tree / "train" / cafe["NFD"] / "9.png", 9)
    with pytest.raises(InputError, match="has two folders that are called café: join them"):
        open_tree(tree)


def test_a_class_in_latin_1(tree: Path) -> None:
    """From an archive of an old Windows: read as what it was there."""
    for part in ("train", "val"):
        folder = os.fsencode(tree / part)
        os.rename(folder + b"/cat", folder + b"/gr\xfcn")
    source = open_tree(tree)
    assert source.class_names == ("dog", "eel", "grün")
    assert len(torch.cat(list(source.load()[1].read([torch.arange(6)])))) == 6
    assert open_tree(tree, classes=["grün", "dog"]).class_names == ("dog", "grün")


def run_made_before(tree: Path, outputs: Path) -> Path:
    """A finished run in the folder that it had when names and sizes were the identity."""
    words = [*TREE_WORDS, f"data.root={tree}", f"output_dir={outputs}"]
    found = make_plan(config(*words))
    arm = identify(found.config, found.source.earlier_fingerprint, found.identity.label).arm
    folder = outputs / "imagenet_subset" / arm / "seed0"
    folder.mkdir(parents=True)
    write_status(folder, "finished", "")
    return folder


TREE_WORDS = ["data=imagenet_subset", "model=resnet8", "data.image_size=8"]


def test_a_run_made_before_is_found(tree: Path, tmp_path: Path) -> None:
    """But not where a run knows the contents, nor where such a run saw other pixels."""
    words = [*TREE_WORDS, f"data.root={tree}", f"output_dir={tmp_path / 'out'}"]
    now = make_plan(config(*words)).folder.path
    before = run_made_before(tree, tmp_path / "out")
    assert before != now
    plan = make_plan(config(*words))
    assert plan.folder.path == before
    assert "by name and size alone" in plan.source.doubt(plan.source.earlier_fingerprint)
    assert make_plan(config(*words, "overwrite=true")).folder.path == now
    turned = Image.open(tree / "val" / "cat" / "v0.PNG")
    turned.getexif()[0x112] = 6
    turned.save(tree / "val" / "cat" / "v0.PNG", exif=turned.getexif())
    assert make_plan(config(*words)).folder.path not in (before, now)
    assert not make_plan(config(*words)).source.earlier_fingerprint


def test_of_two_runs_the_one_that_knows_the_contents(tree: Path, tmp_path: Path) -> None:
    words = [*TREE_WORDS, f"data.root={tree}", f"output_dir={tmp_path / 'out'}"]
    now = make_plan(config(*words)).folder.path
    run_made_before(tree, tmp_path / "out")
    now.mkdir(parents=True)
    assert make_plan(config(*words)).folder.path == now


def test_test_images_in_training_are_pointed_out(tree: Path) -> None:
    """As where val/ is a link to train/; the control is the tree itself."""
    assert not [note for note in open_tree(tree).notes if "training images too" in note]
    for name in ("v0.PNG", "v1.PNG"):
        copied = (tree / "train" / "cat" / "0.png").read_bytes()
        (tree / "val" / "dog" / name).write_bytes(copied)
    expected = "2 of 6 test images are training images too: senet-data check DIR"
    assert open_tree(tree).notes[-1] == expected


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_images_replaced_during_a_run(
    senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    """Its record would be of data that are no longer there. The control is a run left in peace."""
    draw_tree(tmp_path / "tree")
    line = [word for word in TINY if not word.startswith(("data=", "data.num"))]
    line += ["data=imagenet_subset", "data.root=tree", f"data.cache={cache}", "data.workers=0"]
    load = fit.load_splits if cache == "memory" else pl.Trainer.test

    def replaced_after(*arguments: Any, **options: Any) -> Any:
        loaded = load(*arguments, **options)
        write_image(tmp_path / "tree" / "train" / "cat" / "0.png", 200)
        return loaded

    where = (fit, "load_splits") if cache == "memory" else (pl.Trainer, "test")
    monkeypatch.setattr(*where, replaced_after)
    result = senet(*line)
    assert result.code == 1
    assert "the images have changed since the run was begun" in result.err
    assert not list(tmp_path.glob("outputs/*/*/*/result.json"))
    monkeypatch.setattr(*where, load)
    assert senet(*line).code == 0


def test_a_damaged_test_image_is_found_before_training(senet: Senet, tmp_path: Path) -> None:
    """It is streamed: without that it would end a run of days. Decoded once for all runs."""
    draw_tree(tmp_path / "tree")
    line = [word for word in TINY if not word.startswith(("data=", "data.num"))]
    line += ["data=imagenet_subset", "data.root=tree", "data.cache=stream", "data.workers=0"]
    write_image(tmp_path / "tree" / "val" / "eel" / "new.png", 77)  # no other test's data
    image = tmp_path / "tree" / "val" / "eel" / "3.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:-40])
    result = senet(*line)
    assert result.code == 1
    assert "val/eel/3.png cannot be read as an image" in result.err
    assert "epoch 1" not in result.err
    image.write_bytes(whole)
    result = senet(*line)
    assert (result.code, "decoding 28 test images, once" in result.err) == (0, True)
    result = senet(*line, "seed=1")
    assert (result.code, "decoding" in result.err) == (0, False)
