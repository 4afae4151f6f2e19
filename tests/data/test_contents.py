"""The contents of files decide what data they are; what is known of them is not read again."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import config, open_tree, write_image

from senet_train.data import contents
from senet_train.data.contents import bit_depth_of, cache_file, contents_of
from senet_train.errors import InputError
from senet_train.system.files import cache_folder
from senet_train.training.plan import make_plan


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may change the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(contents, "cache_folder", cache_folder)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """cat and dog; 4 training and 2 test images each."""
    for number, name in enumerate(("cat", "dog")):
        for part, count in (("train", 4), ("val", 2)):
            for i in range(count):
                write_image(tmp_path / "tree" / part / name / f"{i}.png", 100 * number + i)
    return tmp_path / "tree"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that were read, since the list was emptied."""
    asked: list[str] = []
    own = contents.read_content

    def read_content(base: Path, path: str):
        asked.append(path)
        return own(base, path)

    monkeypatch.setattr(contents, "read_content", read_content)
    return asked


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are kept at once, as if they were older than two seconds."""
    monkeypatch.setattr(contents, "SETTLED_NS", -(10**12))


def swap_contents(first: Path, second: Path) -> None:
    """In place: names, sizes and times of modification stay where they are."""
    before = {file: (file.read_bytes(), file.stat()) for file in (first, second)}
    for file, other in ((first, second), (second, first)):
        file.write_bytes(before[other][0].ljust(before[file][1].st_size, b"\0"))
        os.utime(file, ns=(before[file][1].st_atime_ns, before[file][1].st_mtime_ns))


def test_an_edit_in_place_is_other_data(tree: Path, settled: None) -> None:
    """Names, sizes and times alone, which is what was looked at before, see nothing."""
    cat, dog = tree / "train" / "cat" / "0.png", tree / "train" / "dog" / "0.png"
    size = max(file.stat().st_size for file in (cat, dog))
    for file in (cat, dog):
        file.write_bytes(file.read_bytes().ljust(size, b"\0"))
    padded = open_tree(tree)
    swap_contents(cat, dog)
    after = open_tree(tree)
    assert padded.earlier_fingerprint == after.earlier_fingerprint
    assert padded.fingerprint != after.fingerprint
    swap_contents(cat, dog)
    assert open_tree(tree).fingerprint == padded.fingerprint


def test_what_is_known_is_not_read(tree: Path, read: list[str], settled: None) -> None:
    first = open_tree(tree).fingerprint
    assert len(read) == 12
    read.clear()
    assert open_tree(tree).fingerprint == first
    assert read == []
    write_image(tree / "train" / "cat" / "1.png", 77)
    (tree / "val" / "dog" / "0.png").rename(tree / "val" / "dog" / "9.png")
    os.chmod(tree / "train" / "dog" / "2.png", 0o600)  # its time of change is another
    open_tree(tree)
    assert sorted(read) == ["train/cat/1.png", "train/dog/2.png", "val/dog/9.png"]


def test_a_file_that_has_just_changed_is_not_kept(tree: Path, read: list[str]) -> None:
    open_tree(tree)
    read.clear()
    open_tree(tree)
    assert len(read) == 12


@pytest.mark.parametrize("change", ["cut", "version", "rows", "text", "folder"])
def test_a_cache_that_is_no_use(tree: Path, read: list[str], settled: None, change: str) -> None:
    first = open_tree(tree).fingerprint
    cache = cache_file(tree)
    content = json.loads(cache.read_text())
    read.clear()
    if change == "cut":
        cache.write_bytes(cache.read_bytes()[:100])
    elif change == "version":
        cache.write_text(json.dumps(content | {"made_by": [1, "1.0"]}))
    elif change == "rows":
        cache.write_text(json.dumps(content | {"files": {"train/cat/0.png": [1]}}))
    elif change == "text":
        cache.write_text("[]")
    else:
        cache.unlink()
        cache.mkdir()
    assert open_tree(tree).fingerprint == first
    assert len(read) == 12


def test_without_a_safe_place_nothing_is_kept(
    tree: Path, read: list[str], settled: None, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_tree(tree).fingerprint
    cache_file(tree).parent.chmod(0o777)
    read.clear()
    assert open_tree(tree).fingerprint == first
    assert len(read) == 12
    assert "can be written by others: the next run reads the files" in caplog.text


def test_names_of_any_bytes(tree: Path, read: list[str], settled: None) -> None:
    folder = os.fsencode(tree) + b"/train/cat/"
    os.rename(folder + b"0.png", folder + b"\xdf.png")
    first = open_tree(tree)
    assert "train/cat/ß.png" in first.load()[0].ids
    read.clear()
    assert open_tree(tree).fingerprint == first.fingerprint
    assert read == []


def test_a_file_that_is_gone(tree: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png cannot be read: No such file"):
        contents_of(tree, ["gone.png"])


@pytest.mark.parametrize("bits", range(8, 17))
def test_the_bits_in_use_are_found(tree: Path, bits: int) -> None:
    """Of all pictures together, not of each: the darker ones stay darker."""
    for number, file in enumerate(sorted(tree.rglob("*.png"))):
        values = np.full((9, 9), 2**bits - 1 if number == 5 else 40, np.uint16)
        Image.fromarray(values).save(file)
    source = open_tree(tree)
    assert source.bit_depth == bits
    pool, _ = source.load()
    brightest = {int(pixels.max()) for pixels in pool.read([*np.arange(8)[:, None]])}
    assert brightest == {255, 40 >> (bits - 8)}


def test_fewer_than_8_bits_stay_dark(tree: Path) -> None:
    for file in tree.rglob("*.png"):
        Image.fromarray(np.full((9, 9), 3, np.uint16)).save(file)
    assert open_tree(tree).bit_depth == 8


def test_bits_are_in_the_identity(tree: Path) -> None:
    """But where there are no deep pictures, and where all bits are used, as before."""

    def arm(*changes: str) -> str:
        words = ("data=imagenet_subset", f"data.root={tree}", "model=resnet8", "data.image_size=8")
        return make_plan(config(*words, *changes)).identity.sha256

    assert arm() == arm("data.bit_depth=16") != arm("data.bit_depth=12")
    assert bit_depth_of([]) == 16
    assert len({arm(), arm("data.fit=pad"), arm("data.fit=resize")}) == 3
