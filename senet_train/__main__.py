"""`python -m senet_train`: the command, also as one of the processes of a distributed run."""

import os
import signal
import sys
import threading

from senet_train.cli import main
from senet_train.system.console import end_quietly
from senet_train.system.start import start_process
from senet_train.training.distributed.world import STORE


def end_with_the_parent() -> None:
    """Wait for the end of the process that started this one, then stop as by SIGTERM."""
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written: it returns at the pipe's end
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    start_process()
    one_of_several = STORE in os.environ
    if one_of_several:
        threading.Thread(target=end_with_the_parent, daemon=True).start()
    sys.exit(end_quietly(lambda: main(sys.argv[1:], planned=one_of_several)))
