"""`python -m senet_train`: the command, also as one of the processes of a distributed run."""

from senet_train.system.safe_path import take_out_the_working_folder

take_out_the_working_folder()  # before anything is imported that is not loaded yet

import os  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402

from senet_train.cli import main  # noqa: E402
from senet_train.system.console import end_quietly  # noqa: E402
from senet_train.system.signals import stop_this_process  # noqa: E402
from senet_train.system.start import start_process  # noqa: E402
from senet_train.training.distributed.world import STORE  # noqa: E402


def end_with_the_parent() -> None:
    """Wait for the end of the process that started this one, then stop as by SIGTERM."""
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written: it returns at the pipe's end
    stop_this_process()


if __name__ == "__main__":
    start_process()
    one_of_several = STORE in os.environ
    if one_of_several:
        threading.Thread(target=end_with_the_parent, daemon=True).start()
    sys.exit(end_quietly(lambda: main(sys.argv[1:], planned=one_of_several)))
