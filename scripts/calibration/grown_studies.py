"""Simulated studies that grow as `seeds=auto` lets them, and the same with a fixed number of seeds.

The verdicts and steps are those of the program, by the plan that it declares.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.designs import EQUIVALENT, Codes, Values, declared, verdicts
from senet_train.compare import MARGIN
from senet_train.compare.statistics.difference import Difference
from senet_train.compare.statistics.looks import LOOKS, Rule, errors_of_looks
from senet_train.compare.statistics.next_step import next_step
from senet_train.compare.statistics.verdict import judge

KEPT = 0.01  # of the error, for an extension: the default
CODES = {"better": 1, "worse": -1, "equivalent": EQUIVALENT}  # 0: undecided


@dataclass(frozen=True)
class Grown:
    """One study: each arm's verdict as a code, its figures, and all runs with the control's."""

    codes: Codes
    figures: list[Difference]
    num_runs: int


def growing_rule(num_arms: int) -> Rule:
    """The plan of `seeds=auto`, for arms named 1, 2, ..."""
    arms = [str(number) for number in range(1, num_arms + 1)]
    return Rule(errors_of_looks(list(LOOKS), 0.05 - KEPT), dict.fromkeys(arms, 1 / num_arms))


def grown_study(table: Values) -> Grown:
    """A study of (arms with control, seeds): from look to look, only open arms go on."""
    rule = growing_rule(len(table) - 1)
    seeds = np.zeros(len(table), int)  # of each arm; the control has the most
    going = list(range(1, len(table)))
    found: list[Difference] = []
    for look in rule.looks:
        seeds[[0, *going]] = look
        trained = np.arange(table.shape[1]) < seeds[:, None]
        found = judge(runs_of(np.where(trained, table, np.nan)), "0", margin=MARGIN, rule=rule)
        steps = [next_step(one, rule, MARGIN) for one in found]
        going = [arm for arm in going if steps[arm - 1].state == "open"]
        if not going:
            break
    codes = np.array([CODES.get(one.verdict, 0) for one in found])
    return Grown(codes, found, int(seeds.sum()))


def runs_of(table: Values) -> dict[str, dict[int, float]]:
    """Arm -> seed -> percent, of (arms, seeds) with NaN where a run is missing."""
    return {
        str(arm): {seed: float(value) for seed, value in enumerate(row) if not np.isnan(value)}
        for arm, row in enumerate(table)
    }


def fixed(tables: Values, num_seeds: int, kept: float) -> Codes:
    """Codes (tables, arms) of a plan of so many seeds with one look."""
    design = declared(num_seeds, kept=kept)
    found = tables[:, 1:, :num_seeds] - tables[:, :1, :num_seeds]
    return verdicts(found, design.rule(found.shape[1]))


def is_right(codes: Codes, effects: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A verdict that is true: of a small effect both `better` and `equivalent` are."""
    truly_better = (codes == CODES["better"]) & (effects > 0)
    return truly_better | ((codes == EQUIVALENT) & (effects < MARGIN))


def is_false(codes: Codes, effects: NDArray[np.float64]) -> Codes:
    """(2, tables): is any arm better or worse without cause; is any equivalent that is not."""
    called = (np.abs(codes) == 1) & (np.sign(codes) != np.sign(effects))
    same = (codes == EQUIVALENT) & (effects >= MARGIN)
    return np.array([called.any(-1), same.any(-1)]).astype(int)
