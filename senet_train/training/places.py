"""What a run is and where it lies: one place, or all that it may have where others make it."""

from dataclasses import dataclass, replace
from pathlib import Path

from senet_train.config.schema import PRECISIONS, Config, Precision
from senet_train.data.images import Source
from senet_train.errors import InputError
from senet_train.runs.folder import RunFolder
from senet_train.runs.identity import Identity, identify
from senet_train.runs.study_plan import read_reference


@dataclass(frozen=True)
class Place:
    """What a run is, and where it lies."""

    identity: Identity
    folder: RunFolder

    def at_seed(self, seed: int) -> "Place":
        """The same arm at another seed."""
        return replace(self, folder=replace(self.folder, seed=seed))

    def was_made_as(self, open_arm: str) -> bool:
        """Whether its run was begun with the precision `auto`, when the arm was called so."""
        try:
            return read_reference(self.folder.path).arm == open_arm
        except InputError:  # it is damaged: whoever needs it says so
            return False


def places_of(config: Config, source: Source, label: str) -> tuple[Place, ...]:
    """The place of a run. While its precision is `auto`, there is one for each that it may become.

    The first of several is that of `auto` itself, where nothing is ever made.
    """
    first = place_of(config, source, label)
    if config.trainer.precision != "auto":
        return (first,)
    chosen = (with_precision(config, precision) for precision in PRECISIONS)
    return (first, *(place_of(one, source, label) for one in chosen))


def open_arm_of(asked: Config, source: Source, label: str) -> str:
    """The name of the arm with the precision `auto`, "" where another was asked for."""
    auto = asked.trainer.precision == "auto"
    return identify(asked, source.fingerprint, label).arm if auto else ""


def with_precision(config: Config, precision: Precision) -> Config:
    """The same configuration in another precision."""
    return replace(config, trainer=replace(config.trainer, precision=precision))


def place_of(config: Config, source: Source, label: str) -> Place:
    """The identity of the run, and its folder.

    They are those of a run that was made before contents were part of the identity, if there is a
    finished one of these words and not one of these contents.
    """
    output_dir = Path(config.output_dir).expanduser()
    places = []
    for fingerprint in filter(None, (source.fingerprint, source.earlier_fingerprint)):
        identity = identify(config, fingerprint, label)
        folder = RunFolder(output_dir, config.data.source.name, identity.arm, config.seed)
        places.append(Place(identity, folder))
    now, earlier = places[0], places[-1]
    found = earlier.folder.finished and not now.folder.path.exists() and not config.overwrite
    return earlier if found else now
