"""The command `senet-train`: Hydra composes, `run` trains, this file turns ends into exit codes.

Hydra makes no folder and writes no file here; torch is imported only once a run really starts,
so that help and completion answer at once.
"""

import logging
import math
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from senet_train.config.compose import (
    config_dir,
    explain_composition,
    mode_for,
    register_resolvers,
    unread_settings,
)
from senet_train.config.read import read_config, refuse_code
from senet_train.errors import Diverged, InputError, Interrupted, RunError
from senet_train.system.signals import pending_signal, raise_on_signals
from senet_train.training.distributed.world import world

log = logging.getLogger("senet_train")


ASKED = "SENET_TRAIN_FULL_ERROR"  # what the user set HYDRA_FULL_ERROR to


def entry() -> None:
    """What the console script calls."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str], *, planned: bool = False) -> int:
    """Run `senet-train` with these arguments in this process; the exit code.

    `planned`: as one run of a sweep, whose table has been read.
    """
    exit_codes: list[int] = []
    made: set[Path] = set()
    try:
        with hydra_raises() as full_error, raise_on_signals(), arguments(argv), console_log():
            check_arguments(argv)
            sys.argv += flags_of_search(argv)
            register_resolvers()

            def job(raw: DictConfig) -> float:
                return run_job(raw, exit_codes, made, full_error, planned)

            hydra.main(version_base="1.3", config_path=config_dir(), config_name="config")(job)()
    except Interrupted as end:
        print(f"stopped by {end}", file=sys.stderr)
        return end.exit_code
    except SystemExit as end:  # help was printed; or Lightning left because of a signal
        signum = pending_signal()
        return 128 + signum if signum else int(end.code or 0)
    except (HydraException, OmegaConfBaseException, InputError, ValueError) as error:
        show(error, explain_composition(error), full_error)
        return error.exit_code if isinstance(error, RunError) else 2
    except RunError as error:  # a sweep's last word: some of its runs did not finish
        show(error, str(error), full_error)
        exit_codes.append(error.exit_code)
    return 1 if 1 in exit_codes else max(exit_codes, default=0)


def check_arguments(argv: Sequence[str]) -> None:
    """Refuse what Hydra would answer with a page of usage, by unpickling, or by running it.

    Raises InputError.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise InputError(f"{message}: see senet-train --help")

    parser.error = refuse  # type: ignore[method-assign]
    parsed = parser.parse_args(list(argv))
    if parsed.experimental_rerun:
        raise InputError("--experimental-rerun reads a pickle: repeat the command instead")
    for folder in (parsed.config_dir, parsed.config_path):
        if folder:
            refuse_code(Path(folder))


def flags_of_search(argv: Sequence[str]) -> list[str]:
    """A search is a sweep whatever it varies, so that it needs no -m."""
    parsed = get_args_parser().parse_args(list(argv))
    shown = parsed.cfg or parsed.info or parsed.shell_completion or parsed.run or parsed.multirun
    return ["--multirun"] if "hydra/sweeper=search" in parsed.overrides and not shown else []


def run_job(
    raw: DictConfig, exit_codes: list[int], made: set[Path], full_error: bool, planned: bool
) -> float:
    """One run of a command or sweep: its validation score, nan if it failed (never an error)."""
    try:
        in_sweep = planned or HydraConfig.get().mode == RunMode.MULTIRUN
        if not planned:
            refuse_unplanned(raw)
        config = read_config(raw)
        mention_unread(raw, in_sweep)
        from senet_train.training.run import (
            run,  # seconds of imports: only now are they sure to be needed
        )

        overrides = list(HydraConfig.get().overrides.task)
        score = run(config, overrides, made, flags=config_flags(), wait=in_sweep)
    except Exception as error:
        exit_codes.append(0 if is_finding(error) else exit_code_of(error))
        name = "" if isinstance(error, RunError) else f"{type(error).__name__}: "
        show(error, f"{name}{error}", full_error)
        return math.nan
    exit_codes.append(0)
    return math.nan if score is None else score


def is_finding(error: Exception) -> bool:
    """Whether the error is an answer: a search asks which settings diverge."""
    search = HydraConfig.get().sweeper._target_.endswith("SearchSweeper")
    return search and isinstance(error, Diverged)


def config_flags() -> list[str]:
    """The flags of this command that choose configuration files, for one that repeats it."""
    parsed = get_args_parser().parse_args(sys.argv[1:])
    flags = ["--config-name", parsed.config_name] if parsed.config_name else []
    for name in ("config_dir", "config_path"):
        if folder := getattr(parsed, name):
            flags += [f"--{name.replace('_', '-')}", os.path.abspath(folder)]
    return [*flags, *(word for word in parsed.overrides if word.startswith("hydra.searchpath="))]


def refuse_unplanned(raw: DictConfig) -> None:
    """Refuse a table that another sweeper, or none, would train as one run. Raises InputError."""
    hydra_config = HydraConfig.get()
    planned = hydra_config.mode == RunMode.MULTIRUN and hydra_config.sweeper._target_.endswith(
        ("ArmSweeper", "SearchSweeper")
    )
    if not planned and mode_for(raw.seeds, raw.arms, raw.seed):
        raise InputError(
            "arms and seeds are a table, which only hydra/sweeper=arms trains: leave hydra/sweeper "
            "and hydra.mode as they are, or set arms=[] and one seed"
        )


def exit_code_of(error: Exception) -> int:
    """1 for a failure on the way, 2 for a configuration that does not resolve."""
    if isinstance(error, RunError):
        return error.exit_code
    return 2 if isinstance(error, OmegaConfBaseException) else 1


def mention_unread(raw: DictConfig, in_sweep: bool) -> None:
    """Refuse a ratio or placement on the command line that nothing reads; only say so in a sweep.

    Raises InputError in a single run.
    """
    line = unread_settings(raw, HydraConfig.get().overrides.task)
    if line and not in_sweep:
        raise InputError(line)
    if line:
        log.warning("notice: %s", line)


def show(error: BaseException, text: str, full_error: bool) -> None:
    """One line on standard error, after the traceback if the user set HYDRA_FULL_ERROR=1."""
    if full_error:
        traceback.print_exception(error)
    who = "" if world().is_rank_zero else f"process {world().rank}: "
    print(f"{who}error: {' '.join(text.split())}", file=sys.stderr)


@contextmanager
def hydra_raises() -> Iterator[bool]:
    """Make Hydra raise its errors, so that we print them; whether the user wants tracebacks."""
    before = {name: os.environ.get(name) for name in ("HYDRA_FULL_ERROR", ASKED)}
    # A process that repeats this command must not take our word for the user's.
    os.environ.setdefault(ASKED, before["HYDRA_FULL_ERROR"] or "")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield os.environ[ASKED] == "1"
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def arguments(argv: Sequence[str]) -> Iterator[None]:
    """Hydra reads its arguments from sys.argv alone."""
    before = sys.argv
    sys.argv = ["senet-train", *argv]
    try:
        yield
    finally:
        sys.argv = before


class CurrentStandardError(logging.StreamHandler):
    """Writes to what standard error is by then: a live table puts lines above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


@contextmanager
def console_log() -> Iterator[None]:
    """Show our log on standard error, bare."""
    handler = CurrentStandardError()
    handler.setLevel(logging.INFO if world().is_rank_zero else logging.ERROR)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
