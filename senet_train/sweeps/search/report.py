"""The report of a search: a table of the best trials, and the command to train the best one."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from senet_train.config.typed_words import key_of
from senet_train.sweeps.search.options import Options
from senet_train.sweeps.search.space import Space, settings_of
from senet_train.sweeps.search.study import Study
from senet_train.system.console import output_console, say

NUM_ROWS = 10
NUM_FRESH_SEEDS = 5


def print_report(study: Study, fixed: Sequence[str], seed: int) -> None:
    """Print to standard output; what a user copies is outside the table."""
    trials = study.trials()
    table = Table("trial", *study.space, "epochs", "val score", "ended", title_justify="left")
    table.title = f"{study.label}: the best of {len(trials)} trials"
    for trial in sorted(trials, key=rank)[:NUM_ROWS]:
        table.add_row(str(study.position(trial)), *cells(trial, study.space))
    output_console().print(table)
    say(f"trials: {', '.join(f'{n} {how}' for how, n in Counter(map(ended, trials)).items())}")
    for trial in trials:
        if ended(trial) in ("diverged", "cannot exist"):
            reason = trial.user_attrs["reason"]
            say(f"trial {study.position(trial)} {ended(trial)}: {reason}")
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if finished:
        best = min(finished, key=rank)
        say(f"best: {command(fixed, best, seed)}")
        say(
            f"The best of {len(finished)} is flattered by having been chosen on these validation "
            f"images, at seed {seed}: judge it at the fresh seeds above, beside a baseline that "
            "was searched as long."
        )


def rank(trial: FrozenTrial) -> tuple[bool, float, int]:
    """A sort key: finished trials first, then the more accurate, then the earlier."""
    return trial.state != TrialState.COMPLETE, -best_so_far(trial), trial.number


def best_so_far(trial: FrozenTrial) -> float:
    """Validation score of a trial's best epoch; 0 if it has none."""
    return max(trial.intermediate_values.values(), default=0.0)


def cells(trial: FrozenTrial, space: Space) -> list[str]:
    """A trial's row, but for its number."""
    values = [trial.params[key] for key in space]
    words = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]
    curve = trial.intermediate_values
    score = f"{best_so_far(trial):.4f}" if curve else ""
    return [*words, str(len(curve)), score, ended(trial)]


def ended(trial: FrozenTrial) -> str:
    """How a trial ended: `finished`, `pruned`, `diverged`, `cannot exist` or `unfinished`."""
    return str(trial.user_attrs.get("ended", "unfinished"))


def command(fixed: Sequence[str], trial: FrozenTrial, seed: int) -> str:
    """The command that trains a trial's settings at seeds that had no part in choosing them."""
    kept = [word for word in fixed if key_of(word) not in ("seed", "seeds", "retry")]
    fresh = [other for other in range(NUM_FRESH_SEEDS + 1) if other != seed][:NUM_FRESH_SEEDS]
    seeds = f"seeds=[{','.join(map(str, fresh))}]"
    return shlex.join(["senet-train", *kept, *settings_of(trial.params), seeds])


def print_dry_run(folder: Path, space: Space, options: Options) -> None:
    """Print what would be searched, and where; nothing is written."""
    for key, distribution in space.items():
        say(f"{key}: {distribution}")
    state = "is there and would be gone on with" if folder.exists() else "is to do"
    say(f"up to {options.num_trials} trials, {options.sampler}, pruner {options.pruner}")
    say(f"dry run: {folder} {state}")
