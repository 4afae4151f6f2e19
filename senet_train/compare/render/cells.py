"""Numbers as the text of a table's cells, in ASCII; the page and LaTeX typeset `+-` and `<=`."""

import math
from collections import Counter

from senet_train.compare.comparison import Block, Spread
from senet_train.compare.statistics.contrast import ArmMean


def arm_names(block: Block) -> list[str]:
    """Each arm's label and the settings of its own; with the folder where two arms share them."""
    names = [f"{a.label} ({a.settings})" if a.settings else a.label for a in block.arms]
    with_folder = [f"{arm.label} ({arm.folder})" for arm in block.arms]
    return unique_names(names, with_folder)


def unique_names(names: list[str], longer: list[str]) -> list[str]:
    """Each name, or its longer form where several have the name."""
    taken = Counter(names)
    return [name if taken[name] == 1 else long for name, long in zip(names, longer, strict=True)]


def shared_by_all(block: Block) -> str:
    """`data digits at 8 px; network resnet20; ...`: what every run has."""
    return "; ".join(f"{key} {value}" for key, value in block.common.items())


def not_shared(block: Block) -> str:
    """`optim.lr 0.05 (resnet20), 0.1 (se_resnet20-r4)`; "" where all is shared."""
    folders = [arm.folder for arm in block.arms]
    labels = unique_names([arm.label for arm in block.arms], folders)
    names = dict(zip(folders, labels, strict=True))
    return "; ".join(
        f"{key} "
        + ", ".join(f"{shortened(v, LONGEST_VALUE)} ({few(names, arms)})" for v, arms in found)
        for key, found in ((key, values.items()) for key, values in block.varied.items())
    )


LONGEST_VALUE = 40  # characters: a path, the hash of data


def few(names: dict[str, str], folders: list[str]) -> str:
    """The arms' names, or how many they are where a line would be too long."""
    return ", ".join(names[f] for f in folders) if len(folders) < 4 else f"{len(folders)} arms"


def shortened(name: str, length: int) -> str:
    """At most `length` characters: the start, which is the kind, and the end, which differs."""
    if len(name) <= length:
        return name
    end = (length - 3) // 2
    return f"{name[: length - 3 - end]}...{name[-end:]}"


NOTHING = "-"  # for a value that the runs cannot give


def mean_and_sd(arm: ArmMean) -> str:
    """`92.34 +- 0.12`; the mean alone where one run gives no spread."""
    return f"{arm.mean:.2f}" if arm.sd is None else f"{arm.mean:.2f} +- {arm.sd:.2f}"


def interval(low: float | None, high: float | None) -> str:
    """`92.10 to 92.58`."""
    return NOTHING if low is None or high is None else f"{low:.2f} to {high:.2f}"


def signed(points: float | None) -> str:
    """`+0.42`; a difference that rounds to nothing is `+0.00`."""
    return NOTHING if points is None else f"{points:+z.2f}"


def signed_interval(low: float | None, high: float | None) -> str:
    """`-0.10 to +0.94`."""
    return NOTHING if low is None or high is None else f"{signed(low)} to {signed(high)}"


def p_value(p: float | None) -> str:
    """Four decimals, or `<0.0001`."""
    if p is None:
        return NOTHING
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def counted(count: int) -> str:
    """`272,474`."""
    return f"{count:,}"


def share(part: int, whole: int) -> str:
    """`0.42 %`; `-` where the whole is 0."""
    return f"{100 * part / whole:.2f} %" if whole else NOTHING


def change(value: float, reference: float, *, measured: bool = False) -> str:
    """`+12 %`, `+0.8 %`, `+0.01 %`: how much larger a value is; `-` against nothing.

    What was measured, and not counted, is no more certain than to a whole percent.
    """
    if not reference:
        return NOTHING
    more = 100 * (value / reference - 1)
    digits = 0 if measured or abs(more) >= 9.95 else 1 if abs(more) >= 0.095 else 2
    return f"{more:+z.{digits}f} %"


def decimals(value: float) -> str:
    """`0.512`; `-` for nan."""
    return NOTHING if math.isnan(value) else f"{value:.3f}"


def percent(part: float) -> str:
    """`61 %`, `0.4 %`: a part in 0..1, with a decimal where it is small; `-` for nan."""
    if math.isnan(part):
        return NOTHING
    return f"{100 * part:.0f} %" if part == 0 or part >= 0.0995 else f"{100 * part:.1f} %"


def spread(cost: Spread | None, decimals: int, mark: str = "") -> str:
    """`1.23 (1.20 to 1.31)`: the median and its quartiles, with a mark behind the median."""
    if cost is None:
        return NOTHING
    median, low, high = (f"{x:,.{decimals}f}" for x in (cost.median, cost.low, cost.high))
    return f"{median}{mark} ({low} to {high})"


MOST_SEEDS = 50  # in a line


def seed_list(seeds: list[int]) -> str:
    """`0 to 4`, or `0, 2, 3`; of very many the first, and how many more there are."""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    more = len(seeds) - MOST_SEEDS
    return ", ".join(map(str, seeds[:MOST_SEEDS])) + (f" and {more:,} more" if more > 0 else "")
