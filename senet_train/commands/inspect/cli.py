"""The command `senet-inspect`: what the excitations of trained networks do."""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from senet_train.commands.command_line import Parser, command, refuse_folder, write_then_print
from senet_train.compare.excitations import FOLDER
from senet_train.runs.inputs import find_run

if TYPE_CHECKING:
    from senet_train.commands.inspect.session import RunInspection

DESCRIPTION = """Show what the attention layers of trained networks do with the images they were
tested on: how open their gates are, what they depend on, what is lost without them. Exit codes: 0
done, 2 bad input."""
EXAMPLE = "Example: senet-inspect outputs/digits/se_resnet18-r16-36a65738/seed0"


ROOT = "data.root="


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Raises InputError."""
    parser = Parser(prog="senet-inspect", description=DESCRIPTION, epilog=EXAMPLE)
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a run's folder (of an arm with one seed, the arm's), or a checkpoint in one; "
        "data.root=DIR says where the data are now",
    )
    parser.add_argument(
        "--part",
        choices=("test", "val"),
        default="test",
        help="the images to look at; choose a layer to drop by val (default: %(default)s)",
    )
    parser.add_argument(
        "--classes",
        type=lambda text: text.split(","),
        metavar="A,B,...",
        help="names of up to four classes to show (default: evenly chosen)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: inspect/ in each run)"
    )
    parser.add_argument(
        "--no-knockout", action="store_true", help="leave out what is lost without each layer"
    )
    parser.add_argument(
        "--graph", action="store_true", help="give TensorBoard the network's graph as well"
    )
    arguments = parser.parse_args(list(argv))
    roots = [word for word in arguments.runs if word.startswith(ROOT)]
    arguments.root = roots[-1].removeprefix(ROOT) if roots else None
    if arguments.root:
        arguments.root = os.path.expanduser(arguments.root)
    arguments.runs = [Path(word) for word in arguments.runs if word not in roots]
    if not arguments.runs:
        parser.error("the following arguments are required: RUN")
    return arguments


def inspect(arguments: argparse.Namespace) -> int:
    """Inspect every run, print what was seen, write it; the exit code.

    Raises InputError before anything is written for the run that it is about.
    """
    folders = [folder_for(run, arguments) for run in arguments.runs]
    for folder in folders:
        refuse_folder(folder, "--out")
    from rich.text import Text

    from senet_train.commands.inspect.report import report_of
    from senet_train.commands.inspect.session import inspect_run
    from senet_train.compare.render.terminal import print_report
    from senet_train.system.console import output_console, table_console

    for path, folder in zip(arguments.runs, folders, strict=True):
        with output_console(stderr=True).status("") as status:
            found = inspect_run(
                path,
                part=arguments.part,
                root=arguments.root,
                classes=arguments.classes,
                knockout=not arguments.no_knockout,
                report_progress=lambda words: status.update(Text(words)),
            )
        write_then_print(
            partial(write_files, found, folder, graph=arguments.graph),
            partial(print_report, report_of(found), table_console(), page="The page has them."),
        )
    return 0


def write_files(found: "RunInspection", folder: Path, *, graph: bool) -> list[str]:
    """All of it into `folder`; where to look at it. Raises OSError."""
    from senet_train.commands.inspect.files import write_inspection

    page, *_ = write_inspection(found, folder, graph=graph)
    return [f"page: {page}", f"curves: tensorboard --logdir {folder}"]


def folder_for(run: Path, arguments: argparse.Namespace) -> Path:
    """Where a run's files go. Of several runs each has a folder of its own below --out."""
    home, _ = find_run(run)
    if arguments.out is None:
        return home / FOLDER
    several = len(arguments.runs) > 1
    out: Path = arguments.out
    return out / home.resolve().parent.name / home.resolve().name if several else out


main = command(parse, inspect, kept="of several runs those before are written")
