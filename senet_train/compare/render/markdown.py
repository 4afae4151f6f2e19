"""The report as GitHub Markdown."""

import re

from senet_train.compare.render.report import LinesUnderHeading, Report, Section
from senet_train.compare.render.sheets import Sheet
from senet_train.system.texts import printable

# Every special character is escaped, except an underscore inside a word, which means nothing.
SPECIAL = re.compile(r"[\\`*\[\]<>|~$&#{}]|(?<!\w)_|_(?!\w)")


def markdown(report: Report, methods: str, *, title: str) -> str:
    """The whole document; `methods` is Markdown already."""
    parts = [f"# {title}", *(f"**{escaped(line)}**" for line in report.opening)]
    for section in report.sections:
        parts += section_parts(section)
    if report.left_out:
        parts += listing_parts(LinesUnderHeading("Left out", report.left_out), level=2)
    return "\n\n".join([*parts, methods.strip()]).strip() + "\n"


def section_parts(section: Section) -> list[str]:
    """One block: what differs, what is shared, tables, verdicts, lists."""
    parts = [f"## {escaped(section.title)}", escaped(section.differ)]
    parts += [f"<sub>{escaped(section.common)}</sub>"] if section.common else []
    parts += [escaped(section.varied)] if section.varied else []
    for sheet in section.sheets:
        parts += [f"### {escaped(sheet.title)}", table(sheet), escaped(sheet.footnote)]
    if section.verdicts:
        lines = [f"- {escaped(v.arm)}: **{escaped(v.words)}**" for v in section.verdicts]
        parts += ["### Verdicts", "\n".join(lines)]
    for listing in section.listings:
        parts += listing_parts(listing, level=3)
    return parts


def listing_parts(listing: LinesUnderHeading, level: int) -> list[str]:
    """A heading and its lines."""
    lines = "\n".join(f"- {escaped(line)}" for line in listing.lines)
    return [f"{'#' * level} {escaped(listing.heading)}", lines]


def table(sheet: Sheet) -> str:
    """A GitHub table: words to the left, figures to the right."""
    rules = [":--" if i < sheet.num_words else "--:" for i in range(len(sheet.columns))]
    rows = [map(escaped, sheet.columns), rules, *(map(escaped, row) for row in sheet.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def escaped(text: str) -> str:
    """Escape plain text for Markdown."""
    return SPECIAL.sub(lambda match: f"\\{match[0]}", printable(text))
