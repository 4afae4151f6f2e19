"""Is an arm better than its control? One rule, calibrated by scripts/calibrate_verdicts.py.

The rule: the linear model accuracy ~ arm + seed is fitted to the arm and its control (the paired
t-test). It is tested at every planned look that the shared seeds have reached, in order, each at
its own error, with Holm's adjustment over the table. The first look that gives a verdict settles
the arm; what it showed leaves Holm's family. So another seed never takes a verdict away, and an arm
that stops once it is settled (seeds=auto) has the verdict that it would have with all seeds.
Equivalence is shown by two one-sided tests, with a Holm adjustment of their own.

Why the error is kept: let look k give the first false verdict. All verdicts before it were true, so
the family still holds every one of the m arms without an effect, and that arm's p was at most
error(k) / m. Summed over m arms and all looks that is at most 0.05 (Bonferroni; cf. Maurer and
Bretz 2013, Holm with group-sequential tests).

Why the residual is not pooled over the table: that was measured (docs/evidence/verdicts.md, 2,000
tables each). With a control of three times the variance of 8 arms, 11.9 % of tables had a false
verdict and 87 % of the 95 % intervals held the true difference; with 8 arms more similar to each
other than to the control, 6.5 % and 91 %. The residual of the arm and its control alone gave 3.1 %
and 94 to 95 %, and 2.4 % and 95 %: it is valid whatever the arms' variances and correlations. It
has fewer degrees of freedom: 4 equally noisy arms show with 5 seeds a difference of 4.8 residual
sd instead of 2.7, with 12 seeds 2.0 instead of 1.7. The pooled p is reported and never gives a
verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from senet_train.compare import MARGIN
from senet_train.compare.statistics.contrast import (
    Accuracies,
    Contrast,
    paired_contrast,
    pooled_contrasts,
)
from senet_train.compare.statistics.looks import (
    LAST_LOOK,
    LOOKS,
    JudgedArm,
    judge_at_look,
    look_reached,
    seeds_to_settle,
)
from senet_train.errors import InputError

Verdict = Literal["better", "worse", "equivalent", "undecided", "silent"]


@dataclass(frozen=True)
class Difference:
    """An arm against the control, in points; None is what the runs cannot give.

    `difference`, its interval `low` to `high` (95 %), `paired_p` and `pooled_p` (neither adjusted)
    are of all shared seeds. `p` and `p_equivalence` give the verdict: they are adjusted by Holm's
    method and of the first `look` shared seeds. `look` is the one that settled the arm, else the
    last that it reached. `residual_sd` is that of one run in the pooled model, for planning.
    """

    arm: str
    num_seeds: int
    look: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    paired_p: float | None
    pooled_p: float | None
    p_equivalence: float | None
    residual_sd: float | None
    verdict: Verdict
    words: str


def judge(accuracies: Accuracies, control: str, *, margin: float = MARGIN) -> list[Difference]:
    """Judge every arm but the control, in the order given.

    `accuracies` is arm -> seed -> percent. Seeds may be missing: each arm is judged on those it
    shares with the control. A look at n seeds takes the first n shared seeds in ascending order:
    another seed changes no verdict before the next look, and none of an arm that is settled. An arm
    whose difference is the same at every seed (a copy of the control, a coarse test set) is
    undecided.

    Raises InputError for a margin that is not positive, an unknown control, an accuracy that is
    no percentage, and a table where no arm shares a seed with the control.
    """
    check_input(accuracies, control, margin)
    paired = paired_differences(accuracies, control)
    pooled = pooled_contrasts(accuracies, control)
    judged = judge_at_every_look(paired, margin)
    return [
        difference_of(
            arm,
            differences,
            judged.get(arm),
            pooled.get(arm),
            undecided_words(differences, pooled.get(arm), len(paired), margin),
            margin,
        )
        for arm, differences in paired.items()
    ]


def judge_at_every_look(
    paired: Mapping[str, NDArray[np.float64]], margin: float
) -> dict[str, JudgedArm]:
    """The test of every arm at the look that settled it, else at the last look it reached."""
    most = max(map(len, paired.values()), default=0)
    found: dict[str, JudgedArm] = {}
    for look in LOOKS:
        if look <= most:
            settled = {arm: judged for arm, judged in found.items() if judged.settled}
            found |= judge_at_look(paired, look, margin, settled)
    return found


def check_input(accuracies: Accuracies, control: str, margin: float) -> None:
    """Raises InputError for what `judge` cannot judge."""
    if not (isfinite(margin) and margin > 0):
        raise InputError(f"the margin is points of accuracy above 0: got {margin}; try {MARGIN}")
    if control not in accuracies:
        arms = ", ".join(accuracies) or "none"
        raise InputError(f"the control is an arm of the table: got {control!r}; there are: {arms}")
    for arm, runs in accuracies.items():
        for seed, accuracy in runs.items():
            if not 0 <= accuracy <= 100:
                raise InputError(
                    f"accuracies are percent, 0 to 100: arm {arm!r} has {accuracy} at seed {seed}; "
                    "leave the run out or mend its record"
                )
    others = [runs for arm, runs in accuracies.items() if arm != control]
    if others and not any(runs.keys() & accuracies[control].keys() for runs in others):
        raise InputError(
            f"arms are paired with the control by seed: none shares a seed with {control!r}, which "
            f"has {sorted(accuracies[control])}; train the arms at these seeds"
        )


def paired_differences(accuracies: Accuracies, control: str) -> dict[str, NDArray[np.float64]]:
    """Arm -> its accuracies less the control's (shared seeds,), in ascending order of seeds."""
    base = accuracies[control]
    return {
        arm: np.array([runs[seed] - base[seed] for seed in sorted(runs.keys() & base.keys())])
        for arm, runs in accuracies.items()
        if arm != control
    }


