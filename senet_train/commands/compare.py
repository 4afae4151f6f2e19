"""The command `senet-compare`: run folders in, or a table of scores; verdicts out. No torch."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from senet_train.commands.command_line import Parser, command, refuse_folder, write_then_print
from senet_train.compare import CONTROL, MARGIN
from senet_train.compare.tensorboard.folder import refuse_foreign, write_arms
from senet_train.errors import InputError

if TYPE_CHECKING:
    from senet_train.compare.assemble import OnlyBaseline
    from senet_train.compare.collect import Run
    from senet_train.compare.comparison import Comparison
    from senet_train.compare.noise import NoiseStudy


PATHS = "folders with runs, or one table of scores (.csv or .tsv)"
DESCRIPTION = """Compare trained networks (arms) with their control: is an arm better, is the
comparison fair, and what does the arm cost? The verdicts come first. Runs that are equal in
everything but attention, placement and declared factors make a block, which has its own control and
its own verdicts. Of a control alone it says how much its runs vary over seeds, and how many seeds a
table takes by that. Runs of other programs come as a CSV file with the columns arm, seed and score
(in percent); a column block divides it, all others are settings. Exit codes: 0 done, 2 bad input, 3
unfair comparison."""
EXAMPLE = "Example: senet-compare outputs --out report"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Raises InputError."""
    parser = Parser(prog="senet-compare", description=DESCRIPTION, epilog=EXAMPLE)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=PATHS)
    parser.add_argument(
        "--baseline",
        help=f"the control: an arm's label or folder, or attention=NAME (default: {CONTROL}; of a "
        "table, the arm with one of the names none, baseline, control)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="KEY",
        help="a setting in which the runs may differ, such as optim.lr, or a column of a table; "
        "may be repeated",
    )
    parser.add_argument(
        "--score",
        metavar="NAME",
        help="judge classifiers by another score of the test set: test_top1, test_macro_f1, "
        "test_balanced_accuracy, test_auroc or test_average_precision (default: that of "
        "trainer.score)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        help=f"points within which arms count as equivalent (default: the plan's, else {MARGIN})",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write a page, tables and pictures there"
    )
    parser.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="write a TensorBoard run for each arm there"
    )
    parser.add_argument(
        "--plan", action="store_true", help="say which runs are worth training next"
    )
    parser.add_argument(
        "--noise",
        action="store_true",
        help="say how much the control's runs vary over seeds, and what tables take by that",
    )
    return parser.parse_args(list(argv))


def compare(arguments: argparse.Namespace) -> int:
    """Read, judge, write, print; the exit code. Raises InputError before anything is written."""
    from senet_train.compare.assemble import OnlyBaseline

    if arguments.out is not None:
        refuse_folder(arguments.out, "--out")
    if arguments.tensorboard is not None:
        refuse_folder(arguments.tensorboard, "--tensorboard")
        refuse_foreign(arguments.tensorboard)
    try:
        comparison, runs = judge_paths(arguments)
    except OnlyBaseline as alone:
        print_noise_alone(alone, arguments)
        return 0
    arms = {}
    if arguments.tensorboard is not None:
        from senet_train.compare.tensorboard.arms import event_files

        arms = event_files(comparison, runs)
    studies = noise_of_controls(runs, arguments) if arguments.noise else []
    write_then_print(
        lambda: write_files(comparison, arms, arguments),
        lambda: print_all(comparison, studies, runs if arguments.plan else []),
    )
    return 0


def write_files(
    comparison: "Comparison", arms: Mapping[str, bytes], arguments: argparse.Namespace
) -> list[str]:
    """What --out and --tensorboard ask for; a line on each. Raises OSError."""
    lines: list[str] = []
    if arguments.out is not None:
        from senet_train.compare.write_reports import write_reports

        lines += map(str, write_reports(comparison, arguments.out))
    if arguments.tensorboard is not None:
        write_arms(arms, arguments.tensorboard)
        lines.append(f"the arms: senet-board {arguments.tensorboard}")
    return lines


