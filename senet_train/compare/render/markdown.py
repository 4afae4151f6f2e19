"""The report as GitHub Markdown."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from senet_train.compare.render.report import LinesUnderHeading, Report, Section
from senet_train.compare.render.sheets import VERDICT, Sheet
from senet_train.system.texts import printable

if TYPE_CHECKING:
    from senet_train.figures import Picture

# Every special character is escaped, except an underscore inside a word, which means nothing.
SPECIAL = re.compile(r"[\\`*\[\]<>|~$&#{}]|(?<!\w)_|_(?!\w)")


def markdown(
    report: Report, methods: str, *, title: str, forests: "Sequence[Picture | None]" = ()
) -> str:
    """The whole document; `methods` is Markdown already, `forests` has a picture for a section."""
    parts = [f"# {escaped(title)}", *(f"**{escaped(line)}**" for line in report.opening)]
    for section, forest in zip_longest(report.sections, forests):
        parts += section_parts(section, forest, with_answer=section.answer != title)
    if report.left_out:
        parts += listing_parts(LinesUnderHeading("Left out", report.left_out), level=2)
    return "\n\n".join([*parts, methods.strip()]).strip() + "\n"


def section_parts(section: Section, forest: "Picture | None", *, with_answer: bool) -> list[str]:
    """One block: the answer and the verdicts, what differs and is shared, lists, tables."""
    parts = [f"## {escaped(section.title)}"]
    parts += [f"**{escaped(section.answer)}**"] if section.answer and with_answer else []
    parts += verdict_parts(section)
    parts += [f"![{escaped(forest.caption)}]({forest.name}.svg)"] if forest else []
    parts += [escaped(section.differ)]
    parts += [f"<sub>{escaped(section.common)}</sub>"] if section.common else []
    parts += [escaped(section.varied)] if section.varied else []
    for listing in section.listings:
        parts += listing_parts(listing, level=3)
    for sheet in section.sheets:
        parts += sheet_parts(sheet, folded=bool(section.answer))
    return parts


def verdict_parts(section: Section) -> list[str]:
    """The table of verdicts, and each verdict that says more in its words."""
    if section.verdict_sheet is None:
        return []
    sheet = section.verdict_sheet
    lines = [f"- {escaped(v.arm)}: **{escaped(v.words)}**" for v in section.in_words]
    parts = [f"### {escaped(sheet.title)}", table(sheet), escaped(sheet.footnote)]
    return [*parts, "\n".join(lines)] if lines else parts


def sheet_parts(sheet: Sheet, *, folded: bool) -> list[str]:
    """A table under its title, or folded behind it."""
    if not folded:
        return [f"### {escaped(sheet.title)}", table(sheet), escaped(sheet.footnote)]
    summary = f"<summary>{sheet.title} ({sheet.about})</summary>"
    return [f"<details>{summary}", table(sheet), escaped(sheet.footnote), "</details>"]


def listing_parts(listing: LinesUnderHeading, level: int) -> list[str]:
    """A heading and its lines."""
    lines = "\n".join(f"- {escaped(str(line))}" for line in listing.lines)
    return [f"{'#' * level} {escaped(listing.heading)}", lines]


def table(sheet: Sheet) -> str:
    """A GitHub table: words to the left, figures to the right, verdicts bold."""
    rules = [":--" if sheet.is_word(i) else "--:" for i in range(len(sheet.columns))]
    rows = [
        [
            f"**{escaped(cell)}**" if column == VERDICT else escaped(cell)
            for column, cell in zip(sheet.columns, row, strict=True)
        ]
        for row in sheet.rows
    ]
    lines = [[escaped(column) for column in sheet.columns], rules, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str) -> str:
    """Escape plain text for Markdown."""
    return SPECIAL.sub(lambda match: f"\\{match[0]}", printable(text))
