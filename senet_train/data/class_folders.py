"""List the class folders of a part: the image files of each class.

What would make a training run fail later is refused here; `senet-data check` reports it instead.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from senet_train.data.file_names import (
    FOREIGN_FILES,
    composed,
    ending,
    is_foreign,
    is_image_name,
    readable,
)
from senet_train.data.image_files import EXTENSIONS
from senet_train.data.layout import Layout, Part, split_from
from senet_train.errors import InputError, listed
from senet_train.system.listing import entries_of, folders_in


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
