"""TensorBoard inside this process."""

import contextlib
import io
import signal
from pathlib import Path
from typing import NoReturn

from tensorboard.program import TensorBoard, TensorBoardServerException

from senet_train.commands.board.columns import plugins
from senet_train.errors import InputError
from senet_train.system.console import say

HOST = "127.0.0.1"


def serve(folder: Path, port: int | None, shown: str) -> NoReturn:
    """Serve the event files below `folder`, print the address, and wait for a signal.

    A port of None is the first free one from 6006 on. Raises InputError where no port can be used.
    """
    server = TensorBoard(plugins())
    place = ["--port", str(port)] if port is not None else []
    server.configure(["senet-board", "--logdir", str(folder), "--host", HOST, *place])
    try:
        # TensorBoard prints advice about its faster loader there.
        with contextlib.redirect_stderr(io.StringIO()):
            address = server.launch()
    except (TensorBoardServerException, OSError) as error:
        where = f"--port {port}" if port is not None else "every port from 6006 on"
        raise InputError(
            f"{where} on {HOST} cannot be listened at, it may be taken: choose another --port, "
            f"or 0 ({error})"
        ) from error
    say(f"{address} shows {shown}; Ctrl-C ends it")
    while True:
        signal.pause()
