"""The tables of a block as texts, for the terminal and every file alike."""

import math
from dataclasses import dataclass

from senet_train.compare.comparison import Arm, Block
from senet_train.compare.render.cells import (
    NOTHING,
    arm_names,
    counted,
    decimals,
    interval,
    mean_and_sd,
    p_value,
    percent,
    share,
    signed,
    signed_interval,
    spread,
)
from senet_train.compare.statistics.difference import Difference, Verdict

VERDICT = "verdict"  # the name of the column that holds one
VERDICT_NAMES: dict[Verdict, str] = {
    "better": "better",
    "worse": "worse",
    "equivalent": "equivalent",
    "undecided": "undecided",
    "withheld": "withheld",
    "silent": "no verdict",
}


@dataclass(frozen=True)
class Sheet:
    """A table of texts. Its first `num_words` columns are words, the rest figures.

    `about` says in a few words what it holds. `leaves` names the columns that a narrow terminal
    leaves out, the first of them first; without it columns leave from the right, and the words and
    the first figure stay.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    num_words: int = 1
    footnote: str = ""
    about: str = ""
    leaves: tuple[str, ...] = ()

    def is_word(self, column: int) -> bool:
        """Whether a column holds words, which stand to the left."""
        return column < self.num_words or self.columns[column] == VERDICT

    def leaving(self) -> list[int]:
        """The columns that may be left out, the first to leave first."""
        if self.leaves:
            return [self.columns.index(name) for name in self.leaves if name in self.columns]
        return list(reversed(range(self.num_words + 1, len(self.columns))))


def sheets_of(block: Block) -> list[Sheet]:
    """Means, costs, speeds, gates and p-values: the tables that have rows."""
    sheets = [
        accuracy_sheet(block),
        cost_sheet(block),
        speed_sheet(block),
        excitation_sheet(block),
        difference_sheet(block),
    ]
    return [sheet for sheet in sheets if sheet.rows]


def accuracy_sheet(block: Block) -> Sheet:
    """Test and validation scores, and how much the best epoch is above the last."""
    rows = [
        [
            name,
            str(len(arm.seeds)),
            mean_and_sd(arm.test),
            interval(arm.test.low, arm.test.high),
            *validation_cells(arm),
        ]
        for name, arm in zip(arm_names(block), block.arms, strict=True)
    ]
    score, validated = block.score.title, any(arm.val for arm in block.arms)
    chosen = block.epoch_by or score
    best = f", at the epoch of the highest validation {chosen}," if validated else ""
    last = f" best - last: that epoch's validation {score} less the last epoch's."
    validation = (f"val {score} %", "best - last") if validated else ()
    return Sheet(
        "How good?",
        ["arm", "n", f"test {score} %", "95 % interval", *validation],
        rows,
        footnote=f"The first arm is the control. Mean +- standard deviation over n seeds{best} and "
        f"the t-interval of the mean.{last if validated else ''}",
        about="the mean of every arm over its seeds",
        leaves=("best - last", f"val {score} %", "95 % interval", "n"),
    )


def validation_cells(arm: Arm) -> list[str]:
    """An arm's validation score at the best epoch, and above the last; none without validation."""
    if arm.val is None or arm.val_last is None:
        return []
    return [mean_and_sd(arm.val), signed(arm.val.mean - arm.val_last.mean)]


# What a narrow terminal leaves out of the table of differences: p-values first.
LEAVING = (
    *("pooled p", "look", "paired p", "p at most", "TOST p", "Holm p"),
    *("on new images", "n", "95 % interval"),
)


