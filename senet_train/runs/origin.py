"""`origin.json`: the shorter run that a run has gone on from, in the folder of the longer one."""

from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from senet_train.runs.metrics import EXACT
from senet_train.system.files import write_json
from senet_train.system.foreign_files import SMALL, BadFile, read_json

ORIGIN_FILE = "origin.json"


@dataclass(frozen=True, config=EXACT)
class Origin:
    """The finished run whose epochs are the first of this one; empty for one that began itself.

    The run had the same seed, and the rates that this one has at each of those steps.
    """

    arm: str = ""
    identity: str = ""
    epochs: int = 0


def write_origin(run: Path, origin: Origin) -> None:
    """Keep in the folder of a run which one it has gone on from."""
    write_json(run / ORIGIN_FILE, asdict(origin))


def read_origin(run: Path) -> Origin:
    """Which run this one has gone on from; an empty one where there is none. Raises BadFile."""
    file = run / ORIGIN_FILE
    try:
        return TypeAdapter(Origin).validate_python(read_json(file, SMALL))
    except FileNotFoundError:
        return Origin()
    except ValidationError as error:
        raise BadFile(file, "it names no run, overwrite=true starts this one anew") from error
