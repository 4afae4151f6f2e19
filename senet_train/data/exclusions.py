"""The list of images to leave out, `data.exclude`, as `senet-data check` writes it."""

import os
from collections.abc import Iterable
from pathlib import Path

from senet_train.data.file_names import readable
from senet_train.data.layout import Layout
from senet_train.errors import InputError


def excluded_from(list_file: str, layout: Layout) -> frozenset[str]:
    """The names in the list, none for `none`.

    Raises InputError for a list that cannot be read or that names what is not in the tree.
    """
    if list_file == "none":
        return frozenset()
    names = read_exclusions(Path(list_file).expanduser())
    for name in names:
        if not is_in(layout, name):
            raise InputError(
                f"data.exclude={list_file} names {name}, which is not in {layout.base}: "
                "check that tree anew with senet-data check, or take the line out "
                "(a reason stands on a line of its own that begins with #)"
            )
    return frozenset(names)


def read_exclusions(file: Path) -> list[str]:
    """The names in a list. Raises InputError."""
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
    """The list as text, from (name, reason) pairs."""
    head = "# Images to leave out of training and test: senet-train data.exclude=THIS_FILE\n"
    return head + "".join(f"# {reason}\n{name}\n" for name, reason in sorted(reasons))


def is_in(layout: Layout, name: str) -> bool:
    """Whether the tree has the image `[part/]class/file`, if only as a broken link."""
    words = name.split("/")
    if len(words) < 2 or not set(words).isdisjoint(("", ".", "..")):
        return False
    *part, class_name, file = words
    folder = layout.base.joinpath(*part)
    return folder in layout.folders.values() and is_below(folder, class_name, file)


def is_below(folder: Path, *names: str) -> bool:
    """Whether there is a path of these names, which the system may spell in other bytes."""
    if os.path.lexists(folder.joinpath(*names)):
        return True
    first, *rest = names
    alike = [path for path in folder.iterdir() if readable(path.name) == first]
    return any(not rest or (path.is_dir() and is_below(path, *rest)) for path in alike)
