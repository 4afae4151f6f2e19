"""Simulated studies that grow as `seeds=auto` lets them, and the same with a fixed number of seeds.

The verdicts and steps are those of the program. Two fixed designs: `planned_studies` are what
senet-compare says of a table with so many seeds; `single_look` is the best that a fixed number can
do, the whole error of 0.05 spent at one look, which the program does not offer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from calibration.judged_studies import MARGIN, runs_of
from senet_train.compare.statistics.looks import LAST_LOOK, LOOKS
from senet_train.compare.statistics.next_step import next_step
from senet_train.compare.statistics.verdict import judge

ERROR = 0.05
CODES = {"better": 1, "worse": -1, "equivalent": 2}  # 0: undecided
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Grown:
    """One study: each arm's verdict as a code, and its runs, the control's included."""

    codes: Codes
    num_runs: int


def grown_study(table: NDArray[np.float64]) -> Grown:
    """A study of (arms with control, seeds): from look to look, only open arms go on."""
    seeds = np.zeros(len(table), int)  # of each arm; the control has the most
    going, codes = list(range(1, len(table))), np.zeros(len(table), int)
    for look in LOOKS:
        seeds[[0, *going]] = look
        trained = np.arange(table.shape[1]) < seeds[:, None]
        found = judge(runs_of(np.where(trained, table, np.nan)), "0", margin=MARGIN)
        codes[1:] = [CODES.get(one.verdict, 0) for one in found]
        steps = [next_step(one, len(found), MARGIN, LAST_LOOK) for one in found]
        going = [arm for arm in going if steps[arm - 1].state == "open"]
        if not going:
            break
    return Grown(codes[1:], int(seeds.sum()))


def planned_studies(table: NDArray[np.float64]) -> dict[int, Codes]:
    """What senet-compare says of a table with so many seeds in every arm, for every look.

    From one table with all seeds: the look that settles an arm is the same with fewer.
    """
    found = judge(runs_of(table[:, :LAST_LOOK]), "0", margin=MARGIN)
    return {
        look: np.array([CODES.get(one.verdict, 0) if one.look <= look else 0 for one in found])
        for look in LOOKS
    }


def single_look(tables: NDArray[np.float64], num_seeds: int) -> Codes:
    """Codes (tables, arms) of paired t and TOST, each with Holm, all error spent at one look."""
    differences = tables[:, 1:, :num_seeds] - tables[:, :1, :num_seeds]
    means = differences.mean(-1)
    errors = np.maximum(differences.std(-1, ddof=1), 1e-12) / np.sqrt(num_seeds)
    p = holm_by_row(2 * stats.t.sf(np.abs(means) / errors, num_seeds - 1))
    nearer = holm_by_row(stats.t.sf((MARGIN - np.abs(means)) / errors, num_seeds - 1))
    signs = np.sign(means).astype(int)
    return np.where(p <= ERROR, signs, np.where(nearer <= ERROR, CODES["equivalent"], 0))


def holm_by_row(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's p-values along the last axis."""
    order = np.argsort(p, -1)
    steps = np.take_along_axis(p, order, -1) * np.arange(p.shape[-1], 0, -1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, -1), -1)
    return adjusted


def is_right(codes: Codes, effects: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A verdict that is true: of a small effect both `better` and `equivalent` are."""
    truly_better = (codes == CODES["better"]) & (effects > 0)
    return truly_better | ((codes == CODES["equivalent"]) & (effects < MARGIN))


def is_false(codes: Codes, effects: NDArray[np.float64]) -> Codes:
    """(2, tables): is any arm better or worse without cause; is any equivalent that is not."""
    called = (np.abs(codes) == 1) & (np.sign(codes) != np.sign(effects))
    same = (codes == CODES["equivalent"]) & (effects >= MARGIN)
    return np.array([called.any(-1), same.any(-1)]).astype(int)
