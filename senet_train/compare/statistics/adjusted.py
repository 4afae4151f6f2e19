"""One look at a table: every open arm's contrast, its p-values adjusted by Holm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from senet_train.compare.statistics.contrast import Contrast, paired_contrast
from senet_train.compare.statistics.looks import LOOKS


@dataclass(frozen=True)
class JudgedArm:
    """An arm at a look: `p` against no difference, `p_equivalence` against one of the margin."""

    look: int
    contrast: Contrast
    p: float
    p_equivalence: float
    error: float

    @property
    def differs(self) -> bool:
        """Better or worse, by the sign of the contrast."""
        return self.p <= self.error

    @property
    def settled(self) -> bool:
        """Whether there is a verdict: no later look changes it."""
        return self.differs or self.equivalent

    @property
    def equivalent(self) -> bool:
        """Nearer to the control than the margin."""
        return self.p_equivalence <= self.error


def judge_at(
    paired: Mapping[str, NDArray[np.float64]],
    look: int,
    margin: float,
    settled: Mapping[str, JudgedArm],
) -> dict[str, JudgedArm]:
    """Every open arm with noise to judge it by, on the first `look` of its paired differences.

    `settled` arms got their verdict at an earlier look and are not judged again. What an earlier
    look showed is no longer in question and leaves Holm's family. All others stay in it, also
    those that have not come so far or have stopped (as p = 1): else each arm that arrives alone
    would spend the look's whole error again.
    """
    contrasts = {
        arm: paired_contrast(differences[:look])
        for arm, differences in paired.items()
        if len(differences) >= look and arm not in settled
    }
    open_arms = {arm: contrast for arm, contrast in contrasts.items() if contrast}
    p = holm_among(
        {arm: contrast.p_value() for arm, contrast in open_arms.items()},
        len(paired) - sum(before.differs for before in settled.values()),
    )
    p_equivalence = holm_among(
        {arm: contrast.p_equivalence(margin) for arm, contrast in open_arms.items()},
        len(paired) - sum(before.equivalent for before in settled.values()),
    )
    return {
        arm: JudgedArm(look, contrast, p[arm], p_equivalence[arm], LOOKS[look])
        for arm, contrast in open_arms.items()
    }


def holm_among(p_values: Mapping[str, float], num_questions: int) -> dict[str, float]:
    """Holm's p-values in a family of `num_questions`, of which the others have p = 1."""
    if not p_values:
        return {}
    others = [1.0] * (num_questions - len(p_values))
    return dict(zip(p_values, holm([*p_values.values(), *others]), strict=False))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down p-values (Holm 1979), in the order given."""
    # Each call costs 0.05 s in a heap with scipy and pandas: statsmodels 0.15 collects garbage
    # here. A program that calls it often does well to call gc.freeze() once its modules are in.
    return [float(p) for p in multipletests(p_values, method="holm")[1]]
