"""`python -m processes.counting FILE ARGUMENTS`: the command, each training step a byte in FILE.

Runs of a sweep are forked from a server: it is started here, with this module loaded, so that they
count as well.
"""

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from typing import Any

STEPS = "FAULTS_STEPS"


def count_steps() -> None:
    """From now on, every call of `training_step` in this process and those forked from it."""
    from senet_train.training.tasks.classification import ImageClassifier

    step = ImageClassifier.training_step
    file = os.open(os.environ[STEPS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def counted(*arguments: Any) -> Any:
        os.write(file, b".")
        return step(*arguments)

    ImageClassifier.training_step = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    from senet_train.cli import main

    os.environ[STEPS] = sys.argv[1]
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(
        ["senet_train.cli", "senet_train.training.run", "processes.counting"]
    )
    forkserver.ensure_running()
    sys.exit(main(sys.argv[2:]))
elif __name__ == "processes.counting" and STEPS in os.environ:  # in the server, once
    count_steps()
