"""Does an arm need more seeds? What `seeds=auto` does after each planned look. Pure."""

from dataclasses import dataclass
from typing import Literal

from senet_train.compare.statistics.looks import LOOKS, WORTH_A_TRY, detectable_in_sd, next_look
from senet_train.compare.statistics.verdict import Difference

State = Literal["settled", "open", "hopeless", "spent"]


@dataclass(frozen=True)
class Step:
    """What becomes of an arm: it goes on to `look` seeds if it is open, else stays where it is.

    `hopeless`: no look that is left would show so small a difference. `spent`: none is left.
    """

    state: State
    look: int = 0


def next_step(found: Difference, num_arms: int, margin: float, max_seeds: int) -> Step:
    """The step after a look at `found`, one of `num_arms` beside the control.

    The next look and not the one that is likely to settle it: the looks between have their share
    of the error already, and each may save the seeds behind it.
    """
    if found.verdict in ("better", "worse", "equivalent"):
        return Step("settled")
    look = next_look(found.num_seeds)
    if look is None or look > max_seeds:
        return Step("spent")
    return Step("open", look) if is_worth_a_try(found, num_arms, margin, max_seeds) else STOP


STOP = Step("hopeless")


def is_worth_a_try(found: Difference, num_arms: int, margin: float, max_seeds: int) -> bool:
    """Whether a look that is left would settle the larger of the margin and the difference seen.

    With power 1/3 or more. So is an arm without noise to judge by, or without a look yet.
    """
    if found.look == 0 or found.difference is None or found.residual_sd is None:
        return True
    size = max(margin, abs(found.difference))
    looks = [look for look in LOOKS if found.num_seeds < look <= max_seeds]
    shown = (detectable_in_sd(num_arms, look, WORTH_A_TRY) * found.residual_sd for look in looks)
    return any(difference <= size for difference in shown)
