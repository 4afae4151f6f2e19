"""The command `senet-train`: Hydra composes the configuration, and `training.run` trains it.

Every end becomes one line on standard error and an exit code. Hydra makes no folder and writes no
file here; torch is imported only once a run really starts, so that help and completion answer at
once.
"""

import logging
import math
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from senet_train.config.compose import explain_composition, unread_settings
from senet_train.config.hydra_arguments import config_flags, hydra_arguments, hydra_raises
from senet_train.config.read import read_config
from senet_train.config.resolvers import config_dir, mode_for, register_resolvers
from senet_train.config.schema import Config
from senet_train.config.strangers import refuse_untyped_logger
from senet_train.config.typed_words import key_of
from senet_train.errors import (
    Diverged,
    InputError,
    Interrupted,
    RunError,
    in_the_way,
)
from senet_train.system.console import (
    CLOSED_PIPE,
    console_log,
    end_quietly,
    is_of_the_reader,
    say,
    say_error,
)
from senet_train.system.signals import pending_signal, raise_on_signals
from senet_train.system.start import refuse_deleted_folder, start_process
from senet_train.training.distributed.world import STORE, refuse_no_place, world

log = logging.getLogger("senet_train")

# What Hydra raises where a value of its own is of the wrong kind.
HYDRAS_OWN = (KeyError, AttributeError, TypeError, AssertionError)


def entry() -> None:
    """What the console script calls."""
    start_process()
    sys.exit(end_quietly(lambda: main(sys.argv[1:])))


def main(argv: Sequence[str], *, planned: bool = False, made: set[Path] | None = None) -> int:
    """Run `senet-train` with these arguments in this process; the exit code.

    `planned`: as one run of a sweep, whose table has been read. `made` is filled with the folders
    of the runs.
    """
    with raise_on_signals():  # till the last line is printed
        try:
            return exit_code_of_command(argv, planned, set() if made is None else made)
        except Interrupted as end:
            say(f"stopped by {end}{end.way_on and ': '}{end.way_on}", to_error=True)
            return end.exit_code


def exit_code_of_command(argv: Sequence[str], planned: bool, made: set[Path]) -> int:
    """Run the command; the exit code. Its errors become a line. Raises Interrupted."""
    exit_codes: list[int] = []
    try:
        with hydra_raises() as full_error, hydra_arguments(argv), log_of_this_process():
            refuse_deleted_folder()
            refuse_no_place()
            register_resolvers()

            def job(raw: DictConfig) -> float:
                return run_job(raw, exit_codes, made, full_error, planned)

            hydra.main(version_base="1.3", config_path=config_dir(), config_name="config")(job)()
    except SystemExit as end:  # help was printed; or Lightning left because of a signal
        signum = pending_signal()
        return 128 + signum if signum else int(end.code or 0)
    except (HydraException, OmegaConfBaseException, InputError, ValueError) as error:
        print_error(error, explain_composition(error), full_error)
        return error.exit_code if isinstance(error, RunError) else 2
    except HYDRAS_OWN as error:
        typed = [word for word in argv if key_of(word).startswith("hydra.")]
        if not typed:  # then it is ours
            raise
        what = f"{type(error).__name__}: {error}"
        print_error(error, f"Hydra cannot use {' '.join(typed)} ({what}): leave it out", full_error)
        return 2
    except RunError as error:  # a sweep's last line: some of its runs did not finish
        print_error(error, str(error), full_error)
        exit_codes.append(error.exit_code)
    return 1 if 1 in exit_codes else max(exit_codes, default=0)


def run_job(
    raw: DictConfig, exit_codes: list[int], made: set[Path], full_error: bool, planned: bool
) -> float:
    """One run of a command or sweep: its validation score, nan if it failed (never an error).

    Its exit code is added to `exit_codes`; `made` are the run folders of this command so far.
    """
    try:
        in_sweep = planned or HydraConfig.get().mode == RunMode.MULTIRUN
        if not planned:
            refuse_untrained_table(raw)
        config = read_config(raw)
        check_unread_settings(raw, in_sweep)
        refuse_untyped_logger(raw, HydraConfig.get().overrides.task)
        if not in_sweep and (score := score_of_finished(config)) is not None:
            exit_codes.append(0)
            return score
        from senet_train.training.run import run  # imports torch: seconds, only now needed

        overrides = list(HydraConfig.get().overrides.task)
        score = run(config, overrides, made, flags=config_flags(), wait=in_sweep)
    except Exception as error:
        if is_of_the_reader(error):
            exit_codes.append(CLOSED_PIPE)  # it has finished, and nobody reads its table
            return math.nan
        exit_codes.append(0 if is_result_of_search(error) else exit_code_of(error))
        print_error(error, words_of(error), full_error)
        return math.nan
    exit_codes.append(0)
    return math.nan if score is None else score


def score_of_finished(config: Config) -> float | None:
    """Report the run if its kept plan says that it has finished; its score, None otherwise."""
    if config.overwrite or config.dry_run or world().size > 1:
        return None
    from senet_train.runs.finished import find_finished, read_finished
    from senet_train.runs.summary import print_summary

    found = find_finished(config)
    if found is None:
        return None
    folder, identity = found
    record = read_finished(folder, identity)
    folder.restore_state()
    print_summary(record, folder.path)
    return record.metrics.val_score


def refuse_untrained_table(raw: DictConfig) -> None:
    """Refuse a table that another sweeper, or none, would train as one run. Raises InputError."""
    in_our_sweep = HydraConfig.get().mode == RunMode.MULTIRUN and sweeper() in ("arms", "search")
    if not in_our_sweep and mode_for(raw.seeds, raw.arms, raw.seed, raw.first_seed):
        raise InputError(
            "arms and seeds are a table, which only hydra/sweeper=arms trains: leave hydra/sweeper "
            "and hydra.mode as they are, or set arms=[] and one seed"
        )


def check_unread_settings(raw: DictConfig, in_sweep: bool) -> None:
    """Refuse a ratio or placement on the command line that nothing reads; in a sweep, log it.

    Raises InputError in a single run.
    """
    line = unread_settings(raw, HydraConfig.get().overrides.task)
    if line and not in_sweep:
        raise InputError(line)
    if line and STORE not in os.environ:  # else the command that started this process has said it
        log.warning("notice: %s", line)


def is_result_of_search(error: Exception) -> bool:
    """Whether the error is an answer: a search asks which settings diverge."""
    return sweeper() == "search" and isinstance(error, Diverged)


def sweeper() -> str:
    """The option of `hydra/sweeper` that is in use."""
    return str(HydraConfig.get().runtime.choices["hydra/sweeper"])


def exit_code_of(error: Exception) -> int:
    """1 for a failure during the run, 2 for a configuration that does not resolve."""
    if isinstance(error, RunError):
        return error.exit_code
    return 2 if isinstance(error, OmegaConfBaseException) else 1


def words_of(error: Exception) -> str:
    """The line for an error: its own words where they are meant for the user."""
    if isinstance(error, OmegaConfBaseException):
        return explain_composition(error)
    if isinstance(error, OSError) and (words := in_the_way(error)):
        return words
    return str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"


def print_error(error: BaseException, text: str, full_error: bool) -> None:
    """One line on standard error, after the traceback if the user set HYDRA_FULL_ERROR=1."""
    who = "" if world().is_rank_zero else f"process {world().rank}: "
    say_error(error, text, who=who, whole=full_error)


def log_of_this_process() -> AbstractContextManager[None]:
    """The log on standard error; of the other processes of a run only what ends them."""
    return console_log(logging.INFO if world().is_rank_zero else logging.ERROR)
