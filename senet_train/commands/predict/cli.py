"""The command `senet-predict`: images in, the likeliest classes out."""

import argparse
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path

from senet_train.commands.command_line import (
    Parser,
    add_batch_size,
    add_run,
    at_least_one,
    command,
    refuse_file,
)
from senet_train.commands.predict.walk import refuse_missing
from senet_train.errors import InputError, counted
from senet_train.runs.inputs import find_run
from senet_train.system.console import say

TOP = 5
BEGINNINGS = {".csv": b"file,class_1,", ".json": b'[\n{"file": '}  # of what --out may overwrite
DESCRIPTION = """Predict the likeliest classes of images, with their probabilities, by a trained
run. Images are cropped, scaled and normalised as in the run's own test. One that cannot be read is
named and left out. Exit codes: 0 done, 1 an image could not be read, or there was none, 2 bad
input."""
EXAMPLE = "Example: senet-predict outputs/digits/se_resnet18-r16-36a65738/seed0 photos --top 3"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Raises InputError."""
    parser = Parser(prog="senet-predict", description=DESCRIPTION, epilog=EXAMPLE)
    add_run(parser)
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="an image file, or a folder: every image below it, hidden ones left out",
    )
    parser.add_argument(
        "--top",
        type=at_least_one,
        metavar="K",
        help=f"how many classes (default: {TOP}, or all if there are fewer)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write there, as .csv or .json, and print no table",
    )
    add_batch_size(parser)
    return parser.parse_args(list(argv))


def predict(arguments: argparse.Namespace) -> int:
    """Load, predict, print or write; the exit code. Raises InputError before anything is loaded."""
    refuse_missing(arguments.images)
    if arguments.out is not None:
        refuse_out(arguments.out)
    find_run(arguments.run)
    from senet_train.commands.predict.report import print_rows, write_rows
    from senet_train.commands.predict.rows import predicted
    from senet_train.commands.predict.walk import SkippedFiles, image_files
    from senet_train.data.image_files import decoders_silent
    from senet_train.runs.trained.forward import Forward
    from senet_train.runs.trained.load import load_run

    run = load_run(arguments.run)
    top = number_of_classes(arguments.top, len(run.class_names))
    forward = Forward.of(run, arguments.batch_size)
    skipped = SkippedFiles()
    with decoders_silent():
        rows = predicted(image_files(arguments.images, skipped), forward, top, skipped)
        first = list(islice(rows, 1))  # without a row, an existing file stays as it is
        count, rows = 0, chain(first, rows)
        if first and arguments.out is not None:
            count = write_rows(rows, arguments.out, top)
            say(f"{counted(count, 'image')}: {arguments.out}")
        elif first:
            count = print_rows(rows, run.class_names)
    return report_skipped(count, skipped.count)


def report_skipped(count: int, num_skipped: int) -> int:
    """Print how many images were left out; return the exit code."""
    if num_skipped:
        say(f"{num_skipped:,} of {num_skipped + count:,} could not be read", to_error=True)
    elif not count:
        say("there is no image: name one, or a folder that holds some", to_error=True)
    return 1 if num_skipped or not count else 0


def refuse_out(file: Path) -> None:
    """Raises InputError for a file of another type, or that must not be overwritten."""
    if file.suffix.lower() not in BEGINNINGS:
        raise InputError(f"--out {file} is neither .csv nor .json: name a file that ends so")
    refuse_file(file, "--out", BEGINNINGS[file.suffix.lower()])


def number_of_classes(asked: int | None, num_classes: int) -> int:
    """How many classes to show of each image. Raises InputError for more than the run has."""
    if asked is not None and asked > num_classes:
        raise InputError(f"--top {asked} and the run has {num_classes} classes: choose fewer")
    return asked or min(TOP, num_classes)


main = command(parse, predict)
