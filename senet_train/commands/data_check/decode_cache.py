"""Results of earlier checks: a file of the same path, size and mtime is not decoded again."""

import json
from dataclasses import astuple
from pathlib import Path

from PIL import __version__ as pillow_version
from pydantic import TypeAdapter, ValidationError

from senet_train.commands.data_check.decode import DecodeResult
from senet_train.commands.data_check.findings import KINDS
from senet_train.commands.data_check.survey import ImageFile
from senet_train.system.files import path_as_text, path_from_text, write_text
from senet_train.system.foreign_files import CACHE, read_json

SCHEMA = 2
NAME = ".senet-data.json"  # beside train/: it belongs to the tree, and training does not look there


# These faults may be gone at the next check though the file has not changed.
NOT_KEPT = ("not opened", "ends its decoder")


# path, size and mtime_ns of a file, then the fields of its result
Row = tuple[str, int, int, str, str, str, str, tuple[tuple[str, str], ...]]
ROWS = TypeAdapter(list[Row])


def read_cache(file: Path) -> dict[ImageFile, DecodeResult]:
    """The results in a cache file; none if it is missing, damaged, or of another Pillow version."""
    try:
        content = read_json(file, CACHE)
        if [content["schema"], content["pillow"]] != [SCHEMA, pillow_version]:
            return {}
        rows = ROWS.validate_json(json.dumps(content["files"]), strict=True)
        refuse_foreign(rows)  # the tree, and this file in it, may be anybody's
        return {
            ImageFile(path_from_text(row[0]), *row[1:3]): DecodeResult(*row[3:]) for row in rows
        }
    except (FileNotFoundError, ValueError, TypeError, KeyError, ValidationError):
        return {}  # everything is decoded again


def refuse_foreign(rows: list[Row]) -> None:
    """Raises ValueError for a result that this program cannot have written."""
    for *_, fault, detail, mode, pixels, notes in rows:
        kinds, details = {fault, *dict(notes)}, "".join([detail, *dict(notes).values()])
        if not kinds <= {"", *KINDS} or not f"{details}{mode}{pixels}".isprintable():
            raise ValueError("not ours")


def write_cache(file: Path, results: dict[ImageFile, DecodeResult]) -> None:
    """Write the results to the cache file. Raises OSError where the folder cannot be written."""
    rows = [
        [path_as_text(image.path), image.size, image.mtime_ns, *astuple(result)]
        for image, result in sorted(results.items(), key=lambda item: item[0].path)
        if result.fault not in NOT_KEPT
    ]
    lines = ",\n".join(json.dumps(row) for row in rows)
    head = f'{{"schema": {SCHEMA}, "pillow": {json.dumps(pillow_version)}, "files": [\n'
    write_text(file, f"{head}{lines}\n]}}\n")
