"""Marks of arms in pictures. One rule for all: a mark is an arm's verdict against the control.

So two arms with the same verdict have the same mark, and a mark says nothing that the verdict does
not say. How high an arm is says the axis.
"""

from typing import NamedTuple

from senet_train.compare.comparison import Arm, Block
from senet_train.compare.render.sheets import VERDICT_NAMES
from senet_train.compare.statistics.difference import Verdict
from senet_train.figures import BLUE, GREEN, GREY, INK, ORANGE, PAPER


class Mark(NamedTuple):
    """A marker: its shape, its colour, and whether it is filled."""

    shape: str
    colour: str
    filled: bool

    @property
    def face(self) -> str:
        """The colour of its inside."""
        return self.colour if self.filled else PAPER


VERDICT_MARKS: dict[Verdict, Mark] = {
    "better": Mark("^", BLUE, True),
    "worse": Mark("v", ORANGE, True),
    "equivalent": Mark("s", GREEN, True),
    "undecided": Mark("o", GREY, False),
    "withheld": Mark("P", GREY, False),
    "silent": Mark("X", GREY, False),
}
CONTROL = Mark("D", INK, True)
RULE = "A mark is the arm's verdict against the control: filled if there is one, hollow if not yet."


def mark_of(arm: Arm) -> Mark:
    """The mark of an arm's verdict; the control has its own."""
    return VERDICT_MARKS[arm.difference.verdict] if arm.difference else CONTROL


def legend_of(block: Block) -> dict[str, Mark]:
    """What each mark means, for those in the block."""
    drawn = {mark_of(arm) for arm in block.arms}
    named = {VERDICT_NAMES[verdict]: mark for verdict, mark in VERDICT_MARKS.items()}
    return {words: mark for words, mark in {"control": CONTROL, **named}.items() if mark in drawn}
