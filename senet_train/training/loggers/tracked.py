"""A tracker beside TensorBoard: it cannot end a training, and one run there is one run here.

`tracker.json` in the run's folder has the name of the run at the tracker: one that is stopped and
goes on is the same there.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from senet_train.errors import InputError
from senet_train.runs.metrics import EXACT
from senet_train.runs.status import State
from senet_train.system.files import write_json
from senet_train.system.foreign_files import SMALL, read_json
from senet_train.training.loggers.sink import Points, Sink

log = logging.getLogger("senet_train")

TRACKER_FILE = "tracker.json"


@dataclass(frozen=True, config=EXACT)
class Tracked:
    """The run at the tracker: the name of the logger, where it lies there, and its id."""

    logger: str
    where: str
    run_id: Annotated[str, Field(pattern=r"^[0-9a-zA-Z]{1,64}$")]


def keep_id(run: Path, tracked: Tracked) -> None:
    """Keep in the folder of a run which one it is at the tracker."""
    write_json(run / TRACKER_FILE, asdict(tracked))


def kept_id(run: Path, logger: str, where: str) -> str:
    """The id of the run at this tracker; "" where it has none, or none that can be read."""
    file = run / TRACKER_FILE
    try:
        found = TypeAdapter(Tracked).validate_python(read_json(file, SMALL))
    except FileNotFoundError:
        return ""
    except (InputError, ValidationError):
        log.warning("warning: %s cannot be read: at the tracker this is another run", file)
        return ""
    return found.run_id if (found.logger, found.where) == (logger, where) else ""


def refuse_missing(logger: str, modules: dict[str, str]) -> None:
    """Raises InputError where a module, by the package that has it, is not installed."""
    for module, package in modules.items():
        found = find_spec(module)
        if found is None or found.origin is None:  # a folder that has the package's name
            raise InputError(
                f"logger={logger} needs the package {package}: pip install 'senet-train[{logger}]'"
            )


class Unfailing(Sink):
    """A tracker whose first error is a warning: from then on the run goes on without it.

    `title` is its name in the warning, `start` opens it.
    """

    def __init__(self, title: str, start: Callable[[], Sink]) -> None:
        self.title = title
        self.sink: Sink | None = None
        self.attempt(lambda: setattr(self, "sink", start()))

    def attempt(self, do: Callable[[], None]) -> None:
        """Do it, or warn, and leave the tracker alone from then on."""
        try:
            do()
        # Trackers raise errors of their own, of their protocols, of sockets and of databases.
        except Exception as error:
            self.sink = None
            words = str(error).strip().partition("\n")[0]
            log.warning(
                "warning: %s has failed and gets no more of this run (%s: %s): training goes on, "
                "metrics.csv and TensorBoard have every epoch",
                *(self.title, type(error).__name__, words),
            )

    def write(self, points: Points, epoch: int) -> None:
        if sink := self.sink:
            self.attempt(lambda: sink.write(points, epoch))

    def write_final(self, points: Points, best_epoch: int) -> None:
        if sink := self.sink:
            self.attempt(lambda: sink.write_final(points, best_epoch))

    def close(self, state: State) -> None:
        if sink := self.sink:
            self.attempt(lambda: sink.close(state))
        self.sink = None
