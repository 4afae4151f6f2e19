"""Does an arm need more seeds? The decision of `seeds=auto` after each look."""

from dataclasses import dataclass
from typing import Literal

from senet_train.compare.statistics.difference import Difference
from senet_train.compare.statistics.looks import POWER_TO_CONTINUE, Rule

State = Literal["settled", "open", "hopeless", "spent"]


@dataclass(frozen=True)
class Step:
    """What follows for an arm. `open`: it is trained up to `look` seeds; else it is not.

    `settled`: it has a verdict. `hopeless`: no later look is likely to show so small a difference.
    `spent`: there is no later look.
    """

    state: State
    look: int = 0


def next_step(found: Difference, rule: Rule, margin: float) -> Step:
    """The step after a look at `found`.

    An open arm goes to the next look, and not at once to the one that is likely to settle it: the
    looks between have their share of the error anyway, and each may save the seeds after it.
    """
    if found.verdict in ("better", "worse", "equivalent"):
        return Step("settled")
    look = rule.next(found.num_seeds)
    if look is None:
        return Step("spent")
    if not may_be_settled(found, rule, margin):
        return Step("hopeless")
    return Step("open", look)


def may_be_settled(found: Difference, rule: Rule, margin: float) -> bool:
    """Whether a later look shows, with power 1/3 or more, a difference as large as is looked for.

    That is the larger of the margin and the difference seen. Always for an arm that has reached no
    look, or has no noise to judge it by.
    """
    if found.look == 0 or found.difference is None or found.residual_sd is None:
        return True
    size = max(margin, abs(found.difference))
    return any(
        rule.detectable_in_sd(found.arm, look, POWER_TO_CONTINUE) * found.residual_sd <= size
        for look in rule.looks
        if look > found.num_seeds
    )
