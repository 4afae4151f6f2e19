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
from senet_train.data.class_folders import is_image_name


@dataclass(frozen=True)
class ImageFile:
    """An image file to be decoded; `size` in bytes, `mtime_ns` its time of modification."""

    path: str  # part/class/name
    size: int
    mtime_ns: int


@dataclass
class Survey:
    """What a walk found; `classes` holds the class names of each part, the training part first."""

    classes: dict[str, list[str]] = field(default_factory=dict)
    images: list[ImageFile] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def survey(parts: tuple[Path, Path]) -> Survey:
    """Walk the training and the test folder."""
    seen = Survey()
    for folder in parts:
        seen.classes[folder.name] = []
        for entry in entries_of(folder, folder.name, seen.findings):
            inspect_class(entry, f"{folder.name}/{entry.name}", seen)
    train, test = seen.classes
    seen.findings += [*only_in(seen.classes, train, test), *only_in(seen.classes, test, train)]
    return seen


def inspect_class(entry: os.DirEntry[str], path: str, seen: Survey) -> None:
    """One entry of a part: a class folder with all that is in it, or something else."""
    if not os.path.isdir(entry.path):
        seen.findings.append(Finding("beside the classes", path))
    elif entry.name.startswith("."):
        seen.findings.append(Finding("hidden folder", path))
    elif links_to_a_parent(entry.path):
        seen.findings.append(Finding("folder loop", path))
    elif not is_plain(entry.name):
        seen.findings.append(Finding("odd name", path))
    else:
        part, _, name = path.partition("/")
        seen.classes[part].append(name)
        for file in entries_of(Path(entry.path), path, seen.findings):
            found = inspect_entry(file, f"{path}/{file.name}")
            if isinstance(found, Finding):
                seen.findings.append(found)
            else:
                seen.images.append(found)


def inspect_entry(entry: os.DirEntry[str], path: str) -> ImageFile | Finding:
    """One entry of a class folder, by its name and its status; nothing is read."""
    if os.path.isdir(entry.path):
        return Finding(
            "folder loop" if links_to_a_parent(entry.path) else "folder in a class", path
        )
    if entry.name.startswith("."):
        return Finding("hidden file", path)
    if not is_image_name(entry.name):
        return Finding("no image ending", path)
    if not is_plain(entry.name):
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
    return ImageFile(path, status.st_size, status.st_mtime_ns)


def entries_of(folder: Path, path: str, findings: list[Finding]) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder, sorted by name; a finding where they cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        findings.append(Finding("not opened", path, error.strerror or ""))
        return
    yield from found


def links_to_a_parent(folder: str) -> bool:
    """Whether a folder is a link to one of its own parents."""
    real, home = Path(folder).resolve(), Path(folder).parent.resolve()
    return os.path.islink(folder) and home.is_relative_to(real)


def is_plain(name: str) -> bool:
    """Whether a name is UTF-8 (no surrogate) without control characters, and fits on one line."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


def only_in(classes: dict[str, list[str]], have: str, lack: str) -> Iterator[Finding]:
    """The classes of one part that the other part does not have."""
    for name in sorted(set(classes[have]) - set(classes[lack])):
        # In lower case, so that `Fox` is near `fox`.
        other = {there.lower(): there for there in set(classes[lack]) - set(classes[have])}
        near = get_close_matches(name.lower(), other, n=1)
        hint = f", but {other[near[0]]}" if near else ""
        yield Finding("class in one part only", f"{have}/{name}", f"not in {lack}/{hint}")
