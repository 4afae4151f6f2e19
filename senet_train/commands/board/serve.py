"""TensorBoard inside this process."""

import contextlib
import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tensorboard.program import (
    TensorBoard,
    TensorBoardServerException,
    create_port_scanning_werkzeug_server,
)

from senet_train.commands.board.columns import plugins
from senet_train.errors import InputError
from senet_train.system.console import say

WAKING_SECONDS = 1  # Windows wakes a sleeping process for Ctrl-C alone
HOST = "127.0.0.1"
OWN_NAMES = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)


def serve_own_names(app: Any, flags: Any) -> Any:
    """TensorBoard's server, which answers requests to this machine's own names alone.

    A page of a stranger may have its name resolve to 127.0.0.1, and would be given all runs (DNS
    rebinding).
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if OWN_NAMES.fullmatch(environ.get("HTTP_HOST", "")):
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [f"senet-board answers at {HOST} and localhost alone\n".encode()]

    return create_port_scanning_werkzeug_server(answer, flags)


def serve(folder: Path, port: int | None, shown: str) -> NoReturn:
    """Serve the event files below `folder`, print the address, and wait for a signal.

    A port of None is the first free one from 6006 on. Raises InputError where no port can be used.
    """
    server = TensorBoard(plugins(), server_class=serve_own_names)
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
        time.sleep(WAKING_SECONDS)
