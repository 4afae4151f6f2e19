"""What the rest of the program asks of a task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from senet_train.backbones.slots import Backbone
from senet_train.config import Choice, Config
from senet_train.data.images import Source
from senet_train.journal import Journal
from senet_train.learner import Learner


class BindNetwork(Protocol):
    """The constructor of the network that a choice names, and the choice with defaults."""

    def __call__(
        self, choice: Choice, *, weights_to_come: bool = False
    ) -> tuple[partial[Backbone], Choice]:
        """Raises InputError."""
        ...


@dataclass(frozen=True)
class Task:
    """One kind of question to a network.

    `sources` is what `data.name` may say, `refuse` raises InputError for a configuration that the
    task cannot follow, `keep` writes what the best epoch said of the test set into the run folder
    and the journal. `packages` are those besides the usual whose versions a run depends on.
    """

    name: str
    bind_network: BindNetwork
    sources: Mapping[str, Callable[..., Source]]
    learner: type[Learner]
    refuse: Callable[[Config], None]
    keep: Callable[[Any, Path, Journal, Any, Sequence[str], int], None]
    packages: tuple[str, ...] = ()
