"""Find which folder of a tree holds which part: training, validation and test images.

What would make a training run fail later is refused here; `senet-data check` reports it instead.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from senet_train.data.file_names import is_foreign, is_image_name
from senet_train.errors import InputError, listed
from senet_train.system.listing import entries_of, folders_in

Part = Literal["train", "validation", "test"]

# What the folder of a part may be called, in any case.
PART_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


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


def split_from(layout: Layout) -> tuple[str, ...]:
    """The parts that the images of the training folder are split into."""
    without = (part for part in ("validation", "test") if part not in layout.folders)
    return ("training", *without)
