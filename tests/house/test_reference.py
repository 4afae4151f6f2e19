"""The pages of docs/reference say what the code and conf/ say."""

import sys

import pytest
from support import ROOT


def test_the_pages_are_those_that_the_code_writes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.setattr(sys, "argv", ["write_reference.py", "--check"])
    import write_reference

    assert write_reference.main() == 0, capsys.readouterr().out + "run: write_reference.py"


def test_every_setting_has_a_meaning() -> None:
    """A key of conf/ without a comment is a row that ends in an empty cell."""
    text = (ROOT / "docs/reference/settings.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if row.endswith("|  |")] == []
