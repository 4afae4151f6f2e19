"""optuna's study in a folder of its own: trials asked for, judged, told; a kill loses none.

`<output_dir>/search/<first 8 digits of the hash>/journal.log`   every word to and from optuna
`<output_dir>/search/<first 8 digits of the hash>/study.json`    what the hash is of

A trial that optuna holds for running is one that was cut, or whose run failed: it is tried again
with the same values. Nothing here reads a test figure.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from senet_train.keyed import keyed_seed
from senet_train.sweeps.search.options import Options
from senet_train.sweeps.search.space import Space, num_points

log = logging.getLogger("senet_train")


NUM_DRAWS = 100  # without a new trial, until a space counts as searched through
SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}


class Study:
    """A search that is there whenever its folder is. The caller holds the lock on the folder."""

    def __init__(self, folder: Path, name: str, space: Space, options: Options) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # our own lines say it
        self.name, self.space, self.options = name, space, options
        self.storage = optuna.storages.JournalStorage(
            JournalFileBackend(str(folder / "journal.log"))
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
        """All that count: optuna's failed ones are draws that were dropped."""
        return [trial for trial in self.all() if trial.state != TrialState.FAIL]

    def all(self) -> list[FrozenTrial]:
        """Every draw, by number."""
        return self.study.get_trials(deepcopy=False)

    def position(self, trial: Trial | FrozenTrial) -> int:
        """The trial's place among those that count, from 1: what the user sees as its number."""
        return sum(other.number <= trial.number for other in self.trials())

    def left(self) -> int:
        """How many more trials are to be made."""
        enough = min(self.options.num_trials, num_points(self.space))
        return int(enough) - len(self.trials())

    def cut(self) -> list[Trial]:
        """The trials that were asked for and not told."""
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

        A function of the options, of the draws before it and of what was told so far.
        """
        for _ in range(NUM_DRAWS):
            self.study.sampler = self.sampler(sum(self.is_whole(trial) for trial in self.all()))
            trial = self.study.ask(self.space)
            if self.is_new(self.all()[trial.number]):
                return trial
            self.drop(trial)
        log.warning("notice: %d draws gave no new trial: the space is searched through", NUM_DRAWS)
        return None

    def sampler(self, position: int) -> optuna.samplers.BaseSampler:
        """Seeded by the position: gone on with after a kill, a search must not draw twice."""
        seed = keyed_seed("search", self.options.seed, position) % 2**32
        return SAMPLERS[self.options.sampler](seed=seed)

    def is_new(self, trial: FrozenTrial) -> bool:
        """Whether a draw has all its values, and no earlier trial has them."""
        earlier = [other.params for other in self.trials() if other.number < trial.number]
        return self.is_whole(trial) and trial.params not in earlier

    def is_whole(self, trial: FrozenTrial) -> bool:
        """Whether a draw has all its values: a kill in the middle of asking leaves some out."""
        return set(trial.params) == set(self.space)

    def drop(self, trial: Trial | FrozenTrial) -> None:
        """Nothing was run for it, and the sampler is to learn nothing from it."""
        self.study.tell(trial.number, state=TrialState.FAIL)

    def judge(self, trial: Trial, val_score: Iterable[float], last_epoch: int) -> str:
        """Report the epochs that are new; why the trial is to end, "" if it is not to.

        After the verdict nothing more is reported, so that it hangs on no clock. There is none
        after the last epoch: nothing would be saved.
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
        """How a trial ended, once and for all.

        To optuna one that diverged or cannot exist is pruned: a failed one would teach it nothing.
        """
        trial.set_user_attr("ended", ended)
        trial.set_user_attr("reason", reason)
        state = TrialState.COMPLETE if value is not None else TrialState.PRUNED
        self.study.tell(trial.number, value, state=state)

    def report_all(self, trial: Trial, val_score: Iterable[float]) -> None:
        """Every epoch of a finished trial: what later ones are measured by."""
        known = self.reported(trial)
        for epoch, value in enumerate(val_score, start=1):
            if epoch not in known:
                trial.report(value, epoch)

    def reported(self, trial: Trial) -> Mapping[int, float]:
        """Validation score by epoch, from 1, as far as optuna has it."""
        return self.all()[trial.number].intermediate_values

    def trial_id(self, number: int) -> int:
        """The storage's name for a trial."""
        study_id = self.storage.get_study_id_from_name(self.name)
        return self.storage.get_trial_id_from_study_id_trial_number(study_id, number)


def pruner_for(options: Options) -> optuna.pruners.BasePruner:
    """Steps are epochs done, from 1."""
    if options.pruner == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(
        n_startup_trials=options.prune_after_trials, n_warmup_steps=options.prune_after_epochs
    )
