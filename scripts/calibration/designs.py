"""The designs of a study, and the rule of the verdicts over many simulated tables at once.

`verdicts` is the package's rule on arrays; `disagreements` counts the tables in which the package
itself says something else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from senet_train.compare import MARGIN
from senet_train.compare.statistics.contrast import NO_NOISE
from senet_train.compare.statistics.looks import (
    FEWEST_FOR_SKEWNESS,
    LOOKS,
    SKEWED,
    JudgedArm,
    Rule,
    errors_of_looks,
    judge_at_every_look,
    weights_of,
)

Values = NDArray[np.float64]
Codes = NDArray[np.int64]
BETTER, WORSE, EQUIVALENT, WITHHELD = 1, -1, 2, 3  # 0: undecided


@dataclass(frozen=True)
class Design:
    """Looks with their errors; whether the first arm is primary; whether a plan declares them.

    Without a plan an arm's missing seeds are passed over.
    """

    name: str
    looks: dict[int, float]
    primary: bool = False
    planned: bool = True

    @property
    def seeds(self) -> int:
        """The last look."""
        return max(self.looks)

    def rule(self, num_arms: int) -> Rule:
        """The rule for arms named by their numbers."""
        arms = [str(number) for number in range(num_arms)]
        return Rule(self.looks, weights_of(arms, "0" if self.primary else ""))


def declared(num_seeds: int, *, kept: float = 0.0, primary: bool = False) -> Design:
    """One look at so many seeds, with what is not kept of the error."""
    name = f"{num_seeds} declared" + (", primary" if primary else "")
    return Design(name, {num_seeds: 0.05 - kept}, primary)


GROWING = Design("grows to 20", errors_of_looks(list(LOOKS), 0.05))
UNPLANNED = Design("no plan, 20", LOOKS, planned=False)


def differences(accuracies: Values, design: Design) -> Values:
    """Arms less control (tables, arms, seeds); of no plan the missing ones come last."""
    found = accuracies[:, 1:] - accuracies[:, :1]
    if design.planned or not np.isnan(found).any():
        return found[..., : design.seeds]
    order = np.argsort(np.isnan(found), -1, kind="stable")
    return np.take_along_axis(found, order, -1)[..., : design.seeds]


def verdicts(
    found: Values, rule: Rule, margin: float = MARGIN, *, check_skewness: bool = True
) -> Codes:
    """Codes (tables, arms) after the last look, of differences (tables, arms, seeds)."""
    weights = np.array(list(rule.weights.values())) + np.zeros(found.shape[:2])
    codes = np.zeros(found.shape[:2], np.int64)
    called_so_far, same_so_far = np.zeros_like(codes, bool), np.zeros_like(codes, bool)
    for look in sorted(rule.looks):
        first, error = found[..., :look], rule.looks[look]
        is_open = ~(called_so_far | same_so_far)
        p, nearer = (np.where(is_open, value, 1.0) for value in p_values(first, margin))
        family = np.where(called_so_far, 0.0, weights)
        called = holm_rejects(p, family, error)
        skewed = np.zeros_like(called)
        if check_skewness:
            skewed[called] = skewed_against(first[called])
            called = holm_rejects(np.where(skewed, 1.0, p), family, error)
        same = holm_rejects(nearer, np.where(same_so_far, 0.0, weights), error) & ~skewed
        codes[is_open] = 0
        codes[skewed] = WITHHELD
        codes[same] = EQUIVALENT
        codes[called] = np.sign(first[called].mean(-1))
        called_so_far |= called
        same_so_far |= same
    return codes


def p_values(first: Values, margin: float) -> tuple[Values, Values]:
    """Of the paired t, and of the two one-sided tests; 1 where a seed is missing or no noise is."""
    num_seeds = first.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, sd = first.mean(-1), first.std(-1, ddof=1)
        none = ~(np.ptp(first, axis=-1) > NO_NOISE)  # NaN too
        error = np.where(none, 1.0, sd) / np.sqrt(num_seeds)
        p = 2 * special.stdtr(num_seeds - 1, -np.abs(mean) / error)
        nearer = special.stdtr(num_seeds - 1, (np.abs(mean) - margin) / error)
    return np.where(none, 1.0, p), np.where(none, 1.0, nearer)


def holm_rejects(p: Values, weights: Values, error: float) -> NDArray[np.bool_]:
    """Which arms weighted Holm rejects, (tables, arms); arms of weight 0 are not in the family."""
    rejected = np.zeros(p.shape, bool)
    left = weights.copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(p.shape[1]):
            bound = error * left / left.sum(-1, keepdims=True)
            fresh = (p <= bound) & (left > 0) & ~rejected
            if not fresh.any():
                break
            rejected |= fresh
            left = np.where(rejected, 0.0, left)
    return rejected


def skewed_against(first: Values) -> NDArray[np.bool_]:
    """Whether differences (arms, seeds) have a long tail on the side opposite to their mean."""
    if first.shape[-1] < FEWEST_FOR_SKEWNESS or not len(first):
        return np.zeros(len(first), bool)
    towards = first * np.sign(first.mean(-1, keepdims=True))
    return np.asarray(stats.skewtest(towards, axis=-1, alternative="less").pvalue <= SKEWED)


def disagreements(found: Values, rule: Rule, codes: Codes) -> int:
    """In how many of the tables the package says something else."""
    return sum(
        tuple(package_says(table, rule)) != tuple(said)
        for table, said in zip(found, codes, strict=True)
    )


def package_says(table: Values, rule: Rule) -> Sequence[int]:
    """The package's codes for one table of differences (arms, seeds), up to the first missing."""
    paired = {
        str(number): row[: int(np.argmax(np.isnan(row)))] if np.isnan(row).any() else row
        for number, row in enumerate(table)
    }
    judged = judge_at_every_look(paired, rule, MARGIN)
    return [code_of(judged.get(arm)) for arm in paired]


def code_of(judged: JudgedArm | None) -> int:
    """The code of one arm's test."""
    if judged is None:
        return 0
    if judged.differs:
        return BETTER if judged.contrast.difference > 0 else WORSE
    if judged.skewed:
        return WITHHELD
    return EQUIVALENT if judged.equivalent else 0