def print_all(
    comparison: "Comparison", studies: "Sequence[NoiseStudy]", to_plan: "Sequence[Run]"
) -> None:
    """The verdicts, then how much the controls vary, then what is worth training next."""
    from senet_train.compare.render.terminal import print_comparison

    print_comparison(comparison)
    if studies:
        from senet_train.compare.render.noise import print_noise

        print_noise(studies)
    if to_plan:
        from senet_train.compare.next_runs import print_next_runs

        print_next_runs(comparison, to_plan)


def judge_paths(arguments: argparse.Namespace) -> "tuple[Comparison, list[Run]]":
    """As `judge_runs`, or compare the table that is the only path, of which there are no runs."""
    from senet_train.compare.score_table import is_table, read_scores
    from senet_train.compare.table_verdicts import compare_table

    if not any(map(is_table, arguments.paths)):
        return judge_runs(arguments)
    refuse_beside_table(arguments)
    table = read_scores(arguments.paths[0])
    found = compare_table(
        table, baseline=arguments.baseline, allowed=arguments.allow, margin=arguments.margin
    )
    return found, []


def refuse_beside_table(arguments: argparse.Namespace) -> None:
    """Raises InputError for what a table cannot be compared with, and what it cannot give."""
    if len(arguments.paths) > 1:
        raise InputError(
            f"a table is compared alone, got {', '.join(map(str, arguments.paths))}: put all rows "
            "into one file, and compare run folders without it"
        )
    if arguments.tensorboard is not None:
        raise InputError("--tensorboard shows curves, and a table has none: leave it out")
    if arguments.score is not None:
        raise InputError("--score chooses among scores of runs, and a table has one: leave it out")
    if arguments.noise:
        raise InputError("--noise needs each run's answers, and a table has none: leave it out")
    if arguments.plan:
        raise InputError(
            "--plan writes lines of senet-train, which a table has not: leave it out, each verdict "
            "says how many seeds would settle it"
        )


def judge_runs(arguments: argparse.Namespace) -> "tuple[Comparison, list[Run]]":
    """Compare the runs below the paths; also returns them. Raises InputError, UnfairError."""
    from senet_train.compare.assemble import assemble
    from senet_train.compare.chosen_score import judged_by
    from senet_train.compare.collect import read_runs, sort_out
    from senet_train.compare.render.terminal import print_left_out

    finished, left_out = sort_out(arguments.paths)
    try:
        runs = read_runs(finished)
        if arguments.score is not None:
            runs = [judged_by(run, arguments.score) for run in runs]
        comparison = assemble(
            runs,
            left_out,
            baseline=arguments.baseline or CONTROL,
            allowed=arguments.allow,
            margin=arguments.margin,
            with_curves=arguments.out is not None,
        )
    except InputError:
        print_left_out(left_out)
        raise
    return comparison, runs


def noise_of_controls(runs: "Sequence[Run]", arguments: argparse.Namespace) -> "list[NoiseStudy]":
    """How much the runs of each control vary. Raises InputError where no control has two runs."""
    from senet_train.compare.noise import noise_studies

    studies = noise_studies(runs, arguments.baseline or CONTROL, arguments.allow)
    if not studies:
        raise InputError(
            "--noise is how much runs of one arm vary over seeds: no control here has two runs or "
            "more, train more seeds of it"
        )
    return studies


def print_noise_alone(alone: "OnlyBaseline", arguments: argparse.Namespace) -> None:
    """Print the noise of controls that no arm is compared with.

    Raises InputError where all have one run, and where an arm is needed for what was asked.
    """
    from senet_train.compare.noise import noise_studies
    from senet_train.compare.render.noise import print_noise

    studies = noise_studies(alone.runs, arguments.baseline or CONTROL, arguments.allow)
    if not studies:
        raise alone
    asked = [word for word in ("out", "tensorboard", "plan") if getattr(arguments, word)]
    if asked:
        baseline = arguments.baseline or CONTROL
        raise InputError(
            f"there is only the baseline {baseline}: --{asked[0]} needs an arm that is compared "
            f"with it, leave --{asked[0]} out to see how much its runs vary"
        )
    print_noise(studies)


main = command(parse, compare)
