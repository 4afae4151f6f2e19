"""The command `senet-data`: checks a tree of class folders, or shows what a training sees of it.

It changes no image, and loads torch for `show` alone.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from senet_train.commands.command_line import (
    Parser,
    at_least_one,
    command,
    refuse_file,
    write_then_print,
)
from senet_train.commands.data_check.findings import Finding, to_exclude
from senet_train.data.exclusions import exclusion_text
from senet_train.data.layout import find_layout
from senet_train.errors import InputError, counted
from senet_train.system.console import say
from senet_train.system.files import write_atomic, write_text
from senet_train.system.resources import usable_cores

DESCRIPTION = "Check the images of data=imagenet_subset, or show them as a network gets them."
CHECK = """Decode every image below PATH as training would and list what is wrong: damaged files,
test images that are in training too, copies, classes that one part lacks, broken links. Results are
cached, so that the next check decodes only files whose size or time has changed. Exit codes: 0
nothing to do, 1 something is to be excluded or mended, 2 bad input."""
EXAMPLE = "Example: senet-data check photos --exclude excluded.txt"
SHOW = """Draw the first training images of an epoch on one sheet, as the network gets them:
cropped, augmented and mixed as SETTING says, with the labels that they then have. Options stand
before PATH or behind the settings. Exit codes: 0 done, 1 an image cannot be read, 2 bad input."""
SHOW_EXAMPLE = "Example: senet-data show photos data.augment=strong data.image_size=128"


# How a file begins that an earlier check wrote and this one may overwrite.
BEGINNINGS = {
    "sheet": b"\x89PNG\r\n",
    "exclude": b"# Images to leave out",
    "out": b"kind,remedy,",
    "cache": b'{"schema":',
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Raises InputError."""
    parser = Parser(prog="senet-data", description=DESCRIPTION, epilog=EXAMPLE)
    commands = parser.add_subparsers(required=True, metavar="check|show")
    checking = commands.add_parser(
        "check", help="decode all, list what is wrong", description=CHECK, epilog=EXAMPLE
    )
    checking.add_argument(
        "path",
        type=Path,
        metavar="PATH",
        help="the folder of the class folders, or of train/, val/ and test/",
    )
    checking.add_argument(
        "--exclude",
        type=Path,
        metavar="FILE",
        help="write the files to leave out there, for data.exclude=FILE",
    )
    checking.add_argument(
        "--out", type=Path, metavar="FILE.csv", help="write every finding there, a row each"
    )
    checking.add_argument(
        "--jobs",
        type=at_least_one,
        default=usable_cores(),
        help="processes (default: one for each core)",
    )
    checking.add_argument(
        "--cache",
        type=Path,
        metavar="FILE",
        help="results of earlier checks (default: PATH/.senet-data.json)",
    )
    checking.add_argument(
        "--fresh", action="store_true", help="decode every file, without the cache"
    )
    checking.set_defaults(run=check)
    add_show(
        commands.add_parser("show", help="draw a sheet", description=SHOW, epilog=SHOW_EXAMPLE)
    )
    return parser.parse_args(list(argv))


def add_show(showing: argparse.ArgumentParser) -> None:
    """The arguments of `show`."""
    showing.add_argument("path", type=Path, metavar="PATH", help="the folder, as of check")
    showing.add_argument(
        "settings", nargs="*", metavar="SETTING", help="as of senet-train, such as data.mixup=0.2"
    )
    showing.add_argument(
        "--out", type=Path, metavar="FILE.png", default=Path("sheet.png"), help="default: sheet.png"
    )
    showing.add_argument("--epoch", type=from_zero, default=0, metavar="N", help="default: 0")
    showing.add_argument(
        "--images", type=at_least_one, default=32, metavar="N", help="at most (default: 32)"
    )
    showing.set_defaults(run=show)


def from_zero(text: str) -> int:
    """A number of an epoch, for `type=`. Raises ArgumentTypeError for anything else."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no epoch: choose 0 or more")
    return int(text)


def show(arguments: argparse.Namespace) -> int:
    """Draw the sheet; the exit code. Raises InputError before an image is read."""
    base = arguments.path.expanduser()
    find_layout(base, "PATH")
    refuse_file(arguments.out, "--out", BEGINNINGS["sheet"])
    from senet_train.commands.data_show.sheet import draw_sheet
    from senet_train.config.compose import composed

    config = composed(["data=imagenet_subset", *arguments.settings, f"data.root={base}"])
    sheet = draw_sheet(config, arguments.epoch, arguments.images)
    write_atomic(arguments.out, lambda file: sheet.save(file, "PNG"))
    say(f"{arguments.out}: training images of epoch {arguments.epoch}, seed {config.seed}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Check, write, print; the exit code. Raises InputError before anything is decoded."""
    from senet_train.commands.data_check.decode_cache import NAME
    from senet_train.commands.data_check.inspect_tree import inspect_tree
    from senet_train.commands.data_check.report import summary_lines

    base = arguments.path.expanduser()
    layout = find_layout(base, "PATH")
    for option in ("exclude", "out", "cache"):
        if getattr(arguments, option) is not None:
            refuse_file(getattr(arguments, option), f"--{option}", BEGINNINGS[option])
    cache = arguments.cache or base / NAME
    found = inspect_tree(layout, cache, num_jobs=arguments.jobs, fresh=arguments.fresh)
    if found.cache_error:
        say(
            f"{cache} cannot be written ({found.cache_error}): the next check decodes all again, "
            "unless --cache FILE names another place",
            to_error=True,
        )
    write_then_print(
        lambda: write_files(found.findings, arguments.out, arguments.exclude),
        lambda: say(*summary_lines(found, layout)),
    )
    return 0 if all(finding.remedy == "note" for finding in found.findings) else 1


def write_files(findings: Sequence[Finding], out: Path | None, excluded: Path | None) -> list[str]:
    """What --out and --exclude ask for; lines on them. Raises InputError, OSError."""
    from senet_train.commands.data_check.report import write_csv

    lines = []
    if out is not None:
        write_csv(findings, out)
        lines += ["", f"every finding: {out}"]
    if excluded is not None:
        lines += ["", exclude(findings, excluded)]
    return lines


def exclude(findings: Sequence[Finding], file: Path) -> str:
    """Write the list of exclusions; a line on it. Raises InputError for another content."""
    reasons = to_exclude(findings)
    text = exclusion_text(reasons.items())
    if file.exists() and file.read_bytes() != text.encode():
        raise InputError(
            f"--exclude {file} exists and holds something else: remove it, or name another file"
        )
    write_text(file, text)
    return f"{counted(len(reasons), 'file')} to leave out: senet-train data.exclude={file}"


main = command(parse, lambda found: int(found.run(found)), kept="what was decoded is kept")
