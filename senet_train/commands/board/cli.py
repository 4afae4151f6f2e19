"""The command `senet-board`: opens TensorBoard on runs, or on their arms. No torch."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from senet_train.commands.command_line import Parser, command
from senet_train.errors import InputError

DESCRIPTION = """Open TensorBoard on the runs below PATH, on 127.0.0.1 alone: curves, gates,
mistakes, HPARAMS; with --arms one run for each arm, as senet-compare --tensorboard writes them.
Ctrl-C ends it. Exit codes: 2 bad input, 3 an unfair comparison, 130/143 ended by a signal."""
EXAMPLE = "Example: senet-board outputs --arms"
HIGHEST_PORT = 65535


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Raises InputError."""
    parser = Parser(prog="senet-board", description=DESCRIPTION, epilog=EXAMPLE)
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        default=Path("outputs"),
        metavar="PATH",
        help="a folder with runs, or one of senet-compare --tensorboard (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=port_number,
        metavar="N",
        help="the port, 0 for any that is free (default: the first free one from 6006 on)",
    )
    parser.add_argument(
        "--arms",
        action="store_true",
        help="show arms: mean curves with bands over seeds, and verdicts",
    )
    return parser.parse_args(list(argv))


def port_number(text: str) -> int:
    """A TCP port, or 0."""
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text} is no port: choose 0 to {HIGHEST_PORT}")
    return int(text)


def board(arguments: argparse.Namespace) -> NoReturn:
    """Serve until a signal comes. Raises Interrupted then, and InputError before."""
    path = arguments.path.expanduser()
    if not arguments.arms:
        refuse_without_runs(path)
    from senet_train.commands.board.serve import serve

    if not arguments.arms:
        serve(path, arguments.port, str(path))
    with tempfile.TemporaryDirectory(prefix="senet-board-") as folder:
        write_arms_of(path, Path(folder))
        serve(Path(folder), arguments.port, f"the arms of {path}")


def refuse_without_runs(path: Path) -> None:
    """Raises InputError for a folder without event files, and with one that is no file.

    TensorBoard would wait for ever for what a pipe says.
    """
    if not path.is_dir():
        raise InputError(f"{path} is no folder: give one that holds runs, such as outputs")
    found = False
    for events in path.rglob("*tfevents*"):
        found = True
        if events.exists() and not events.is_file() and not events.is_dir():
            raise InputError(f"{events} is a pipe or a device and no event file: move it away")
    if not found:
        raise InputError(
            f"{path} holds no run: give a folder that senet-train or "
            "senet-compare --tensorboard wrote to"
        )


def write_arms_of(path: Path, folder: Path) -> None:
    """Write what `senet-compare PATH --tensorboard FOLDER` does. Raises InputError, UnfairError."""
    from senet_train.commands.compare import judge_runs
    from senet_train.commands.compare import parse as parse_comparison
    from senet_train.compare.tensorboard.arms import event_files
    from senet_train.compare.tensorboard.folder import write_arms

    comparison, runs = judge_runs(parse_comparison(["--", str(path)]))
    write_arms(event_files(comparison, runs), folder)


main = command(parse, board, kept="")  # a signal is how it ends
