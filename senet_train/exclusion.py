"""A list of images to leave out: plain text, `train/cat/3.png` a line, reasons above as `# ...`.

Paths are relative to the folder that holds `train/`. Reasons and order count for nothing: the set
of paths is what the list says, and what the data's fingerprint takes from it.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from senet_train.errors import InputError


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
    """Whether `<part>/<class>/<file>` is there, be it a broken link."""
    part, *below = path.split("/")
    folders = {folder.name: folder for folder in parts}
    if part not in folders or len(below) != 2 or not set(below).isdisjoint(("", ".", "..")):
        return False
    return os.path.lexists(folders[part].joinpath(*below))
