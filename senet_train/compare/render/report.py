"""A comparison in words and tables of words, for every renderer alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from senet_train.compare.comparison import Block, Comparison, LeftOut
from senet_train.compare.render.cells import arm_names, not_shared, seed_list, shared_by_all
from senet_train.compare.render.sheets import Sheet, sheets_of
from senet_train.compare.statistics.difference import Verdict

FEW_SEEDS = 3


@dataclass(frozen=True)
class VerdictLine:
    """An arm's verdict and its words."""

    arm: str
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class LinesUnderHeading:
    """Lines under a heading."""

    heading: str
    lines: list[str]


@dataclass(frozen=True)
class Section:
    """One block in words and tables."""

    title: str
    differ: str
    common: str
    sheets: list[Sheet]
    verdicts: list[VerdictLine]
    listings: list[LinesUnderHeading]
    varied: str = ""


@dataclass(frozen=True)
class Report:
    """The whole comparison: `opening` comes before the sections, `left_out` after them."""

    opening: list[str]
    sections: list[Section]
    left_out: list[str]


def report_of(comparison: Comparison) -> Report:
    """Put the comparison into words."""
    return Report(
        opening=opening(comparison),
        sections=[section(block) for block in comparison.blocks],
        left_out=left_out_lines(comparison.left_out),
    )


def left_out_lines(runs: Sequence[LeftOut]) -> list[str]:
    """Each run that is not compared, and why."""
    return [f"{run.path}: {run.reason}" for run in runs]


def opening(comparison: Comparison) -> list[str]:
    """Warnings that a reader needs before any table."""
    lines = []
    if few_seeds(comparison):
        lines.append(
            f"{FEW_SEEDS} seeds or fewer mostly end in 'undecided' or no verdict: "
            "only differences many times the noise can show. Train 5 or more."
        )
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
    return Section(
        title=block.title,
        differ=f"arms differ only in: {', '.join(block.differ_in) or 'nothing'}",
        common=shared_by_all(block),
        varied=f"not shared: {varied}" if (varied := not_shared(block)) else "",
        sheets=sheets_of(block),
        verdicts=verdict_lines(block),
        listings=listings(block),
    )


def verdict_lines(block: Block) -> list[VerdictLine]:
    """Every arm's verdict; the control has none."""
    return [
        VerdictLine(name, arm.difference.verdict, arm.difference.words)
        for name, arm in zip(arm_names(block), block.arms, strict=True)
        if arm.difference
    ]


def listings(block: Block) -> list[LinesUnderHeading]:
    """Missing seeds, notes and the paper's figures, where there are any."""
    arms = list(zip(arm_names(block), block.arms, strict=True))
    missing = [f"{name}: {seed_list(a.missing_seeds)}" for name, a in arms if a.missing_seeds]
    paper = [f"{name}: {arm.paper}" for name, arm in arms if arm.paper]
    found = [
        LinesUnderHeading("Missing seeds", missing),
        LinesUnderHeading("Notes", list(block.notes)),
        LinesUnderHeading("The paper's figures", paper),
    ]
    return [listing for listing in found if listing.lines]
