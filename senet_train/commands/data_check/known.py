"""Verdicts of earlier checks: a file of the same path, size and mtime is not decoded again."""

import json
from dataclasses import astuple
from pathlib import Path

from PIL import __version__ as pillow_version
from pydantic import TypeAdapter, ValidationError

from senet_train.commands.data_check.decode import Verdict
from senet_train.commands.data_check.findings import KINDS
from senet_train.commands.data_check.survey import ImageFile
from senet_train.system.files import write_text

SCHEMA = 1
NAME = ".senet-data.json"  # beside train/: it belongs to the tree, and training does not look there


# The next check may see something else, though the file does not change.
NOT_KEPT = ("not opened", "ends its decoder")


# path, size and mtime_ns of a file, then its verdict
Row = tuple[str, int, int, str, str, str, str]
ROWS = TypeAdapter(list[Row])


def read_known(file: Path) -> dict[ImageFile, Verdict]:
    """The verdicts kept in a file: none if it is missing, damaged, or of another decoder."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if [content["schema"], content["pillow"]] != [SCHEMA, pillow_version]:
            return {}
        rows = ROWS.validate_python([tuple(row) for row in content["files"]], strict=True)
        refuse_odd(rows)  # the tree, and this file in it, may come from a stranger
    except (OSError, ValueError, TypeError, KeyError, ValidationError):
        return {}  # all of it can be found again
    return {ImageFile(*row[:3]): Verdict(*row[3:]) for row in rows}


def refuse_odd(rows: list[Row]) -> None:
    """Raises ValueError for a verdict that this program never wrote."""
    for *_, fault, detail, mode, pixels in rows:
        if fault not in ("", *KINDS) or not f"{detail}{mode}{pixels}".isprintable():
            raise ValueError("not ours")


def write_known(file: Path, known: dict[ImageFile, Verdict]) -> None:
    """Keep the verdicts. Raises OSError where the folder cannot be written."""
    rows = [
        [*astuple(image), *astuple(verdict)]
        for image, verdict in sorted(known.items(), key=lambda item: item[0].path)
        if verdict.fault not in NOT_KEPT
    ]
    lines = ",\n".join(json.dumps(row) for row in rows)
    head = f'{{"schema": {SCHEMA}, "pillow": {json.dumps(pillow_version)}, "files": [\n'
    write_text(file, f"{head}{lines}\n]}}\n")