def difference_of(
    arm: str,
    differences: NDArray[np.float64],
    judged: JudgedArm | None,
    pooled: Contrast | None,
    undecided: str,
    margin: float,
) -> Difference:
    """An arm's figures and its verdict, from its tests."""
    plain = paired_contrast(differences)
    low, high = map(within_100, plain.interval()) if plain else (None, None)
    verdict, words = verdict_of(judged, len(differences), margin)
    return Difference(
        arm=arm,
        num_seeds=len(differences),
        look=judged.look if judged else look_reached(len(differences)),
        difference=float(differences.mean()) if len(differences) else None,
        low=low,
        high=high,
        p=judged.p if judged else None,
        paired_p=plain.p_value() if plain else None,
        pooled_p=pooled.p_value() if pooled else None,
        p_equivalence=judged.p_equivalence if judged else None,
        residual_sd=pooled.residual_sd if pooled else None,
        verdict=verdict,
        words=words or undecided,
    )


def within_100(points: float) -> float:
    """No difference of two percentages is beyond 100 points."""
    return max(-100.0, min(points, 100.0))


def verdict_of(judged: JudgedArm | None, num_seeds: int, margin: float) -> tuple[Verdict, str]:
    """The verdict and its words; "" for an undecided arm, which `undecided_words` describes."""
    if num_seeds < min(LOOKS):
        return "silent", words_before_first_look(num_seeds)
    if judged is None:
        return "undecided", "undecided: the difference is the same at every seed of the look"
    if judged.differs:
        less = f", but by less than {margin:g} points" if judged.equivalent else ""
        verdict: Verdict = "better" if judged.contrast.difference > 0 else "worse"
        return verdict, verdict + less
    if judged.equivalent:
        return "equivalent", f"equivalent within +-{margin:g} points"
    return "undecided", ""


def words_before_first_look(num_seeds: int) -> str:
    """Why there is no verdict before the first look."""
    if num_seeds == 0:
        return "no verdict: no seed is shared with the control"
    if num_seeds == 1:
        return "nothing can be said from one seed: its difference may be all noise"
    return f"no verdict at {num_seeds} seeds: the first planned look is at {min(LOOKS)}"


def undecided_words(
    differences: NDArray[np.float64], pooled: Contrast | None, num_arms: int, margin: float
) -> str:
    """How many more seeds would settle an arm.

    That is, show a difference as large as the margin or the one seen, the larger, with power 0.8.
    """
    if pooled is None:
        return "undecided: there is no noise to plan by"
    size = max(margin, abs(float(differences.mean())))
    settles = f"would settle a difference of {size:.2g} points"
    more = seeds_to_settle(size, pooled.residual_sd, num_arms, len(differences))
    if more:
        return f"undecided: about {more} more {'seed' if more == 1 else 'seeds'} {settles}"
    if len(differences) >= LAST_LOOK:
        return f"undecided at {LAST_LOOK} seeds, the last planned look"
    return f"undecided: more than {LAST_LOOK - len(differences)} more seeds {settles}"
