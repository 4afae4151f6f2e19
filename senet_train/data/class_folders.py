"""List a tree of class folders: which folder holds which part, and the image files of each class.

What would make a training run fail later is refused here; `senet-data check` reports it instead.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from senet_train.data.image_files import EXTENSIONS
from senet_train.errors import InputError, listed
from senet_train.system.listing import entries_of, folders_in

Part = Literal["train", "validation", "test"]
# What the folder of a part may be called, in any case.
PART_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
# What NAS boxes, archivers and systems leave behind; hidden folders are left out too.
FOREIGN_FOLDERS = (
    *("#recycle", "$recycle.bin", "@eadir", "__macosx", "__pycache__", "lost+found"),
    "system volume information",
)
FOREIGN_FILES = ("desktop.ini", "ehthumbs.db", "icon\r", "thumbs.db")


class ImageEntry(NamedTuple):
    """An image file: its path below the tree, as the system spells it, and its size in bytes."""

    path: str
    num_bytes: int

    @property
    def name(self) -> str:
        """The path as text, the same on every machine."""
        return readable(self.path)


@dataclass(frozen=True)
class ClassFolders:
    """One part of the tree: class -> images sorted by name; endings that were left out, counted."""

    folder: Path
    files: dict[str, list[ImageEntry]]
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Layout:
    """The folder of each part below `base`; a part without one is split off from training."""

    base: Path
    folders: dict[Part, Path]

    @property
    def train(self) -> Path:
        """The folder of the training images."""
        return self.folders["train"]

    @property
    def sentence(self) -> str:
        """Which images are for what."""
        names = {part: f"{folder.name}/" for part, folder in self.folders.items()}
        if "validation" in names:
            return f"{names['validation']} is the validation set and {names['test']} the test set"
        if "test" in names:
            return f"{names['test']} is the test set, and validation is split from {names['train']}"
        return f"validation and test are split from {names['train']}"


def find_layout(base: Path, asked: str) -> Layout:
    """The parts of the tree `base`; `asked` is its setting, such as `data.root`.

    A validation folder without a test folder is the test set, as ImageNet's. Raises InputError.
    """
    if not base.is_dir():
        what = "is no folder" if base.exists() else "does not exist"
        raise InputError(f"{asked}={base} {what}: give the folder that holds the images")
    folders = part_folders(base, asked)
    if "train" not in folders or is_class_folder(folders["train"]):
        return one_folder(base, asked)
    if "validation" in folders and "test" not in folders:
        folders["test"] = folders.pop("validation")
    return Layout(base, folders)


def part_folders(base: Path, asked: str) -> dict[Part, Path]:
    """The folders that are called as a part is. Raises InputError for two of one part."""
    folders: dict[Part, Path] = {}
    names = [path.name for path in folders_in(base)]
    for part, known in PART_NAMES.items():
        found = [name for name in names if name.lower() in known]
        if len(found) > 1:
            raise InputError(f"{asked}={base} has both {found[0]}/ and {found[1]}/: move one away")
        if found:
            folders[part] = base / found[0]
    return folders


def one_folder(base: Path, asked: str) -> Layout:
    """The layout of a tree without parts, `base/<class>/*`. Raises InputError for any other."""
    known = [name for names in PART_NAMES.values() for name in names]
    subfolders = folders_in(base)
    classes = [path for path in subfolders if is_class_folder(path)]
    if len(classes) > 1 and any(path.name.lower() not in known for path in classes):
        return Layout(base, {"train": base})
    if classes:
        raise InputError(
            f"{classes[0]} holds images and no class folders: sort them into a folder for each "
            f"class, such as {classes[0]}/cat/ and {classes[0]}/dog/"
        )
    inside = [path for path in subfolders if "train" in part_folders(path, asked)]
    seen = [f"{path.name}/" for path in subfolders if not is_foreign(path.name)]
    holds = f", but {listed(seen)} with folders in them" if seen else ""
    way_out = "give the folder that does"
    if seen:
        way_out = (
            "call those of training, validation and test images train/, val/ and test/, or put all "
            "images of a class into one folder"
        )
    hint = f": {asked}={inside[0]} does" if inside else f"{holds}: {way_out}"
    raise InputError(f"{asked}={base} holds no train/<class>/ and no <class>/ folders{hint}")


def is_class_folder(folder: Path) -> bool:
    """Whether there are images in it, and no folders but hidden and foreign ones."""
    has_images = False
    for entry in entries_of(folder):
        if entry.is_dir() and not is_foreign(entry.name):
            return False
        has_images = has_images or is_image_name(entry.name)
    return has_images


def list_part(
    layout: Layout, part: Part, wanted: list[str], excluded: frozenset[str]
) -> ClassFolders:
    """The images of every (wanted) class folder of a part, sorted, without the `excluded` names.

    Raises InputError for missing, empty or confusable class folders.
    """
    folder = layout.folders[part]
    found = class_folders(folder)
    wanted = [composed(name) for name in wanted]
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise InputError(
            f"{folder} lacks the classes {listed(missing)}: add them, or change data.classes"
        )
    left_out: Counter[str] = Counter()
    files = {
        name: list_images(layout.base, found[name], excluded, left_out)
        for name in sorted(set(wanted) or found)
    }
    empty = [name for name, images in files.items() if not images]
    if not files and any(is_image_name(path.name) for path in folder.iterdir()):
        raise InputError(
            f"{folder} holds images and no class folders, so that nothing says what they show: "
            f"move it away and ask senet-predict, or sort them into {folder}/<class>/"
        )
    if empty or not files:
        what = f"class folders without an image ({listed(empty)})" if files else "no class"
        raise InputError(f"{folder} has {what}: images end in {' '.join(EXTENSIONS)}")
    return ClassFolders(folder, files, left_out)


def class_folders(folder: Path) -> dict[str, Path]:
    """Class name -> its folder, without hidden and foreign ones.

    Raises InputError for two folders whose names are the same text.
    """
    found: dict[str, Path] = {}
    for path in folders_in(folder):
        if is_foreign(path.name):
            continue
        name = readable(path.name)
        if name in found:
            raise InputError(f"{folder} has two folders that are called {name}: join them")
        found[name] = path
    return found


def list_images(
    base: Path, folder: Path, excluded: frozenset[str], left_out: Counter[str]
) -> list[ImageEntry]:
    """The images in one class folder, sorted by name; what is left out is added to `left_out`.

    Raises InputError for a folder in it, and for a broken link.
    """
    images = []
    prefix = folder.relative_to(base)
    for entry in entries_of(folder):
        if is_foreign(entry.name) or entry.name.lower() in FOREIGN_FILES:
            continue
        broken = entry.is_symlink() and not os.path.exists(entry.path)
        if not broken and entry.is_dir():  # of a link to itself, is_dir raises
            raise InputError(f"{entry.path} is a folder: images lie in their class folder")
        path = (prefix / entry.name).as_posix()
        if not is_image_name(entry.name):
            left_out[ending(entry.name)] += 1
        elif readable(path) not in excluded:
            if broken or not entry.is_file():
                raise InputError(f"{entry.path} is a broken link: mend or remove it")
            images.append(ImageEntry(path, entry.stat().st_size))
    return sorted(images, key=lambda image: image.name)


def is_image_name(name: str) -> bool:
    """Whether a file of this name is listed as an image."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def is_foreign(name: str) -> bool:
    """Whether it is hidden, or a folder that a system left there."""
    return name.startswith(".") or name.lower() in FOREIGN_FOLDERS


