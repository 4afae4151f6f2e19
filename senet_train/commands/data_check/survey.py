"""Walk a tree of class folders as training lists it: the images to decode, and findings.

Training refuses the first fault; here all of them are found. The walk does not go below a class
folder, so a link to a parent cannot make it endless.
"""

import errno
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from senet_train.commands.data_check.findings import Finding
from senet_train.data.class_folders import alike
from senet_train.data.file_names import is_foreign, is_image_name, readable
from senet_train.data.layout import Layout, Part
from senet_train.system.listing import entries_of as bounded


@dataclass(frozen=True)
class ImageFile:
    """An image file to be decoded; `size` in bytes, `mtime_ns` its time of modification."""

    path: str  # [part/]class/name, as the system spells it
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """The path as text."""
        return readable(self.path)


@dataclass
class Survey:
    """What a walk found; the training part is the first in `classes` and in `images`."""

    classes: dict[Part, list[str]] = field(default_factory=dict)
    images: dict[Part, list[ImageFile]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def survey(layout: Layout) -> Survey:
    """Walk the folders of all parts."""
    seen = Survey()
    for part, folder in layout.folders.items():
        seen.classes[part], seen.images[part] = [], []
        prefix = "".join(f"{word}/" for word in folder.relative_to(layout.base).parts)
        for entry in entries_of(folder, folder.name, seen.findings):
            inspect_class(entry, prefix + entry.name, part, seen)
    seen.findings += differing_classes(layout, seen.classes)
    like = alike(seen.classes["train"])
    seen.findings += [Finding("names alike", f"{layout.train.name}/{name}") for name in like]
    if len(seen.classes["train"]) == 1:
        seen.findings.append(Finding("one class", layout.train.name, seen.classes["train"][0]))
    return seen


def inspect_class(entry: os.DirEntry[str], path: str, part: Part, seen: Survey) -> None:
    """One entry of a part: a class folder with all that is in it, or something else."""
    name = readable(entry.name)
    if not os.path.isdir(entry.path):
        if not entry.name.startswith("."):
            seen.findings.append(Finding("beside the classes", readable(path)))
    elif is_foreign(entry.name):
        seen.findings.append(Finding("hidden folder", readable(path)))
    elif links_to_a_parent(entry.path):
        seen.findings.append(Finding("folder loop", readable(path)))
    elif not is_plain(name):
        seen.findings.append(Finding("odd name", readable(path)))
    else:
        if name in seen.classes[part]:
            seen.findings.append(Finding("one name twice", readable(path)))
        seen.classes[part].append(name)
        for file in entries_of(Path(entry.path), path, seen.findings):
            found = inspect_entry(file, f"{path}/{file.name}")
            if isinstance(found, Finding):
                seen.findings.append(found)
            else:
                seen.images[part].append(found)
                if not is_utf8(file.name):
                    seen.findings.append(Finding("name not UTF-8", found.name))


def inspect_entry(entry: os.DirEntry[str], raw_path: str) -> ImageFile | Finding:
    """One entry of a class folder, by its name and its status; nothing is read."""
    path = readable(raw_path)
    if os.path.isdir(entry.path):
        if is_foreign(entry.name):
            return Finding("hidden folder", path)
        return Finding(
            "folder loop" if links_to_a_parent(entry.path) else "folder in a class", path
        )
    if entry.name.startswith("."):
        return Finding("hidden file", path)
    if not is_image_name(entry.name):
        return Finding("no image ending", path)
    if not is_plain(path):
        return Finding("odd name", path)
    try:
        status = os.stat(entry.path)
    except OSError as error:
        kinds = {errno.ELOOP: "symlink loop", errno.ENOENT: "broken link"}
        return Finding(kinds.get(error.errno or 0, "not opened"), path, error.strerror or "")
    if not os.path.isfile(entry.path):
        return Finding("no regular file", path)
    if status.st_size == 0:
        return Finding("zero bytes", path)
    return ImageFile(raw_path, status.st_size, status.st_mtime_ns)


def entries_of(folder: Path, path: str, findings: list[Finding]) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder, sorted by name; a finding where they cannot be listed."""
    try:
        found = sorted(bounded(folder), key=lambda entry: entry.name)
    except OSError as error:
        findings.append(Finding("not opened", path, error.strerror or ""))
        return
    yield from found


def links_to_a_parent(folder: str) -> bool:
    """Whether a folder is a link to one of its own parents."""
    real, home = Path(folder).resolve(), Path(folder).parent.resolve()
    return os.path.islink(folder) and home.is_relative_to(real)


def is_plain(name: str) -> bool:
    """Whether a name has no control characters, and fits on one line."""
    return not any(unicodedata.category(character) == "Cc" for character in name)


def is_utf8(name: str) -> bool:
    """Whether the system spells a name in UTF-8."""
    return not any(unicodedata.category(character) == "Cs" for character in name)


def differing_classes(layout: Layout, classes: dict[Part, list[str]]) -> Iterator[Finding]:
    """The classes of one part that another part does not have."""
    for part in list(classes)[1:]:
        yield from only_in(layout, classes, "train", part)
        yield from only_in(layout, classes, part, "train")


def only_in(
    layout: Layout, classes: dict[Part, list[str]], have: Part, lack: Part
) -> Iterator[Finding]:
    """The classes of one part that the other part does not have."""
    holder, lacker = layout.folders[have].name, layout.folders[lack].name
    for name in sorted(set(classes[have]) - set(classes[lack])):
        # In lower case, so that `Fox` is near `fox`.
        other = {there.lower(): there for there in set(classes[lack]) - set(classes[have])}
        near = get_close_matches(name.lower(), other, n=1)
        hint = f", but {other[near[0]]}" if near else ""
        yield Finding("class in one part only", f"{holder}/{name}", f"not in {lacker}/{hint}")
