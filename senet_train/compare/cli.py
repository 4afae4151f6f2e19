"""The command `senet-compare`: run folders in, verdicts out. Reads only; no torch, no server."""

import argparse
import gc
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from senet_train.errors import InputError

DESCRIPTION = """Compare arms: is it fair, how good, is it better, at what cost. Runs that are
equal in everything but attention, placement and declared factors make a block; every block has
its own control and table. Exit codes: 0 done, 2 bad input, 3 unfair comparison."""


def entry() -> None:
    """What the console script calls."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run `senet-compare` with these arguments; the exit code."""
    try:
        arguments = parse(argv)
        compare(arguments)
    except SystemExit as end:  # --help
        return int(end.code or 0)
    except InputError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exception(error)
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    return 0


def refuse_out(folder: Path) -> None:
    """Raises InputError for a place where the reports cannot be written."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(f"--out {folder} cannot be made: {existing} is no folder to write to")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Raises InputError."""
    parser = argparse.ArgumentParser(prog="senet-compare", description=DESCRIPTION)

    def refuse(message: str) -> NoReturn:
        raise InputError(f"{message}: see senet-compare --help")

    parser.error = refuse  # type: ignore[method-assign]
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folders with runs")
    parser.add_argument(
        "--baseline",
        default="attention=none",
        help="the control: an arm's label or folder, or attention=NAME (default: %(default)s)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="KEY",
        help="a key in which compared runs may differ, such as optim.lr; may be repeated",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=0.3,
        help="differences below so many points count as equivalent (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write tables, pictures and a page there"
    )
    parser.add_argument(
        "--plan", action="store_true", help="say which runs are worth training next"
    )
    return parser.parse_args(list(argv))


def compare(arguments: argparse.Namespace) -> None:
    """Read, judge, print, write. Raises InputError before anything is written."""
    from senet_train.compare.assemble import assemble
    from senet_train.compare.collect import collect
    from senet_train.compare.render.table import print_comparison

    if arguments.out is not None:
        refuse_out(arguments.out)
    runs, left_out = collect(arguments.paths)
    gc.freeze()  # statsmodels collects garbage at every Holm: let it pass over all this
    comparison = assemble(
        runs,
        left_out,
        baseline=arguments.baseline,
        allowed=arguments.allow,
        margin=arguments.margin,
        with_curves=arguments.out is not None,
    )
    print_comparison(comparison)
    if arguments.plan:
        from senet_train.compare.next_runs import print_next_runs

        print_next_runs(comparison, runs)
    if arguments.out is not None:
        from senet_train.compare.render.files import write_reports

        for file in write_reports(comparison, arguments.out):
            print(file)