def difference_sheet(block: Block) -> Sheet:
    """Every arm but the control: the difference, the interval on new images, the p-values."""
    resampled = any(arm.new_images for arm in block.arms)
    rows = [
        difference_row(name, arm, arm.difference, with_new_images=resampled)
        for name, arm in zip(arm_names(block), block.arms, strict=True)
        if arm.difference
    ]
    columns = ["arm", "n", "look", "points", "95 % interval"]
    columns += ["on new images"] if resampled else []
    images = "interval on new images (images and seeds resampled) and the " if resampled else ""
    return Sheet(
        "Against the control",
        [*columns, "Holm p", "TOST p", "p at most", "paired p", "pooled p"],
        rows,
        footnote=f"Points of test {block.score.title} less the control's, paired by the n shared "
        "seeds; 95 % t-interval. A verdict needs Holm p (no difference) or TOST p (a difference of "
        "the margin or more), both Holm-adjusted, to be at most the error of the look (p at most); "
        "shown is the look that settled the arm, or the last that it has reached. The "
        f"{images}paired p (not adjusted) {'give' if resampled else 'gives'} none.",
        about="intervals and p-values",
        leaves=LEAVING,
    )


def difference_row(name: str, arm: Arm, found: Difference, *, with_new_images: bool) -> list[str]:
    """A row of the difference sheet."""
    return [
        name,
        str(found.num_seeds),
        str(found.look) if found.look else NOTHING,
        signed(found.difference),
        signed_interval(found.low, found.high),
        *([signed_interval(*(arm.new_images or (None, None)))] if with_new_images else []),
        p_value(found.p),
        p_value(found.p_equivalence),
        f"{found.error:g}" if found.look else NOTHING,
        p_value(found.paired_p),
        p_value(found.pooled_p),
    ]


def cost_sheet(block: Block) -> Sheet:
    """Parameters and multiply-adds, and attention's part of both; no row where none is known."""
    rows = [
        [
            name,
            counted(cost.parameters),
            counted(cost.attention_parameters),
            share(cost.attention_parameters, cost.parameters),
            counted(cost.multiply_adds),
            counted(cost.attention_multiply_adds),
            share(cost.attention_multiply_adds, cost.multiply_adds),
        ]
        for name, cost in zip(arm_names(block), block.costs, strict=False)
    ]
    attention = ["attention's", "share"]
    return Sheet(
        "At what cost?",
        ["arm", "parameters", *attention, "multiply-adds", *attention],
        rows,
        footnote="Counted, for one image.",
        about="parameters and multiply-adds",
    )


def speed_sheet(block: Block) -> Sheet:
    """Measured speed in training and inference; no row where none is known."""
    batches = sorted({size for cost in block.costs for size in cost.inference_ms}, key=int)
    rows = []
    for name, cost in zip(arm_names(block), block.costs, strict=False):
        mark = "*" if cost.shared_machine else ""
        milliseconds = [spread(cost.inference_ms.get(size), 2, mark) for size in batches]
        rows.append([name, spread(cost.images_per_second, 0, mark), *milliseconds])
    shared = any(cost.shared_machine for cost in block.costs)
    return Sheet(
        "How fast?",
        ["arm", "training, images/s", *(f"inference of {size}, ms" for size in batches)],
        rows,
        footnote="Median (lower to upper quartile)."
        + (" * Runs shared the machine: the speed is not the arm's own." if shared else ""),
        about="training and inference",
    )


def excitation_sheet(block: Block) -> Sheet:
    """What senet-inspect measured, for the arms that were inspected."""
    rows = [
        [
            name,
            str(found.stage),
            str(found.num_runs),
            decimals(found.mean),
            decimals(found.sd_over_images),
            percent(found.constant),
            percent(found.between),
            NOTHING if math.isnan(found.held) else signed(found.held),
        ]
        for name, arm in zip(arm_names(block), block.arms, strict=True)
        for found in arm.excitations
    ]
    return Sheet(
        "What do its excitations do?",
        ["arm", "stage", "n", "gate", "sd over images", "constant", "between classes", "held"],
        rows,
        footnote="Of the n runs that senet-inspect has looked at, means over a stage's layers. "
        "gate: mean. constant: channels whose gate is the same for every image. between classes: "
        "share of the variance over images. held: points of top-1 lost with the stage's gates held "
        "at their means.",
        about="the gates that senet-inspect looked at",
    )
