"""optuna's study in a folder of its own: trials asked for, judged, told; a kill loses none.

`<output_dir>/search/<first 8 digits of the hash>/journal.log`   every word to and from optuna
`<output_dir>/search/<first 8 digits of the hash>/study.json`    what the hash is of

A trial that optuna holds for running is one that was cut, or whose run failed: it is tried again
with the same values. Nothing here reads a test figure.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from senet_train.keyed import keyed_seed
from senet_train.search.options import Options
from senet_train.search.space import Space

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
            sampler=self.sampler(),
            pruner=pruner_for(options),
            direction="maximize",
            load_if_exists=True,
        )

    @property
    def label(self) -> str:
        """What a pruned run's status.json calls this search."""
        return f"search {self.name[:8]}"

    def trials(self) -> list[FrozenTrial]:
        """All but those that were cut before they had all their values."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state != TrialState.FAIL
        ]

    def cut(self) -> list[Trial]:
        """The trials that were asked for and not told."""
        self.drop_incomplete()
        return [
            Trial(self.study, self.trial_id(trial.number))
            for trial in self.trials()
            if trial.state == TrialState.RUNNING
        ]

    def drop_incomplete(self) -> None:
        """A kill in the middle of asking leaves a trial without values: nothing was run for it."""
        for trial in self.trials():
            if set(trial.params) != set(self.space):
                self.study.tell(trial.number, state=TrialState.FAIL)

    def ask(self) -> Trial:
        """A new trial: a function of the options, its position and of what was told so far."""
        self.study.sampler = self.sampler()
        return self.study.ask(self.space)

    def sampler(self) -> optuna.samplers.BaseSampler:
        """Seeded by the position: gone on with after a kill, a search must not draw twice."""
        position = len(self.trials()) if hasattr(self, "study") else 0
        return SAMPLERS[self.options.sampler](
            seed=keyed_seed("search", self.options.seed, position) % 2**32
        )

    def judge(self, trial: Trial, val_top1: Iterable[float], last_epoch: int) -> str:
        """Report the epochs that are new; why the trial is to end, "" if it is not to.

        After the verdict nothing more is reported, so that it hangs on no clock. There is none
        after the last epoch: nothing would be saved.
        """
        known = dict(self.reported(trial))
        for epoch, value in enumerate(val_top1, start=1):
            if epoch < max(known, default=0):
                continue
            if epoch not in known:
                trial.report(value, epoch)
            if epoch < last_epoch and trial.should_prune():
                return f"{self.label}: val top-1 {value:.4f} after epoch {epoch}, below the median"
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

    def report_all(self, trial: Trial, val_top1: Iterable[float]) -> None:
        """Every epoch of a finished trial: what later ones are measured by."""
        known = self.reported(trial)
        for epoch, value in enumerate(val_top1, start=1):
            if epoch not in known:
                trial.report(value, epoch)

    def reported(self, trial: Trial) -> Mapping[int, float]:
        """Validation top-1 by epoch, from 1, as far as optuna has it."""
        return self.study.get_trials(deepcopy=False)[trial.number].intermediate_values

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

