"""List a tree of class folders: `train/<class>/*`, and `val/<class>/*` or `test/<class>/*`.

What would make a training run fail later is refused here; `senet-data check` reports it instead.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from senet_train.errors import InputError

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TEST_FOLDERS = ("val", "test")


@dataclass(frozen=True)
class ClassFolders:
    """The files of one part of the tree: class -> sorted (name, bytes)."""

    folder: Path
    files: dict[str, list[tuple[str, int]]]


def find_parts(base: Path, asked: str) -> tuple[Path, Path]:
    """The training and the test folder below `base`; `asked` is its setting, such as `data.root`.

    Raises InputError.
    """
    tests = [base / name for name in TEST_FOLDERS if (base / name).is_dir()]
    if not (base / "train").is_dir() or not tests:
        raise InputError(
            f"{asked}={base} holds no train/<class>/ and val/<class>/ (or test/<class>/) "
            "folders: give the folder that does"
        )
    if len(tests) > 1:
        raise InputError(
            f"{asked}={base} has both val/ and test/: move one away; "
            "the one that stays is the test set (validation is split from train/)"
        )
    return base / "train", tests[0]


def list_part(folder: Path, wanted: list[str], excluded: frozenset[str]) -> ClassFolders:
    """The images of every (wanted) class folder, sorted, without the `excluded` paths.

    Raises InputError for hidden, missing or empty class folders.
    """
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    hidden = [name for name in found if name.startswith(".")]
    if hidden:
        raise InputError(f"{folder} has hidden class folders ({', '.join(hidden)}): remove them")
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise InputError(
            f"{folder} lacks the classes {', '.join(missing)}: add them, or change data.classes"
        )
    names = sorted(set(wanted)) if wanted else found
    files = {name: list_images(folder / name, excluded) for name in names}
    empty = [name for name, images in files.items() if not images]
    if empty or not files:
        what = f"class folders without an image ({', '.join(empty)})" if files else "no class"
        raise InputError(f"{folder} has {what}: images end in {' '.join(EXTENSIONS)}")
    return ClassFolders(folder, files)


def list_images(folder: Path, excluded: frozenset[str]) -> list[tuple[str, int]]:
    """(name, bytes) of the images in one class folder, sorted by name; hidden files left out."""
    images = []
    prefix = f"{folder.parent.name}/{folder.name}/"
    with os.scandir(folder) as entries:
        for entry in entries:
            broken = entry.is_symlink() and not os.path.exists(entry.path)
            if not broken and entry.is_dir():  # of a link to itself, is_dir raises
                raise InputError(f"{entry.path} is a folder: images lie in their class folder")
            if is_image_name(entry.name) and prefix + entry.name not in excluded:
                if broken or not entry.is_file():
                    raise InputError(f"{entry.path} is a broken link: mend or remove it")
                images.append((entry.name, entry.stat().st_size))
    return sorted(images)


def is_image_name(name: str) -> bool:
    """Whether a file of this name is listed as an image."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def refuse_mismatch(train: ClassFolders, test: ClassFolders) -> None:
    """Raises InputError unless both parts have the same classes."""
    for have, lack in ((train, test), (test, train)):
        missing = sorted(set(have.files) - set(lack.files))
        if missing:
            raise InputError(
                f"{have.folder} has classes that {lack.folder} lacks ({', '.join(missing)}): "
                "add or remove them, or name the shared ones in data.classes"
            )


def refuse_single(train: ClassFolders) -> None:
    """Raises InputError for a class of one image: training and validation each need one."""
    single = [name for name, images in train.files.items() if len(images) < 2]
    if single:
        raise InputError(
            f"{train.folder} has class folders with a single image ({', '.join(single)}): "
            "training and validation each need one"
        )


def excluded_from(list_file: str, parts: tuple[Path, Path]) -> frozenset[str]:
    """The paths in the list, none for `none`; `parts` are the tree's training and test folder.

    Raises InputError for a list that cannot be read or that names what is not in the tree.
    """
    if list_file == "none":
        return frozenset()
    paths = read_exclusions(Path(list_file).expanduser())
    for path in paths:
        if not is_listed_in(path, parts):
            raise InputError(
                f"data.exclude={list_file} names {path}, which is not in {parts[0].parent}: "
                "check that tree anew with senet-data check, or take the line out "
                "(a reason stands on a line of its own that begins with #)"
            )
    return frozenset(paths)


def read_exclusions(file: Path) -> list[str]:
    """The paths in a list. Raises InputError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"data.exclude={file} cannot be read ({error}): "
            "write it with senet-data check DIR --exclude FILE, or choose none"
        ) from error
    # Not splitlines: a file's name may hold the rarer line ends that it knows.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def exclusion_text(reasons: Iterable[tuple[str, str]]) -> str:
    """The list as text, from (path, reason) pairs."""
    head = "# Images to leave out of training and test: senet-train data.exclude=THIS_FILE\n"
    return head + "".join(f"# {reason}\n{path}\n" for path, reason in sorted(reasons))


def is_listed_in(path: str, parts: tuple[Path, Path]) -> bool:
    """Whether `<part>/<class>/<file>` exists, if only as a broken link."""
    part, *below = path.split("/")
    folders = {folder.name: folder for folder in parts}
    if part not in folders or len(below) != 2 or not set(below).isdisjoint(("", ".", "..")):
        return False
    return os.path.lexists(folders[part].joinpath(*below))
