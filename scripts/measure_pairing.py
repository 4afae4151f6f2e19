"""Does pairing by seed pay? The correlation of two arms' test accuracies over their seeds.

    uv run scripts/measure_pairing.py RUNS [--baseline attention=none]

RUNS is a folder that senet-train wrote to. For every block and arm: the correlation with its 95 %
interval (Fisher's z), each arm's standard deviation, that of the paired difference, and the
number of unpaired seeds that one paired seed is worth. docs/evidence/verdicts.md has the
break-even.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from scipy import stats

from senet_train.compare import CONTROL
from senet_train.compare.blocks import RunsOfArm, blocks_of, control_of
from senet_train.compare.collect import collect


def main() -> None:
    """Print one line for every arm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--baseline", default=CONTROL)
    parser.add_argument("--allow", action="append", default=[])
    arguments = parser.parse_args()
    runs, _ = collect(arguments.runs)
    for block in blocks_of(runs, arguments.allow):
        control = control_of(block, arguments.baseline)
        for arm in block.arms if control else []:
            if control and arm is not control:
                recipe = f"{block.common['trainer.max_epochs']} epochs"
                print(f"{recipe}: {arm.label} and {control.label}: {describe(arm, control)}")


def describe(arm: RunsOfArm, control: RunsOfArm) -> str:
    """The figures of one pair of arms, in points of test top-1."""
    seeds = sorted(arm.runs.keys() & control.runs.keys())
    if len(seeds) < 4:
        return f"n = {len(seeds)}: too few seeds for a correlation"
    own, base = (
        np.array([100 * runs[seed].record.metrics.test_score for seed in seeds])
        for runs in (arm.runs, control.runs)
    )
    r = float(stats.pearsonr(own, base).statistic)
    low, high = interval(r, len(seeds))
    difference = own - base
    unpaired, paired = own.var(ddof=1) + base.var(ddof=1), difference.var(ddof=1)
    return (
        f"n = {len(seeds)}, correlation {r:.2f} ({low:.2f} to {high:.2f}), "
        f"means {own.mean():.2f} and {base.mean():.2f}, "
        f"sd {own.std(ddof=1):.2f} and {base.std(ddof=1):.2f}, "
        f"difference {difference.mean():+.2f}, its sd {math.sqrt(paired):.2f}, "
        f"one paired seed is worth {unpaired / paired:.2f} unpaired"
    )


def interval(r: float, num_seeds: int) -> tuple[float, float]:
    """Fisher's 95 % interval of a correlation."""
    half = float(stats.norm.isf(0.025)) / math.sqrt(num_seeds - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


if __name__ == "__main__":
    main()
