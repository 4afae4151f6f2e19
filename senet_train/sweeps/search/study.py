"""optuna's study, kept in a folder of its own, so that a killed search loses no trial.

`<output_dir>/search/<first 8 digits of the hash>/journal.log`   optuna's journal
`<output_dir>/search/<first 8 digits of the hash>/study.json`    what is hashed

A trial that is running in the journal was interrupted, or its run failed: it is tried again with
the same values. Nothing here reads a test metric.
"""

import logging
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import optuna
from optuna.storages.journal import (
    JournalFileBackend,
    JournalFileOpenLock,
    JournalFileSymlinkLock,
)
from optuna.trial import FrozenTrial, Trial, TrialState

from senet_train.keyed import keyed_seed
from senet_train.sweeps.search.options import Options
from senet_train.sweeps.search.space import Space, num_points

log = logging.getLogger("senet_train")


# To make a link is a right of administrators on Windows.
LockOfJournal = JournalFileOpenLock if sys.platform == "win32" else JournalFileSymlinkLock
NUM_DRAWS = 100  # without a new trial, until the space counts as exhausted
SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}


class Study:
    """A search, continued if its folder exists. The caller holds the lock on the folder."""

    def __init__(self, folder: Path, name: str, space: Space, options: Options) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # we print our own
        self.name, self.space, self.options = name, space, options
        journal = str(folder / "journal.log")
        self.storage = optuna.storages.JournalStorage(
            JournalFileBackend(journal, LockOfJournal(journal))
        )
        self.study = optuna.create_study(
            study_name=name,
            storage=self.storage,
            sampler=self.sampler(0),
            pruner=pruner_for(options),
            direction="maximize",
            load_if_exists=True,
        )

    @property
    def label(self) -> str:
        """What a pruned run's status.json calls this search."""
        return f"search {self.name[:8]}"

    def trials(self) -> list[FrozenTrial]:
        """All trials but optuna's failed ones, which are draws that were dropped."""
        return [trial for trial in self.draws() if trial.state != TrialState.FAIL]

    def draws(self) -> list[FrozenTrial]:
        """Every draw, dropped ones included, by number."""
        return self.study.get_trials(deepcopy=False)

    def position(self, trial: Trial | FrozenTrial) -> int:
        """The trial's place among those that count, from 1: what the user sees as its number."""
        return sum(other.number <= trial.number for other in self.trials())

    def num_left(self) -> int:
        """How many trials are still to be asked for."""
        enough = min(self.options.num_trials, num_points(self.space))
        return int(enough) - len(self.trials())

    def interrupted(self) -> list[Trial]:
        """The trials that were asked for and not told: their values are tried again."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and not self.is_new(trial):
                self.drop(trial)
        return [
            Trial(self.study, self.trial_id(trial.number))
            for trial in self.trials()
            if trial.state == TrialState.RUNNING
        ]

    def ask(self) -> Trial | None:
        """A trial not tried before; None if there seems to be none.

        It depends on the options, the earlier draws and their results alone.
        """
        for _ in range(NUM_DRAWS):
            self.study.sampler = self.sampler(
                sum(self.has_all_values(trial) for trial in self.draws())
            )
            trial = self.study.ask(self.space)
            if self.is_new(self.draws()[trial.number]):
                return trial
            self.drop(trial)
        log.warning("notice: %d draws gave no new trial: the space is searched through", NUM_DRAWS)
        return None

    def sampler(self, position: int) -> optuna.samplers.BaseSampler:
        """Seeded by the position, so that a search continued after a kill repeats no draw."""
        seed = keyed_seed("search", self.options.seed, position) % 2**32
        return SAMPLERS[self.options.sampler](seed=seed)

    def is_new(self, trial: FrozenTrial) -> bool:
        """Whether a draw has all its values, and no earlier trial has them."""
        earlier = [other.params for other in self.trials() if other.number < trial.number]
        return self.has_all_values(trial) and trial.params not in earlier

    def has_all_values(self, trial: FrozenTrial) -> bool:
        """Whether a draw has all its values: a kill in the middle of a draw leaves some out."""
        return set(trial.params) == set(self.space)

    def drop(self, trial: Trial | FrozenTrial) -> None:
        """Drop a draw for which nothing was run: the sampler learns nothing from it."""
        self.study.tell(trial.number, state=TrialState.FAIL)

    def judge(self, trial: Trial, val_score: Iterable[float], last_epoch: int) -> str:
        """Report the new epochs to optuna; the reason if the trial is to be pruned, else "".

        Nothing is reported after that, so the journal does not depend on when the run stops. After
        the last epoch nothing is pruned: it would save no time.
        """
        known, best = dict(self.reported(trial)), 0.0
        for epoch, value in enumerate(val_score, start=1):
            best = max(best, value)
            if epoch < max(known, default=0):
                continue
            if epoch not in known:
                trial.report(value, epoch)
            if epoch < last_epoch and trial.should_prune():
                return f"{self.label}: at best {best:.4f} after epoch {epoch}, below the median"
        return ""

    def tell(
        self, trial: Trial, ended: str, *, value: float | None = None, reason: str = ""
    ) -> None:
        """Tell optuna how a trial ended.

        One that diverged or cannot exist counts as pruned: it learns nothing from failed ones.
        """
        trial.set_user_attr("ended", ended)
        trial.set_user_attr("reason", reason)
        state = TrialState.COMPLETE if value is not None else TrialState.PRUNED
        self.study.tell(trial.number, value, state=state)

    def report_all(self, trial: Trial, val_score: Iterable[float]) -> None:
        """Report every epoch of a finished trial: the median pruner compares later ones with it."""
        known = self.reported(trial)
        for epoch, value in enumerate(val_score, start=1):
            if epoch not in known:
                trial.report(value, epoch)

    def reported(self, trial: Trial) -> Mapping[int, float]:
        """Validation score by epoch, from 1, as reported so far."""
        return self.draws()[trial.number].intermediate_values

    def trial_id(self, number: int) -> int:
        """The id of a trial in the storage."""
        study_id = self.storage.get_study_id_from_name(self.name)
        return self.storage.get_trial_id_from_study_id_trial_number(study_id, number)


def pruner_for(options: Options) -> optuna.pruners.BasePruner:
    """The pruner; its steps are finished epochs, from 1."""
    if options.pruner == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(
        n_startup_trials=options.prune_after_trials, n_warmup_steps=options.prune_after_epochs
    )
