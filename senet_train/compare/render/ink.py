"""Colours and marks of the pictures: Okabe and Ito's colours, and never a colour alone."""

from typing import NamedTuple

from senet_train.compare.verdict import Verdict

# The page replaces these two by its own, light or dark.
INK = "#1b1b1b"
PAPER = "#ffffff"

GREY = "#808080"
BLUE = "#0072b2"
GREEN = "#009e73"
ORANGE = "#d55e00"


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
