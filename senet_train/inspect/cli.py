"""The command `senet-inspect`: what the excitations of trained networks do."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from senet_train.command_line import Parser, exit_code_of

DESCRIPTION = """What the attention layers of trained networks do with the images they were tested
on: how open their gates are, what they hang on, what is lost without them. Exit codes: 0 done,
2 bad input."""


def entry() -> None:
    """What the console script calls."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run `senet-inspect` with these arguments; the exit code."""
    return exit_code_of(lambda: inspect(parse(argv)))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Raises InputError."""
    parser = Parser(prog="senet-inspect", description=DESCRIPTION)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="a run's folder, or a checkpoint in one"
    )
    parser.add_argument(
        "--part",
        choices=("test", "val"),
        default="test",
        help="the images to look at; choose a layer to drop by val (default: %(default)s)",
    )
    parser.add_argument(
        "--data-root", metavar="DIR", help="where the run's data are now, if not where they were"
    )
    parser.add_argument(
        "--no-knockout", action="store_true", help="leave out what is lost without each layer"
    )
    return parser.parse_args(list(argv))


def inspect(arguments: argparse.Namespace) -> int:
    """Look at every run and print what was seen; the exit code. Raises InputError."""
    from rich.console import Console

    from senet_train.compare.render.table import print_report, wide_enough
    from senet_train.inspect.report import report_of
    from senet_train.inspect.session import inspect_run

    for path in arguments.runs:
        with Console(stderr=True).status("") as status:
            found = inspect_run(
                path,
                part=arguments.part,
                root=arguments.data_root,
                knockout=not arguments.no_knockout,
                told=status.update,
            )
        print_report(report_of(found), wide_enough())
    return 0
