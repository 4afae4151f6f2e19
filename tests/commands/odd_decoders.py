"""Stand-ins for `decode.judge_each` that a spawned process can import: it imports no test."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from senet_train.commands.data_check.decode import Verdict, judge


def deadly(paths: Sequence[str]) -> list[Verdict]:
    """A file of this name ends the process, as a fault in a decoder's C code would."""
    if any("deadly" in path for path in paths):
        os._exit(11)
    return [judge(path) for path in paths]


def slow(paths: Sequence[str]) -> list[Verdict]:
    """Half a second for each piece of work; a file says that one has begun."""
    Path(os.environ["BEGUN"]).touch()
    time.sleep(0.5)
    return [judge(path) for path in paths]
