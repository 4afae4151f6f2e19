"""Stand-ins for `decode.decode_each` that a spawned process can import: it imports no test."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from senet_train.commands.data_check.decode import DecodeResult, decode


def deadly(paths: Sequence[str]) -> list[DecodeResult]:
    """A file of this name ends the process, as a fault in a decoder's C code would."""
    if any("deadly" in path for path in paths):
        os._exit(11)
    return [decode(path) for path in paths]


def slow(paths: Sequence[str]) -> list[DecodeResult]:
    """Half a second for each piece of work; a file says that one has begun."""
    Path(os.environ["BEGUN"]).touch()
    time.sleep(0.5)
    return [decode(path) for path in paths]
