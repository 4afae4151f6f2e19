"""The pages of docs/reference say what the code and conf/ say."""

import subprocess
import sys

from support import ROOT


def test_the_pages_are_those_that_the_code_writes() -> None:
    line = [sys.executable, str(ROOT / "scripts/write_reference.py"), "--check"]
    done = subprocess.run(line, capture_output=True, text=True)
    way_on = "run: uv run scripts/write_reference.py"
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr + way_on


def test_every_setting_has_a_meaning() -> None:
    """A key of conf/ without a comment is a row that ends in an empty cell."""
    text = (ROOT / "docs/reference/settings.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if row.endswith("|  |")] == []
