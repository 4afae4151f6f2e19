"""The page of the commands' help."""

import os
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib import import_module
from io import StringIO
from unittest.mock import patch

from reference.markdown import block, page

# The small commands: the module of each, and the words before --help.
HELPS = {
    "senet-compare": ("senet_train.commands.compare", ()),
    "senet-data check": ("senet_train.commands.data_check.cli", ("check",)),
    "senet-data show": ("senet_train.commands.data_check.cli", ("show",)),
    "senet-inspect": ("senet_train.commands.inspect.cli", ()),
    "senet-predict": ("senet_train.commands.predict.cli", ()),
    "senet-evaluate": ("senet_train.commands.evaluate.cli", ()),
    "senet-export": ("senet_train.commands.export.cli", ()),
    "senet-profile": ("senet_train.commands.profile.cli", ()),
    "senet-board": ("senet_train.commands.board.cli", ()),
}
WIDTH = "100"


def command_line_page() -> str:
    """The whole page."""
    introduction = (
        "What every command prints with `--help`. Of `senet-train` the values at the end are left "
        "out: [Settings](settings.md) has every one with its type and its meaning."
    )
    parts = ["## senet-train", block(help_of_training())]
    for name in HELPS:
        parts += [f"## {name}", block(help_of(name))]
    return page("Help of every command", introduction, *parts)


@cache
def help_of(name: str) -> str:
    """What a small command prints with --help."""
    module, words = HELPS[name]
    printed = StringIO()
    wide = patch.dict(os.environ, COLUMNS=WIDTH)
    with wide, redirect_stdout(printed), suppress(SystemExit):
        import_module(module).parse([*words, "--help"])
    return printed.getvalue()


def help_of_training() -> str:
    """What senet-train prints with --help, up to the values."""
    done = subprocess.run(
        [sys.executable, "-m", "senet_train", "--help"], capture_output=True, text=True, check=True
    )
    return done.stdout.partition("== Values")[0]
