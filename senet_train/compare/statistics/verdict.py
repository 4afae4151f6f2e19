"""Is an arm better than its control? One rule, calibrated by scripts/calibrate_verdicts.py.

The rule: the linear model accuracy ~ arm + seed is fitted to the arm and its control (the paired
t-test). It is tested at every look of the study that the shared seeds have reached, in order, each
at its own error, with Holm's adjustment over the arms. A plan may give half of the error to one
primary arm; the adjustment has weights then. The first look that gives a verdict settles the arm;
what it showed leaves Holm's family. So another seed never takes a verdict away, and an arm that
stops once it is settled (seeds=auto) has the verdict that it would have with all seeds. Equivalence
is shown by two one-sided tests, with an error and a Holm adjustment of their own.

Why the error is kept: let look k give the first false verdict. All verdicts before it were true, so
the family still holds every arm without an effect, and the p of the arm called was at most error(k)
times its part of their weights. Summed over those arms and all looks that is at most 0.05
(Bonferroni; cf. Maurer and Bretz 2013, Holm with group-sequential tests). This assumes that the
differences at the seeds are independent and near normal, and that looks and weights were fixed
before the runs. Arms may differ in variance and be correlated. Skewed differences break it, and few
seeds cannot show that they are skewed: docs/evidence/verdicts.md has the figures.

Why the residual is not pooled over the table: with a control of three times the variance of 8 arms,
more than twice as many tables as allowed had a false verdict (docs/evidence/verdicts.md). The
pooled p is reported and never gives a verdict.
"""

from collections.abc import Mapping
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from senet_train.compare import MARGIN
from senet_train.compare.statistics.contrast import Accuracies, Contrast, pooled_contrasts
from senet_train.compare.statistics.difference import Difference, Standing, difference_of
from senet_train.compare.statistics.looks import Rule, judge_at_every_look, unplanned
from senet_train.errors import InputError


def judge(
    accuracies: Accuracies, control: str, *, margin: float = MARGIN, rule: Rule | None = None
) -> list[Difference]:
    """Judge every arm but the control, in the order given, by a rule; by `LOOKS` without one.

    `accuracies` is arm -> seed -> percent. Seeds may be missing: each arm is judged on those it
    shares with the control. A look at n seeds takes the first n shared seeds in the order of the
    control's runs: another seed after them changes no verdict before the next look, and none of an
    arm that is settled. An arm whose difference is the same at every seed (a copy of the control, a
    coarse test set) is undecided.

    Raises InputError for a margin that is not positive, an unknown control, an accuracy that is
    no percentage, and a table where no arm shares a seed with the control.
    """
    check_input(accuracies, control, margin)
    paired = paired_differences(accuracies, control)
    return judge_paired(paired, pooled_contrasts(accuracies, control), margin, rule)


def judge_paired(
    paired: Mapping[str, NDArray[np.float64]],
    pooled: Mapping[str, Contrast],
    margin: float,
    rule: Rule | None = None,
) -> list[Difference]:
    """As `judge`, of arm -> differences from the control (num_seeds,), in the order of the looks.

    `pooled` has the contrasts of the arms in the fit of the whole table.
    """
    rule = rule or unplanned(list(paired))
    judged = judge_at_every_look(paired, rule, margin)
    return [
        difference_of(
            arm,
            differences,
            judged.get(arm),
            pooled.get(arm),
            rule,
            margin,
            Standing(0, len(differences)),
        )
        for arm, differences in paired.items()
    ]


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
    """Arm -> its accuracies less the control's (shared seeds,), in the order of the control's."""
    base = accuracies[control]
    return {
        arm: np.array([runs[seed] - base[seed] for seed in base if seed in runs])
        for arm, runs in accuracies.items()
        if arm != control
    }
