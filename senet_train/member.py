"""`python -m senet_train.member`: the command as one of several processes that make one run."""

import os
import signal
import sys
import threading

from senet_train.cli import main


def end_with_the_parent() -> None:
    """Should the process that started this one be killed, save what is there and end."""
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written: it returns at the pipe's end
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    sys.exit(main(sys.argv[1:], planned=True))