def ending(name: str) -> str:
    """The ending of a file's name, in lower case, or "no ending"."""
    return os.path.splitext(readable(name))[1].lower() or "no ending"


def readable(path: str) -> str:
    """A path as text. Bytes that are no UTF-8, from archives of old systems, are read as Latin-1.

    Letters with accents are composed (NFC): a Mac writes them in two characters.
    """
    raw = os.fsencode(path)
    try:
        return composed(raw.decode())
    except UnicodeDecodeError:
        return composed(raw.decode("latin-1"))


def composed(text: str) -> str:
    """Text in Unicode's form NFC."""
    return unicodedata.normalize("NFC", text)


def split_from(layout: Layout) -> tuple[str, ...]:
    """The parts that the images of the training folder are split into."""
    without = (part for part in ("validation", "test") if part not in layout.folders)
    return ("training", *without)


def refuse_mismatch(parts: Iterable[ClassFolders]) -> None:
    """Raises InputError unless all parts have the same classes."""
    first, *others = parts
    for other in others:
        for have, lack in ((first, other), (other, first)):
            missing = sorted(set(have.files) - set(lack.files))
            instead = sorted(set(lack.files) - set(have.files))
            which = f"({listed(missing)}{', in place of ' + listed(instead) if instead else ''})"
            if missing:
                raise InputError(
                    f"{have.folder} has classes that {lack.folder} lacks {which}: "
                    "add or remove them, or name the shared ones in data.classes"
                )


def alike(names: Iterable[str]) -> list[str]:
    """The class names that differ in case or in spaces alone: most likely one class."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault("".join(name.casefold().split()), []).append(name)
    return [name for group in groups.values() if len(group) > 1 for name in group]


def refuse_few(layout: Layout, train: ClassFolders) -> None:
    """Raises InputError for a class with fewer images than there are parts to split it into."""
    needed_for = split_from(layout)
    few = [name for name, images in train.files.items() if len(images) < len(needed_for)]
    if few:
        least = min(len(train.files[name]) for name in few)
        what = "a single image" if least == 1 else f"{least} images"
        raise InputError(
            f"{train.folder} has class folders with {what} ({listed(few)}): "
            f"{' and '.join(needed_for)} each need one"
        )
