"""What comes first of a block: its question and answer, and a line for every arm's verdict."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from senet_train.compare.comparison import Arm, ArmCost, Block
from senet_train.compare.render.cells import (
    NOTHING,
    arm_names,
    change,
    signed,
    signed_interval,
)
from senet_train.compare.render.sheets import VERDICT, VERDICT_NAMES, Sheet
from senet_train.compare.statistics.difference import Difference, Verdict
from senet_train.errors import counted
from senet_train.runs.metrics import TOP1

LONGEST_NAME = 40  # characters, of an arm in a sentence


@dataclass(frozen=True)
class VerdictLine:
    """An arm's verdict and its words."""

    arm: str
    verdict: Verdict
    words: str

    @property
    def says_more(self) -> bool:
        """Whether the words say more than the verdict's name."""
        return self.words != VERDICT_NAMES[self.verdict]


def verdict_lines(block: Block) -> list[VerdictLine]:
    """Every arm's verdict; the control has none."""
    return [
        VerdictLine(
            name,
            arm.difference.verdict,
            "; ".join([verdict_words(arm, block), *arm.difference.advice]),
        )
        for name, arm in zip(arm_names(block), block.arms, strict=True)
        if arm.difference
    ]


def verdict_words(arm: Arm, block: Block) -> str:
    """The verdict on an arm, and what its test images leave open; "" of the control."""
    if arm.difference is None:
        return ""
    return arm.difference.words + left_open(arm, block)


def left_open(arm: Arm, block: Block) -> str:
    """`; this holds for these 30 test images: ...`; "" where new images change no verdict."""
    if arm.new_images is None or not of_these_images_alone(arm):
        return ""
    low, high = map(signed, arm.new_images)
    return (
        f"; this holds for {these_images(block)}: on new ones the difference is between "
        f"{low} and {high} points (95 %), and more test images would tell"
    )


def of_these_images_alone(arm: Arm) -> bool:
    """Whether an arm is better or worse, and other images of the same kind may say the opposite.

    A verdict is about new seeds on the same test images; the interval over resampled images then
    has both signs.
    """
    if arm.difference is None or arm.difference.verdict not in ("better", "worse"):
        return False
    return arm.new_images is not None and arm.new_images[0] <= 0 <= arm.new_images[1]


def these_images(block: Block) -> str:
    """`these 30 test images`; without the number where it is not known."""
    if not block.test_images:
        return "these test images"
    return f"these {counted(block.test_images, 'test image')}"


def answer(block: Block) -> str:
    """`Which of 4 arms beat resnet20? se_resnet20-r4 is better, 3 are undecided.`"""
    lines = verdict_lines(block)
    control = the_control(block)
    if not lines:
        return f"There is no arm to compare with {control}."
    where = f"on {these_images(block)}" if any(map(of_these_images_alone, block.arms)) else ""
    if len(lines) == 1:
        said = {"better": "Yes, it is better", "worse": "No, it is worse"}
        only = said.get(lines[0].verdict, f"It {state(lines[0].verdict, 1)}")
        question = f"Does {named(lines[0].arm, 'the arm')} beat {control}?"
        return f"{question} {only}{where and f' {where}'}."
    question = f"Which of {len(lines)} arms beat {control}?"
    return f"{question} {counted_verdicts(lines)}{where and f', {where}'}."


def counted_verdicts(lines: Sequence[VerdictLine]) -> str:
    """`se_resnet20-r4 is better, 3 are undecided`; `All 4 are undecided`."""
    arms: dict[Verdict, list[str]] = defaultdict(list)
    for line in lines:
        arms[line.verdict].append(named(line.arm, "1"))
    given = [verdict for verdict in VERDICT_NAMES if arms[verdict]]
    if len(given) == 1:
        every = "Both" if len(lines) == 2 else f"All {len(lines)}"
        return f"{every} {state(given[0], len(lines))}"
    who = {v: arms[v][0] if len(arms[v]) == 1 else str(len(arms[v])) for v in given}
    return ", ".join(f"{who[verdict]} {state(verdict, len(arms[verdict]))}" for verdict in given)


def state(verdict: Verdict, count: int) -> str:
    """`is better`, `are undecided`, `have no verdict`."""
    verb = ("has", "have") if verdict == "silent" else ("is", "are")
    return f"{verb[count > 1]} {VERDICT_NAMES[verdict]}"


def the_control(block: Block) -> str:
    """The control, by its name where that is short."""
    return named(arm_names(block)[0], "the control")


def named(name: str, otherwise: str) -> str:
    """The name, where it is short enough for a sentence."""
    return name if cell_len(name) <= LONGEST_NAME else otherwise


def verdict_sheet(block: Block) -> Sheet:
    """A row for every arm but the control: difference, verdict, seeds, cost against the control."""
    costs = block.costs
    rows = [
        verdict_row(name, arm, arm.difference) + (cost_cells(costs[i], costs[0]) if costs else [])
        for i, (name, arm) in enumerate(zip(arm_names(block), block.arms, strict=True))
        if arm.difference
    ]
    return Sheet(
        "Verdicts",
        ["arm", "points (95 % interval)", VERDICT, "seeds", *(ABOVE_CONTROL if costs else ())],
        rows,
        footnote=f"Points of test {block.score.title} above {the_control(block)}"
        f"{on_images(block)}. seeds: finished, of those asked for.{about_costs(costs)}",
        leaves=("mult-adds", "time", "params", "seeds"),
    )


ABOVE_CONTROL = ("params", "mult-adds", "time")


def on_images(block: Block) -> str:
    """`, on 359 images: one is 0.28 points`; "" where their number is not known."""
    if not block.test_images:
        return ""
    one = f": one is {100 / block.test_images:.2g} points" if block.score == TOP1 else ""
    return f", on {block.test_images:,} images{one}"


def about_costs(costs: Sequence[ArmCost]) -> str:
    """The end of the footnote, where costs are shown."""
    if not costs:
        return ""
    shared = any(cost.shared_machine for cost in costs)
    return " params, mult-adds, time (of training): above the control's." + (
        " * Runs shared the machine: the time is not the arm's own." if shared else ""
    )


def verdict_row(name: str, arm: Arm, found: Difference) -> list[str]:
    """A row of the verdict sheet, without costs."""
    return [
        name,
        difference_and_interval(found),
        VERDICT_NAMES[found.verdict],
        f"{len(arm.seeds)} of {max(found.declared, len(arm.seeds) + len(arm.missing_seeds))}",
    ]


def cost_cells(cost: ArmCost, reference: ArmCost) -> list[str]:
    """What an arm costs above its control."""
    mark = "*" if cost.shared_machine or reference.shared_machine else ""
    speeds = reference.images_per_second.median, cost.images_per_second.median
    return [
        change(cost.parameters, reference.parameters),
        change(cost.multiply_adds, reference.multiply_adds),
        change(*speeds, measured=True) + mark,
    ]


def difference_and_interval(found: Difference) -> str:
    """`+0.62 (-0.40 to +1.60)`; without the interval where one seed gives none."""
    if found.difference is None:
        return NOTHING
    interval = signed_interval(found.low, found.high)
    return signed(found.difference) + (f" ({interval})" if interval != NOTHING else "")
