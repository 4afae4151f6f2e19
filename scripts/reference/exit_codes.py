"""The page of exit codes: of the errors, and of every command as its help has them."""

import re
from pathlib import Path

import yaml

from reference.command_help import HELPS, help_of
from reference.markdown import page, table
from senet_train import errors
from senet_train.compare.blocks import UnfairError

HELP = Path(__file__).parents[2] / "conf/hydra/help/senet.yaml"
ERRORS = (
    errors.RunError,
    errors.Diverged,
    errors.OutOfMemory,
    errors.PeerLost,
    errors.InputError,
    errors.CannotExist,
    UnfairError,
    errors.HeldError,
)


def exit_codes_page() -> str:
    """The whole page."""
    introduction = (
        "Every command ends with one of these codes. An error is one line on standard error; "
        "`HYDRA_FULL_ERROR=1` shows a traceback before it."
    )
    return page(
        "Exit codes",
        introduction,
        "## What the codes of senet-train mean",
        table(("code", "meaning"), codes_in(yaml.safe_load(HELP.read_text())["footer"])),
        "A sweep ends with 1 if a run of it failed, else with the highest code of its runs.",
        "## The error behind a code",
        "Errors of `senet_train.errors`, for code that calls us.",
        table(("code", "error", "when"), [error_row(error) for error in ERRORS]),
        "## Of every command",
        table(("command", "codes"), [command_row(name) for name in HELPS]),
    )


def codes_in(text: str) -> list[tuple[str, str]]:
    """The codes and meanings behind the words `Exit codes:`; none if there are no such words."""
    said = " ".join(text.split()).partition("Exit codes: ")[2].partition(". ")[0].rstrip(".")
    return [
        (f"`{code}`", meaning)
        for code, meaning in re.findall(r"(\d+(?:/\d+)?) (.*?)(?:, (?=\d)|$)", said)
    ]


def error_row(error: type[errors.RunError]) -> tuple[str, str, str]:
    """Its code, its name and the first paragraph of its docstring."""
    when = (error.__doc__ or "").partition("\n\n")[0]
    return f"`{error.exit_code}`", f"`{error.__name__}`", when


def command_row(name: str) -> tuple[str, str]:
    """The command, and its codes on one line."""
    codes = codes_in(help_of(name).partition("positional arguments:")[0])
    return f"`{name}`", "; ".join(f"{code} {meaning}" for code, meaning in codes)
