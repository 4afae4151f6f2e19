"""The command `senet-export`: a run in, one file that needs none of our code and a card out."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from senet_train.commands.command_line import Parser, add_run, command, refuse_folder
from senet_train.errors import InputError
from senet_train.runs.inputs import find_run
from senet_train.system.console import say
from senet_train.system.file_names import possible
from senet_train.system.files import write_atomic, write_text

DESCRIPTION = """Write a trained run as one file, pixels in and probabilities out: normalisation and
class names inside, BatchNorm folded, any batch size, compared with the run before it is written.
A model card is written beside it. Exit codes: 0 done, 1 the file does not say what the run says
(nothing is written), 2 bad input."""
EXAMPLE = "Example: senet-export outputs/digits/se_resnet18-r16-36a65738/seed0 --format onnx"


@dataclass(frozen=True)
class Format:
    """A file's suffix, and the packages of the extra `export` that it needs."""

    suffix: str
    needs: tuple[str, ...]


# What `--format` may say; `ENCODERS` in encoders.py writes them.
FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime")),
    "torch-export": Format(".pt2", ()),
    "safetensors": Format(".safetensors", ("safetensors",)),
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Raises InputError."""
    parser = Parser(prog="senet-export", description=DESCRIPTION, epilog=EXAMPLE)
    add_run(parser)
    parser.add_argument(
        "--format",
        action="append",
        required=True,
        choices=list(FORMATS),
        help="what to write; may be repeated",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="PATH",
        help="a folder, or a file with the format's suffix (default: LABEL.* in this folder)",
    )
    parser.add_argument(
        "--tolerance",
        type=tolerance,
        default=1e-4,
        metavar="T",
        help="the largest difference of a logit from the run's (default: %(default)s)",
    )
    return parser.parse_args(list(argv))


def refuse_missing(name: str) -> None:
    """Raises InputError where a package that the format needs is not installed."""
    missing = [package for package in FORMATS[name].needs if find_spec(package) is None]
    if missing:
        raise InputError(
            f"senet-export --format {name} needs {', '.join(missing)}: "
            "pip install 'senet-train[export]'"
        )


def tolerance(text: str) -> float:
    """The largest difference allowed, a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no tolerance: choose a number above 0")
    return value


def export(arguments: argparse.Namespace) -> int:
    """Load, encode, compare, write; the exit code. Raises RunError before anything is written."""
    formats = list(dict.fromkeys(arguments.format))
    for name in formats:
        refuse_missing(name)
    find_run(arguments.run)
    from senet_train.commands.export.card import card
    from senet_train.commands.export.check import encode_and_check
    from senet_train.commands.export.verdict import verdict_of
    from senet_train.runs.trained.load import load_run

    run = load_run(arguments.run)
    *files, card_file = output_files(arguments.out, run.label, formats)
    contents, lines = encode_and_check(run, formats, arguments.tolerance)
    named = [(name, file.name) for name, file in zip(formats, files, strict=True)]
    text = card(run, verdict_of(run), named)
    card_file.parent.mkdir(parents=True, exist_ok=True)
    for file, content in zip(files, contents, strict=True):
        write_bytes(file, content)
        lines.append(f"{file}: {len(content):,} bytes")
    write_text(card_file, text)
    say(*lines, str(card_file))  # when all is written: a reader that has gone ends the command
    return 0


def write_bytes(file: Path, content: bytes) -> None:
    """Write the file whole or not at all. Raises OSError."""
    write_atomic(file, lambda opened: opened.write(content))


def output_files(out: Path, label: str, formats: Sequence[str]) -> list[Path]:
    """Each format's file, then the card. Raises InputError for one that is there: none is replaced.

    `out` is a file if it has the suffix of a format.
    """
    out = out.expanduser()
    suffixes = [FORMATS[name].suffix for name in formats]
    folder, stem = out, possible(label)
    if out.suffix in {known.suffix for known in FORMATS.values()}:
        if [out.suffix] != suffixes:
            raise InputError(f"--out {out} is not named {' and '.join(suffixes)}: give a folder")
        folder, stem = out.parent, out.stem
    refuse_folder(folder, "--out")
    files = [folder / f"{stem}{suffix}" for suffix in (*suffixes, ".md")]
    for file in files:
        if file.exists() or file.is_symlink():
            raise InputError(f"{file} is there and is not replaced: remove it, or choose --out")
    return files


main = command(parse, export)
