"""Write the pages of docs/reference that follow from the code and from conf/.

    uv run scripts/write_reference.py [--check]

With --check nothing is written: pages that differ from what the code says are named, exit code 1.
A test does this, so a changed setting, option or preset changes its page in the same commit.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from reference.attentions import attentions_page
from reference.command_help import command_line_page
from reference.exit_codes import exit_codes_page
from reference.experiments import experiments_page
from reference.record import record_page
from reference.settings import settings_page

FOLDER = Path(__file__).parents[1] / "docs/reference"
PAGES: dict[str, Callable[[], str]] = {
    "settings": settings_page,
    "experiments": experiments_page,
    "attentions": attentions_page,
    "command_line": command_line_page,
    "exit_codes": exit_codes_page,
    "record": record_page,
}


def main() -> int:
    """Write every page, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, name what differs")
    check = parser.parse_args().check
    differing = [name for name, page in PAGES.items() if differs(name, page(), write=not check)]
    for name in differing:
        print(f"docs/reference/{name}.md {'differs' if check else 'written'}")
    return int(check and bool(differing))


def differs(name: str, text: str, *, write: bool) -> bool:
    """Whether a page is not what it should be; with `write` it is made so."""
    file = FOLDER / f"{name}.md"
    if file.exists() and file.read_text() == text:
        return False
    if write:
        file.write_text(text)
    return True


if __name__ == "__main__":
    raise SystemExit(main())
