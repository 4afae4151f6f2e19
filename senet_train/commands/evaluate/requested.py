"""The words after RUN -> what to evaluate on, checked as far as it goes without torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from senet_train.config.compose import composed
from senet_train.config.schema import Data
from senet_train.errors import InputError

SETTING = re.compile(r"data(\.\w+)?=")
# The keys of config.Data that may be set here; the others are the run's preprocessing.
SETTABLE = ("workers",)


@dataclass(frozen=True)
class RequestedImages:
    """A folder of class folders, or a named data set, or else the run's own test images.

    Each holds at most one. `roots` is where the run's own data are now, if it is said.
    """

    folders: Sequence[Path] = ()
    data: Sequence[Data] = ()
    roots: Sequence[str] = ()


def read_request(words: Sequence[str]) -> RequestedImages:
    """What the words ask for. Raises InputError."""
    folders = [word for word in words if not SETTING.match(word)]
    if len(folders) > 1 or (folders and len(words) > 1):
        raise InputError(
            f"{' '.join(words)}: give one folder of class folders, or settings of the data such as "
            "data=cifar10 data.root=DIR, or nothing for the run's own test images"
        )
    if folders:
        return RequestedImages(folders=[existing_folder(folders[0])])
    if any(word.startswith("data=") for word in words):
        return RequestedImages(data=[named_data(words)])
    roots = [word.removeprefix("data.root=") for word in words]
    if len(words) > 1 or not all(word.startswith("data.root=") for word in words):
        raise InputError(
            f"{' '.join(words)} is of no data set: name one by data=NAME, or of the run's own give "
            "data.root=DIR alone"
        )
    return RequestedImages(roots=roots)


def existing_folder(word: str) -> Path:
    """The folder of this name. Raises InputError."""
    folder = Path(word).expanduser()
    if "=" in word and not folder.exists():
        raise InputError(f"{word}: only data=NAME and data.KEY=VALUE can be set for a run")
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give one that holds class folders, or data=NAME")
    return folder


def named_data(words: Sequence[str]) -> Data:
    """The settings of another data set, as `senet-train` would read them. Raises InputError."""
    for word in words:
        key = word.partition("=")[0].removeprefix("data.")
        if key in Data.__dataclass_fields__ and key not in SETTABLE:
            raise InputError(f"{word}: data.{key} is the run's own, leave it out")
    return composed(words).data
