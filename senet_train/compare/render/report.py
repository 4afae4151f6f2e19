"""A comparison in words and tables of words, for every renderer alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from senet_train.compare.comparison import Block, Comparison, LeftOut
from senet_train.compare.render.basis import in_a_line
from senet_train.compare.render.cells import arm_names, not_shared, seed_list, shared_by_all
from senet_train.compare.render.sheets import Sheet, sheets_of
from senet_train.compare.render.verdicts import (
    VerdictLine,
    answer,
    verdict_lines,
    verdict_sheet,
)

FEW_SEEDS = 3


@dataclass(frozen=True)
class Line:
    """A line of a list; `arm` is whom it is about, if it is about one."""

    words: str
    arm: str = ""

    def __str__(self) -> str:
        return f"{self.arm}: {self.words}" if self.arm else self.words


@dataclass(frozen=True)
class LinesUnderHeading:
    """Lines under a heading."""

    heading: str
    lines: list[Line]


@dataclass(frozen=True)
class Section:
    """One block in words and tables. With an answer that comes first, and the tables are details.

    `verdicts` has a line for each row of `verdict_sheet`.
    """

    title: str
    differ: str
    common: str
    sheets: list[Sheet]
    listings: list[LinesUnderHeading]
    varied: str = ""
    answer: str = ""
    verdict_sheet: Sheet | None = None
    verdicts: list[VerdictLine] = field(default_factory=list)

    @property
    def in_words(self) -> list[VerdictLine]:
        """The verdicts whose words say more than their name."""
        return [line for line in self.verdicts if line.says_more]


@dataclass(frozen=True)
class Report:
    """The whole comparison: `opening` comes before the sections, `left_out` after them."""

    opening: list[str]
    sections: list[Section]
    left_out: list[Line]


def report_of(comparison: Comparison) -> Report:
    """Put the comparison into words."""
    return Report(
        opening=opening(comparison),
        sections=[section(block) for block in comparison.blocks],
        left_out=left_out_lines(comparison.left_out),
    )


def left_out_lines(runs: Sequence[LeftOut]) -> list[Line]:
    """Each run that is not compared, and why."""
    return [Line(f"{run.path}: {run.reason}") for run in runs]


def opening(comparison: Comparison) -> list[str]:
    """Warnings that a reader needs before any table."""
    lines = []
    if few_seeds(comparison):
        lines.append(
            f"{FEW_SEEDS} seeds or fewer mostly end in 'undecided' or no verdict: "
            "only differences many times the noise can show. Train 5 or more."
        )
    lines += comparison.caveats
    if comparison.allowed:
        keys = ", ".join(comparison.allowed)
        lines.append(
            f"Runs may differ in {keys}, as asked: differences between arms may come from there."
        )
    return lines


def few_seeds(comparison: Comparison) -> bool:
    """Whether an arm is compared on three seeds or fewer."""
    found = [arm.difference for block in comparison.blocks for arm in block.arms]
    return any(difference.num_seeds <= FEW_SEEDS for difference in found if difference)


def section(block: Block) -> Section:
    """One block in words."""
    lines = verdict_lines(block)
    return Section(
        title=block.title,
        differ=f"arms differ only in: {', '.join(block.differ_in) or 'nothing'}",
        common=shared_by_all(block),
        varied=f"not shared: {varied}" if (varied := not_shared(block)) else "",
        sheets=sheets_of(block),
        listings=listings(block),
        answer=answer(block),
        verdict_sheet=verdict_sheet(block) if lines else None,
        verdicts=lines,
    )


def listings(block: Block) -> list[LinesUnderHeading]:
    """What judged the arms, missing seeds, notes and the paper's figures, where there are any."""
    arms = list(zip(arm_names(block), block.arms, strict=True))
    missing = [Line(seed_list(a.missing_seeds), name) for name, a in arms if a.missing_seeds]
    paper = [Line(arm.paper, name) for name, arm in arms if arm.paper]
    found = [
        LinesUnderHeading("Judged by", [Line(in_a_line(b, block)) for b in block.judged_by]),
        LinesUnderHeading("Missing seeds", missing),
        LinesUnderHeading("Notes", [Line(note) for note in block.notes]),
        LinesUnderHeading("The paper's figures", paper),
    ]
    return [listing for listing in found if listing.lines]
