"""A comparison on the terminal: tables that read well at 100 columns, verdicts below them."""

from collections.abc import Sequence
from textwrap import wrap

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from senet_train.compare.comparison import Comparison, LeftOut
from senet_train.compare.render.report import (
    LinesUnderHeading,
    Report,
    Section,
    VerdictLine,
    left_out_lines,
    report_of,
)
from senet_train.compare.render.sheets import WIDE_ONLY, Sheet
from senet_train.compare.statistics.difference import Verdict
from senet_train.system.console import table_console
from senet_train.system.texts import printable

# Colours only repeat what the words say.
STYLES: dict[Verdict, str] = {
    "better": "bold green",
    "worse": "bold red",
    "equivalent": "bold cyan",
    "undecided": "yellow",
    "silent": "dim",
}
LONGEST_NAME = 42  # characters, of an arm in the list of verdicts
NARROWEST = 6  # characters, of a column of figures: most headers then need two lines, not three


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print all of it to standard output, or to `console`."""
    print_report(report_of(comparison), console or table_console())


def print_left_out(runs: Sequence[LeftOut]) -> None:
    """Print the runs that are not compared, where there is no comparison to print."""
    if runs:
        print_listing(LinesUnderHeading("Left out", left_out_lines(runs)), table_console())


def print_report(report: Report, console: Console) -> None:
    """Print the opening, each block and what was left out."""
    for line in report.opening:
        console.print(one_line(line, style="bold"))
    for section in report.sections:
        print_section(section, console)
    if report.left_out:
        print_listing(LinesUnderHeading("Left out", report.left_out), console)


def print_section(section: Section, console: Console) -> None:
    """Print one block."""
    console.print()
    console.rule(one_line(section.title, style="bold"), align="left", characters="-", style="dim")
    console.print(one_line(section.differ))
    console.print(one_line(section.common, style="dim"))
    if section.varied:
        console.print(one_line(section.varied))
    for sheet in section.sheets:
        console.print(*sheet_lines(sheet), sep="\n")
    print_verdicts(section.verdicts, console)
    for listing in section.listings:
        print_listing(listing, console)


def sheet_lines(sheet: Sheet) -> list[Table | Text]:
    """A sheet's title, table and footnote."""
    kept = [index for index, column in enumerate(sheet.columns) if column not in WIDE_ONLY]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for index in kept:
        add_column(table, sheet, index)
    for row in sheet.rows:
        table.add_row(*(one_line(row[index]) for index in kept))
    title = Text(f"\n{sheet.title}", style="bold")
    return [title, table, one_line(sheet.footnote, style="dim italic")]


def add_column(table: Table, sheet: Sheet, index: int) -> None:
    """A column of words folds to the width that is left; figures never do, only their header."""
    header = sheet.columns[index]
    if index < sheet.num_words:
        table.add_column(header, overflow="fold")
        return
    cells = max(len(row[index]) for row in sheet.rows)
    words = header.split()
    width = max(cells, NARROWEST if len(words) > 1 else 0, *map(len, words))
    table.add_column("\n".join(wrap(header, width)), justify="right", width=width)


def print_verdicts(verdicts: list[VerdictLine], console: Console) -> None:
    """Print each arm's verdict in words, arms in a column of their own."""
    if not verdicts:
        return
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(overflow="fold", max_width=LONGEST_NAME)
    grid.add_column()
    for line in verdicts:
        grid.add_row(one_line(line.arm), one_line(line.words, style=STYLES[line.verdict]))
    console.print(Text("\nVerdicts", style="bold"), Padding(grid, (0, 0, 0, 2)), sep="\n")


def print_listing(listing: LinesUnderHeading, console: Console) -> None:
    """Print lines under their heading."""
    console.print(Text(f"\n{listing.heading}", style="bold"))
    for line in listing.lines:
        console.print(one_line(f"  {line}"))


def one_line(text: str, style: str = "") -> Text:
    """Text that holds no line break and nothing else that a terminal obeys."""
    return Text(printable(text), style=style)
