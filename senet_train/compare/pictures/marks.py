"""Marks of the verdicts."""

from typing import NamedTuple

from senet_train.compare.statistics.verdict import Verdict
from senet_train.figures import BLUE, GREEN, GREY, ORANGE, PAPER


class Mark(NamedTuple):
    """A marker: its shape, its colour, and whether it is filled."""

    shape: str
    colour: str
    filled: bool

    @property
    def face(self) -> str:
        """The inside."""
        return self.colour if self.filled else PAPER


VERDICT_MARKS: dict[Verdict, Mark] = {
    "better": Mark("^", BLUE, True),
    "worse": Mark("v", ORANGE, True),
    "equivalent": Mark("s", GREEN, True),
    "undecided": Mark("o", GREY, False),
    "silent": Mark("X", GREY, True),
}
