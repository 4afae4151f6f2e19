"""`--help` of every small command: what it does, and an example that the command understands."""

import shlex
import tomllib
from importlib import import_module
from typing import Any

import pytest
from support import ROOT

SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
SMALL = {name: place.partition(":")[0] for name, place in SCRIPTS.items() if name != "senet-train"}
VERBS = ["Check", "Compare", "Evaluate", "Measure", "Open", "Predict", "Show", "Write"]


def help_of(module: Any, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    """Its description and its last line."""
    assert module.main([*words, "--help"]) == 0
    paragraphs = capsys.readouterr().out.strip().split("\n\n")
    return paragraphs[1], paragraphs[-1]


@pytest.mark.parametrize("name", SMALL)
def test_help_says_what_it_does_and_has_an_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    module = import_module(SMALL[name])
    description, last = help_of(module, capsys)
    assert description.split()[0] in VERBS
    example = last.removeprefix("Example: ")
    assert example != last
    words = shlex.split(example)
    assert words[0] == name
    module.parse(words[1:])  # an option that is not there is an InputError


def test_the_example_of_a_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("check", "show"):
        _, last = help_of(import_module(SMALL["senet-data"]), capsys, name)
        assert last.startswith(f"Example: senet-data {name} ")
