"""The working folder holds no modules: no interpreter that we start looks for any there.

`python -c` and `python -m` look in the working folder before all others, and multiprocessing starts
its processes by the first. A folder of data may hold a random.py or a yaml.py, which would be run.
"""

import os
import sys
from contextlib import suppress

SAFE_PATH = "PYTHONSAFEPATH"  # what an interpreter reads at its start, as of Python 3.11


def leave_out_the_working_folder() -> None:
    """For the interpreters that this process starts from now on, and those that they start."""
    os.environ[SAFE_PATH] = "1"


def take_out_the_working_folder() -> None:
    """For this interpreter, and for what multiprocessing tells others of its path, as well."""
    leave_out_the_working_folder()
    with suppress(OSError):  # a working folder that was deleted holds nothing
        if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
            del sys.path[0]
