"""senet-data check: every fault planted is found, nothing else is, and training obeys the list."""

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import odd_decoders
import pytest
from PIL import Image
from support import (
    DATA,
    Result,
    config,
    open_tree,
    png_that_claims,
    run_folders,
    wait_for,
    write_image,
)

from senet_train.commands import progress_bar
from senet_train.commands.data_check import decode, inspect_tree, survey
from senet_train.commands.data_check.cli import main
from senet_train.commands.data_check.decode_cache import NAME
from senet_train.commands.data_check.findings import KINDS
from senet_train.data.image_files import Unreadable, read_rgb
from senet_train.data.loaders import load_splits
from senet_train.errors import InputError
from senet_train.training.plan import make_plan

Check = Callable[..., Result]
NUM_IMAGES = 2 * (4 + 2)


def grow(folder: Path) -> Path:
    """cat and dog, 4 images each to train on and 2 to test on, nothing wrong with any."""
    for number, name in enumerate(("cat", "dog")):
        for i in range(4):
            write_image(folder / "train" / name / f"{i}.png", 10 * number + i)
        for i in range(2):
            write_image(folder / "val" / name / f"v{i}.png", 100 + 10 * number + i)
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return grow(tmp_path / "tree")


@pytest.fixture
def check_by_processes(
    tree: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """`check_by_processes("--fresh")` checks the tree, in an empty working folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*arguments: str) -> Result:
        code = main(["check", str(tree), *arguments])
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


@pytest.fixture
def check(check_by_processes: Check, monkeypatch: pytest.MonkeyPatch) -> Check:
    """The same, its files decoded by threads: a process takes 0.4 s to start."""
    monkeypatch.setattr(decode, "start_pool", ThreadPoolExecutor)
    return check_by_processes


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were given out to be decoded, since the list was emptied."""
    asked: list[str] = []

    def decode_all(paths: Sequence[str], num_jobs: int):
        asked.extend(Path(path).name for path in paths)
        return decode.decode_all(paths, num_jobs)

    monkeypatch.setattr(inspect_tree, "decode_all", decode_all)
    return asked


def found(report: str = "report.csv") -> set[tuple[str, str, str]]:
    """(kind, remedy, path) of every row."""
    with open(report, newline="") as file:
        return {(row["kind"], row["remedy"], row["path"]) for row in csv.DictReader(file)}


def unusual(folder: Path) -> None:
    """Pictures that can be decoded and are not as most are, each in one way."""
    random = np.random.default_rng(7)
    deep = random.integers(0, 4096, (10, 12), dtype=np.uint16)
    colours = random.integers(0, 256, (6, 10, 12, 3), dtype=np.uint8)
    Image.fromarray(deep).save(folder / "deep.png")
    rows = [b"\0" + random.bytes(10 * 6) for _ in range(10)]  # 0: not filtered
    (folder / "colour.png").write_bytes(png_that_claims(10, bits=16, data=b"".join(rows)))
    Image.fromarray(colours[0] // 16).save(folder / "grey8.png")
    clear = Image.fromarray(colours[1])
    clear.putalpha(Image.new("L", clear.size, 100))
    clear.save(folder / "clear.png")
    turned = Image.fromarray(colours[2])
    turned.getexif()[0x112] = 6
    turned.save(folder / "turned.jpg", exif=turned.getexif())
    Image.fromarray(colours[3]).save(folder / "wide.jpg", icc_profile=b"a profile of a wide gamut")
    frames = [Image.fromarray(frame).convert("P") for frame in colours[4:]]
    frames[0].save(folder / "moves.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(random.integers(0, 256, (4, 20, 3), dtype=np.uint8)).save(folder / "long.bmp")
    write_image(folder / "latin.png", 71)
    os.rename(folder / "latin.png", os.fsencode(folder) + b"/stra\xdfe.png")
    for form in ("NFC", "NFD"):  # as Linux and as a Mac write it
        name = unicodedata.normalize(form, "caf\xe9")
        for number in range(2):
            write_image(folder.parent / name / f"{form}{number}.png", ord(form[2]) * 100 + number)


def spoil(tree: Path) -> set[tuple[str, str, str]]:
    """Plant every fault that files alone can have; what a check has to find, no more."""
    cat, dog, tested = tree / "train" / "cat", tree / "train" / "dog", tree / "val"
    whole = (cat / "0.png").read_bytes()
    (cat / "cut.png").write_bytes(whole[: len(whole) // 2])
    (cat / "page.jpg").write_text("<html>404</html>")
    (tested / "dog" / "none.png").touch()
    (cat / "bomb.png").write_bytes(png_that_claims(60_000))
    (cat / "leak.png").write_bytes((tested / "cat" / "v0.png").read_bytes())
    Image.open(tested / "dog" / "v1.png").save(cat / "other.bmp")  # same pixels, other bytes
    (dog / "copy.png").write_bytes((dog / "1.png").read_bytes())
    (dog / "both.png").write_bytes((cat / "2.png").read_bytes())
    (tested / "cat" / "w0.png").write_bytes((tested / "cat" / "v1.png").read_bytes())
    for side in (4, 9):  # the same bytes of pixels in another shape are no copy
        Image.new("RGB", (side, 36 // side)).save(dog / f"black{side}.png")
    (cat / "gone.png").symlink_to("nowhere.png")
    (cat / "self.png").symlink_to("self.png")
    os.mkfifo(cat / "pipe.png")
    (cat / ".hidden.png").write_bytes(b"resource fork")
    (cat / "notes.txt").write_text("no image")
    (tree / "train" / "list.txt").write_text("no class")
    (cat / "up").symlink_to("..")
    (dog / "deeper").mkdir()
    (tree / "train" / "loop").symlink_to("..")
    (tree / "train" / ".ipynb_checkpoints").mkdir()
    write_image(tree / "train" / "Fox" / "0.png", 50)
    write_image(tree / "train" / "Fox" / "1.png", 51)
    write_image(tree / "val" / "fox" / "0.png", 52)
    (tree / "val" / "emu").mkdir()
    (dog / "esc\x1b[31m.png").write_bytes(whole)
    # PostScript: Pillow would have another program draw it.
    (dog / "print.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    Image.open(cat / "1.png").convert("L").save(dog / "grey.png")
    Image.open(cat / "3.png").rotate(180).convert("CMYK").save(dog / "print.tif")
    Image.open(cat / "3.png").convert("F").save(dog / "float.tif")
    unusual(dog)
    return {
        ("not RGB", "note", "train/dog/deep.png"),
        ("deep", "note", "train/dog/deep.png"),
        ("16-bit colour", "note", "train/dog/colour.png"),
        ("narrow range", "note", "train/dog/grey8.png"),
        ("not RGB", "note", "train/dog/clear.png"),
        ("transparent", "note", "train/dog/clear.png"),
        ("turned", "note", "train/dog/turned.jpg"),
        ("colour profile", "note", "train/dog/wide.jpg"),
        ("not RGB", "note", "train/dog/moves.gif"),
        ("several pictures", "note", "train/dog/moves.gif"),
        ("elongated", "note", "train/dog/long.bmp"),
        ("name not UTF-8", "note", "train/dog/stra\xdfe.png"),
        ("one name twice", "mend", "train/caf\xe9"),
        ("class in one part only", "mend", "train/caf\xe9"),
        ("elongated", "note", "train/dog/black4.png"),
        ("elongated", "note", "train/dog/black9.png"),
        ("narrow range", "note", "train/dog/black4.png"),
        ("narrow range", "note", "train/dog/black9.png"),
        ("truncated", "exclude", "train/cat/cut.png"),
        ("unreadable", "exclude", "train/cat/page.jpg"),
        ("unreadable", "exclude", "train/dog/float.tif"),
        ("unreadable", "exclude", "train/dog/print.png"),
        ("zero bytes", "exclude", "val/dog/none.png"),
        ("too many pixels", "exclude", "train/cat/bomb.png"),
        ("leak", "exclude", "train/cat/leak.png"),
        ("leak", "exclude", "train/cat/other.bmp"),
        ("duplicate in training", "exclude", "train/dog/copy.png"),
        ("two classes", "mend", "train/dog/both.png"),
        ("two classes", "mend", "train/cat/2.png"),
        ("duplicate in test", "note", "val/cat/w0.png"),
        ("broken link", "exclude", "train/cat/gone.png"),
        ("symlink loop", "exclude", "train/cat/self.png"),
        ("no regular file", "exclude", "train/cat/pipe.png"),
        ("hidden file", "note", "train/cat/.hidden.png"),
        ("no image ending", "note", "train/cat/notes.txt"),
        ("beside the classes", "note", "train/list.txt"),
        ("folder loop", "mend", "train/cat/up"),
        ("folder in a class", "mend", "train/dog/deeper"),
        ("folder loop", "mend", "train/loop"),
        ("hidden folder", "note", "train/.ipynb_checkpoints"),
        ("class in one part only", "mend", "train/Fox"),
        ("class in one part only", "mend", "val/fox"),
        ("class in one part only", "mend", "val/emu"),
        ("too few images", "mend", "val/emu"),
        ("odd name", "mend", "train/dog/esc\\x1b[31m.png"),
        ("not RGB", "note", "train/dog/grey.png"),
        ("not RGB", "note", "train/dog/print.tif"),
    }


def test_one_class(check: Check, tree: Path) -> None:
    for part in ("train", "val"):
        shutil.rmtree(tree / part / "dog")
    assert "one class: 1 to be mended" in check().out


def test_a_clean_tree(check: Check, tree: Path) -> None:
    before = sorted(tree.rglob("*"))
    result = check("--out", "report.csv", "--exclude", "exclude.txt")
    assert (result.code, result.err) == (0, "")
    assert "8 in train/ and 4 in val/, 2 classes; 12 images decoded, 0 known" in result.out
    assert "nothing odd" in result.out
    assert found() == set()
    assert Path("exclude.txt").read_text().count("\n") == 1
    assert sorted(tree.rglob("*")) == sorted([*before, tree / NAME])


def test_every_fault(check_by_processes: Check, tree: Path) -> None:
    planted = spoil(tree)
    assert {kind for kind, _, _ in planted} == set(KINDS) - {
        "not opened",
        "ends its decoder",
        "one class",
        "names alike",
    }
    files = ("--out", "report.csv", "--exclude", "exclude.txt")
    result = check_by_processes(*files, "--jobs", "2")
    assert (result.code, result.err) == (1, "")
    assert found() == planted
    lines = Path("exclude.txt").read_text().splitlines()
    listed = {line for line in lines if not line.startswith("#")}
    assert listed == {path for _, remedy, path in planted if remedy == "exclude"}
    assert lines[lines.index("train/cat/leak.png") - 1] == "# leak: same pixels as val/cat/v0.png"
    other = "same pixels as val/dog/v1.png, of another class"
    assert f"train/cat/other.bmp ({other})" in result.out
    assert "train/Fox (not in val/, but fox)" in result.out
    assert "train/dog/grey.png (L)" in result.out
    assert "truncated: 1 excluded" in result.out
    assert "\x1b" not in result.out  # a name is not obeyed
    assert r"esc\x1b[31m.png" in result.out


def test_class_names_that_are_alike(check: Check, tree: Path) -> None:
    """A space at the end of a name made two classes of one."""
    for part in ("train", "val"):
        shutil.copytree(tree / part / "cat", tree / part / "Cat ")
    result = check()
    assert result.code == 1
    assert "names alike: 2 to be mended" in result.out
    notes = open_tree(tree).notes
    assert 'the classes "Cat ", "cat" differ in case or in spaces alone' in notes


def test_any_number_of_jobs(check_by_processes: Check, tree: Path) -> None:
    spoil(tree)
    check = check_by_processes
    one, two = (check("--fresh", "--jobs", jobs, "--out", f"{jobs}.csv") for jobs in "12")
    assert one.out.replace("1.csv", "2.csv") == two.out
    assert Path("1.csv").read_bytes() == Path("2.csv").read_bytes()


def test_only_what_changed_is_decoded(check: Check, tree: Path, decoded: list[str]) -> None:
    spoil(tree)
    first = check("--out", "report.csv")
    planted, num_files = found(), len(decoded)
    assert num_files > NUM_IMAGES
    decoded.clear()
    second = check("--out", "report.csv")
    assert (decoded, found(), second.code) == ([], planted, 1)
    assert f"0 images decoded, {num_files} known" in second.out
    assert first.out.splitlines()[1:] == second.out.splitlines()[1:]
    write_image(tree / "train" / "dog" / "3.png", 999)
    os.utime(tree / "val" / "cat" / "v0.png", ns=(1, 1))
    (tree / "train" / "cat" / "1.png").rename(tree / "train" / "cat" / "moved.png")
    check()
    assert sorted(decoded) == ["3.png", "moved.png", "v0.png"]


def test_what_is_known_is_not_read(check: Check, tree: Path) -> None:
    """Size and mtime are all that is looked at: zeros in their place pass, until --fresh."""
    check()
    file = tree / "train" / "cat" / "0.png"
    status = file.stat()
    file.write_bytes(bytes(status.st_size))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert check().code == 0
    result = check("--fresh")
    assert result.code == 1
    assert "unreadable: 1 excluded" in result.out


@pytest.mark.parametrize("change", ["cut", "text", "pillow", "rows", "folder", "stranger", "kind"])
def test_a_cache_that_is_no_use(check: Check, tree: Path, decoded: list[str], change: str) -> None:
    check()
    decoded.clear()
    cache = tree / NAME
    content = json.loads(cache.read_text())
    if change == "cut":
        cache.write_bytes(cache.read_bytes()[:300])
    elif change == "text":
        cache.write_text("[]")
    elif change == "folder":
        cache.unlink()
        cache.mkdir()
    elif change in ("stranger", "kind"):  # a line break would write a path into a list
        detail, fault = ("x\ntrain/cat/1.png", "truncated") if change == "stranger" else ("", "odd")
        content["files"][0][3:5] = [fault, detail]
        cache.write_text(json.dumps(content))
    else:
        content |= {"pillow": "1.0"} if change == "pillow" else {"files": [["train/cat/0.png", 1]]}
        cache.write_text(json.dumps(content))
    result = check()
    assert (result.code, len(decoded)) == (0, NUM_IMAGES)
    assert ("the next check decodes all again" in result.err) == (change == "folder")


def test_the_cache_elsewhere(check: Check, tree: Path, decoded: list[str]) -> None:
    check("--cache", "known.json")
    assert not (tree / NAME).exists()
    check("--cache", "known.json")
    assert len(decoded) == NUM_IMAGES


def test_a_file_that_ends_its_decoder(
    check_by_processes: Check, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, its neighbours are decoded, and it is tried again the next time."""
    monkeypatch.setattr(decode, "decode_each", odd_decoders.deadly)
    write_image(tree / "train" / "cat" / "deadly.png", 77)
    result = check_by_processes("--out", "report.csv", "--exclude", "exclude.txt")
    assert found() == {("ends its decoder", "exclude", "train/cat/deadly.png")}
    assert f"{NUM_IMAGES + 1} images decoded" in result.out
    monkeypatch.undo()
    assert main(["check", str(tree)]) == 0


def test_a_file_that_is_not_given(check: Check, tree: Path, monkeypatch) -> None:
    """It may be whole: a person looks, no list takes it, and the next check tries again."""
    file, aside = tree / "train/cat/0.png", tree / "aside"

    def survey_then_lose(parts: tuple[Path, Path]) -> survey.Survey:
        seen = survey.survey(parts)
        file.rename(aside)
        return seen

    monkeypatch.setattr(inspect_tree, "survey", survey_then_lose)
    assert check("--out", "report.csv", "--exclude", "exclude.txt").code == 1
    assert found() == {("not opened", "mend", "train/cat/0.png")}
    assert "0.png" not in Path("exclude.txt").read_text()
    aside.rename(file)
    monkeypatch.undo()
    assert main(["check", str(tree)]) == 0


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_check_leaves_no_process(tree: Path, by: signal.Signals) -> None:
    code = (
        "import sys, odd_decoders; from senet_train.commands.data_check import cli, decode\n"
        "if __name__ == '__main__':\n"
        "    decode.CHUNK, decode.decode_each = 2, odd_decoders.slow\n"
        "    sys.exit(cli.main(['check', sys.argv[1], '--jobs', '2']))"
    )
    begun = tree / "begun"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tree)],
        env={**os.environ, "PYTHONPATH": path, "BEGUN": str(begun)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(lambda: begun.exists() and len(children(process.pid)) >= 2)
        workers = children(process.pid)
        process.send_signal(by)
        _, err = process.communicate(timeout=30)
        wait_for(lambda: not any(alive(worker) for worker in workers))
    assert process.returncode == (-by if by == signal.SIGKILL else 128 + by)
    assert "Traceback" not in err
    if by != signal.SIGKILL:
        assert err == f"stopped by {by.name}: what was decoded is kept\n"
        assert (tree / NAME).exists()


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    with suppress(OSError):
        return [int(i) for i in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def alive(pid: int) -> bool:
    """Whether there is such a process, and no zombie."""
    with suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def test_a_bar_or_lines(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "LINE_EVERY_SECONDS", -1)
    assert check("--fresh").err.splitlines()[-1] == "decoded 12 of 12 images"
    monkeypatch.setenv("FORCE_COLOR", "1")
    err = check("--fresh").err
    assert "12/12" in err
    assert "of 12 images" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "/nowhere"], "PATH=/nowhere does not exist"),
        (["check"], "the following arguments are required: PATH: see senet-data check --help"),
        (["chek", "."], "invalid choice: 'chek'"),
        ([], "required: check|show: see senet-data --help"),
        (["check", "TREE", "--jobs", "0"], "0 is no count: choose 1 or more"),
        (["check", "TREE", "--jobs", "two"], "two is no count"),
        (["check", "TREE", "--out", "no/report.csv"], "--out no/report.csv cannot be written"),
        (["check", "TREE", "--exclude", "TREE"], "cannot be written: name a file"),
        (["check", "TREE", "--bogus"], "unrecognized arguments: --bogus"),
    ],
)
def test_bad_input(check: Check, tree: Path, capsys, arguments: list[str], message: str) -> None:
    code = main([str(tree) if word == "TREE" else word for word in arguments])
    printed = capsys.readouterr()
    assert (code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert message in printed.err
    assert not (tree / NAME).exists()
    assert list(Path.cwd().iterdir()) == []


def test_another_list_is_not_overwritten(check: Check, tree: Path) -> None:
    (tree / "train" / "cat" / "bad.png").write_text("no image")
    assert check("--exclude", "exclude.txt").code == 1
    before = Path("exclude.txt").read_bytes()
    assert check("--exclude", "exclude.txt").code == 1  # the same list again
    with open("exclude.txt", "a") as file:
        file.write("train/cat/0.png\n")
    result = check("--exclude", "exclude.txt")
    assert result.code == 2
    assert "exists and holds something else" in result.err
    assert Path("exclude.txt").read_bytes() == before + b"train/cat/0.png\n"
    Path("exclude.txt").unlink()
    check("--exclude", "exclude.txt")
    assert Path("exclude.txt").read_bytes() == before


@pytest.mark.parametrize("option", ["exclude", "out", "cache"])
def test_nobody_elses_file_is_overwritten(check: Check, tree: Path, option: str) -> None:
    Path("mine").write_text("a thesis")
    result = check(f"--{option}", "mine")
    assert (result.code, result.out) == (2, "")
    assert "mine exists and holds something else: name another file" in result.err
    assert Path("mine").read_text() == "a thesis"
    for _ in range(2):  # our own may be
        assert check(f"--{option}", "ours").code == 0


def test_it_imports_no_torch() -> None:
    code = (
        "import sys; from senet_train.commands.data_check import cli as c, inspect_tree, report; "
        "c.main(['--help']); c.main(['check', '--help']); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("usage: ")) == (0, 2)


# What the list does to training.


def ids_read(tree: Path, exclude: str) -> set[str]:
    """The images of training, validation and test, all of them decoded."""
    splits = load_splits(open_tree(tree, exclude=exclude), DATA)
    return {i for part in (splits.train, splits.validation, splits.test) for i in part.ids}


def test_training_leaves_out_what_is_listed(check: Check, tree: Path) -> None:
    """By counting: of what is read for training, validation and test, exactly those are gone."""
    clean = ids_read(tree, "none")
    (tree / "train/cat/leak.png").write_bytes((tree / "val/cat/v0.png").read_bytes())
    assert ids_read(tree, "none") == clean | {"train/cat/leak.png"}
    (tree / "train/dog/self.png").symlink_to("self.png")
    (tree / "val/dog/cut.png").write_bytes((tree / "val/dog/v0.png").read_bytes()[:99])
    with pytest.raises(InputError, match=r"self\.png is a broken link"):
        ids_read(tree, "none")
    check("--exclude", "exclude.txt")
    assert len(clean) == NUM_IMAGES
    assert ids_read(tree, "exclude.txt") == clean


def test_a_whole_run_with_a_list(senet, check: Check, tree: Path) -> None:
    """What stops a run without the list is gone with it."""
    (tree / "val/dog/cut.png").write_bytes((tree / "val/dog/v0.png").read_bytes()[:99])
    check("--exclude", "exclude.txt")
    arguments = [
        *("data=imagenet_subset", f"data.root={tree}", "data.image_size=8", "data.batch_size=4"),
        *("data.workers=0", "model=resnet8", "trainer.max_epochs=1", "trainer.precision=32"),
    ]
    failed = senet(*arguments, "output_dir=without")
    assert failed.code == 1
    assert "cut.png cannot be read as an image" in failed.err
    here = Path.cwd()
    assert senet(*arguments, f"data.exclude={tree.parent / 'work' / 'exclude.txt'}").code == 0
    [folder] = run_folders(here)
    assert len(np.load(folder / "predictions.npz")["image_id"]) == 4


def fingerprint_before(tree: Path) -> str:
    """The fingerprint as it was before contents were read: part, class, file, size a line."""
    files = [
        (number, file.relative_to(tree / part), file.stat().st_size)
        for number, part in enumerate(("train", "val"))
        for file in sorted((tree / part).rglob("*.png"))
    ]
    lines = "".join(f"{number}/{path}/{size}\n" for number, path, size in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def test_the_list_is_in_the_identity(tree: Path, tmp_path: Path) -> None:
    """By the images that it leaves: not by its place, its order or its reasons."""
    assert open_tree(tree).earlier_fingerprint == fingerprint_before(tree)
    lists = {
        "first": "# leak\ntrain/cat/0.png\ntrain/dog/1.png\n",
        "deeper/second": "\ntrain/dog/1.png\r\ntrain/cat/0.png",
        "other": "train/cat/0.png\n",
        "empty": "# nothing\n",
    }
    arms = {}
    for name, text in lists.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
        arms[name] = arm_of(tree, tmp_path / name)
    arms["none"] = arm_of(tree, "none")
    assert arms["first"] == arms["deeper/second"]
    assert arms["empty"] == arms["none"]
    assert len(set(arms.values())) == 3
    (tree / "train/cat/0.png").unlink()  # the same images as with `other`: the same data
    assert arm_of(tree, "none") == arms["other"]


def arm_of(tree: Path, exclude: Path | str) -> str:
    where = (f"data.root={tree}", f"data.exclude={exclude}")
    arguments = ("data=imagenet_subset", "model=resnet8", "data.image_size=8", *where)
    return make_plan(config(*arguments)).identity.sha256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train/cat/99.png", "names train/cat/99.png, which is not in"),
        ("train/cat/0.png  # leak", "a reason stands on a line of its own"),
        ("../tree/train/cat/0.png", "names ../tree/train/cat/0.png, which is not in"),
        ("train/dog/../cat", "names train/dog/../cat, which is not in"),
        ("train/cat", "names train/cat, which is not in"),
        ("\udcff", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_list_that_is_refused(senet, tree: Path, tmp_path: Path, text, message: str) -> None:
    if text is not None:
        (tmp_path / "exclude.txt").write_bytes(text.encode(errors="surrogateescape"))
    result = senet("data=imagenet_subset", f"data.root={tree}", "data.exclude=exclude.txt")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert result.err.startswith("error: data.exclude=exclude.txt ")
    assert message in result.err
    assert not (tmp_path / "outputs").exists()


def test_chosen_classes_with_a_list_of_all(tree: Path, tmp_path: Path) -> None:
    """A list of the whole tree serves every choice of classes."""
    write_image(tree / "train/eel/0.png", 60)
    write_image(tree / "val/eel/0.png", 61)
    (tmp_path / "list").write_text("train/eel/0.png\ntrain/cat/0.png\n")
    source = open_tree(tree, classes=["cat", "dog"], exclude=str(tmp_path / "list"))
    assert len(source.load()[0].labels) == 7


@pytest.mark.parametrize("ending", ["png", "jpeg", "bmp", "ppm", "tiff", "webp"])
def test_no_content_is_a_surprise(tmp_path: Path, ending: str) -> None:
    """Cut anywhere, or with bytes changed: a picture or Unreadable, never another exception."""
    rng = np.random.default_rng(0)
    whole = io.BytesIO()
    noise = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(whole, format=ending)
    content = np.frombuffer(whole.getvalue(), dtype=np.uint8)
    file, kinds = tmp_path / f"x.{ending}", set()
    for _ in range(60):
        odd = content[: rng.integers(1, len(content))].copy()
        if rng.random() < 0.5:
            odd = content.copy()
            odd[rng.integers(0, min(60, len(odd)), 3)] = rng.integers(0, 256, 3)
        file.write_bytes(odd.tobytes())
        try:
            read_rgb(str(file))
        except Unreadable as error:
            kinds.add(error.kind)
    assert kinds
    assert kinds <= {"truncated", "unreadable", "too many pixels"}
