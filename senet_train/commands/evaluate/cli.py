"""The command `senet-evaluate`: how good a trained run is, on its test images or on others."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from senet_train.commands.command_line import (
    Parser,
    add_batch_size,
    add_run,
    command,
    refuse_folder,
    write_then_print,
)
from senet_train.commands.evaluate.requested import read_request
from senet_train.runs.inputs import find_run

if TYPE_CHECKING:
    from senet_train.commands.evaluate.evaluation import Evaluation

DESCRIPTION = """Evaluate a trained run: accuracy, loss and calibration with 95 % intervals over
images, the accuracy of each class, and with --corruptions on corrupted images. Images are cropped,
scaled and normalised as in the run's own test; classes are mapped by name. Exit codes: 0 done, 1 an
image could not be read, 2 bad input."""
EXAMPLE = "Example: senet-evaluate outputs/digits/se_resnet18-r16-36a65738/seed0 --corruptions"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Raises InputError."""
    parser = Parser(prog="senet-evaluate", description=DESCRIPTION, epilog=EXAMPLE)
    add_run(parser)
    parser.add_argument(
        "data",
        nargs="*",
        metavar="FOLDER | data=NAME data.KEY=VALUE",
        help="a folder that holds <class>/*, or a data set as senet-train names it (default: the "
        "run's own test images; data.root=DIR says where they are now)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write JSON, CSV and pictures there"
    )
    parser.add_argument(
        "--corruptions",
        action="store_true",
        help="also on corrupted images: 8 corruptions, 5 severities each",
    )
    add_batch_size(parser)
    return parser.parse_args(list(argv))


def evaluate(arguments: argparse.Namespace) -> int:
    """Load, evaluate, write, print; the exit code. Raises InputError before anything is read."""
    if arguments.out is not None:
        refuse_folder(arguments.out, "--out")
    find_run(arguments.run)
    asked = read_request(arguments.data)
    from senet_train.commands.evaluate.evaluation import evaluate_run
    from senet_train.commands.evaluate.report import print_evaluation
    from senet_train.runs.trained.load import load_run

    evaluation = evaluate_run(
        load_run(arguments.run),
        asked,
        batch_size=arguments.batch_size,
        corruptions=arguments.corruptions,
    )
    write_then_print(
        lambda: write_files(evaluation, arguments.out), lambda: print_evaluation(evaluation)
    )
    return 0


def write_files(evaluation: "Evaluation", folder: Path | None) -> list[str]:
    """What --out asks for; the files. Raises OSError."""
    if folder is None:
        return []
    from senet_train.commands.evaluate.files import write_evaluation

    return [str(file) for file in write_evaluation(evaluation, folder)]


main = command(parse, evaluate)
