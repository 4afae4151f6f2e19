"""A comparison on the terminal: verdicts first, then tables, in any width without a broken name."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from senet_train.compare.comparison import Comparison, LeftOut
from senet_train.compare.render.columns import Fitted, fitted
from senet_train.compare.render.report import (
    Line,
    LinesUnderHeading,
    Report,
    Section,
    left_out_lines,
    report_of,
)
from senet_train.compare.render.sheets import VERDICT_NAMES
from senet_train.compare.statistics.difference import Verdict
from senet_train.system.console import table_console
from senet_train.system.texts import printable

# Colours only repeat what the words say.
STYLES: dict[Verdict, str] = {
    "better": "bold green",
    "worse": "bold red",
    "equivalent": "bold cyan",
    "undecided": "yellow",
    "withheld": "yellow",
    "silent": "dim",
}
PAGE = "A wider terminal shows them, and the page that --out DIR writes."


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print all of it to standard output, or to `console`."""
    print_report(report_of(comparison), console or table_console())


def print_left_out(runs: Sequence[LeftOut]) -> None:
    """Print the runs that are not compared, where there is no comparison to print."""
    if runs:
        print_listing(LinesUnderHeading("Left out", left_out_lines(runs)), table_console())


def print_report(report: Report, console: Console, *, page: str = PAGE) -> None:
    """Print the opening, each block, what was left out, and what the width left no room for.

    `page` says in words where all columns are.
    """
    for line in report.opening:
        console.print(one_line(line, style="bold"))
    narrow: dict[str, list[str]] = defaultdict(list)
    for section in report.sections:
        for table in print_section(section, console):
            told = narrow[table.sheet.title]
            told += [name for name in table.names_left_out if name not in told]
    if report.left_out:
        print_listing(LinesUnderHeading("Left out", report.left_out), console)
    tables = ", ".join(f"{title} ({'; '.join(names)})" for title, names in narrow.items() if names)
    if tables:
        console.print()
        words = f"{console.width} columns have no room for {tables}. {page}"
        console.print(one_line(words, style="dim"))


def print_section(section: Section, console: Console) -> list[Fitted]:
    """Print one block; its tables as they were printed."""
    print_title(section.title, console)
    tables = [fitted(sheet, console.width) for sheet in section.sheets]
    if section.verdict_sheet:
        tables.insert(0, fitted(section.verdict_sheet, console.width))
        print_verdicts(section, tables[0], console)
    for line, style in ((section.differ, ""), (section.common, "dim"), (section.varied, "")):
        if line:
            console.print(one_line(line, style=style))
    for table in tables[len(tables) - len(section.sheets) :]:
        print_table(table, console)
    for listing in section.listings:
        print_listing(listing, console)
    return tables


def print_title(title: str, console: Console) -> None:
    """Print the title, and a rule behind it."""
    text = one_line(title, style="bold")
    rest = console.width - text.cell_len - 1
    console.print()
    console.print(text.append(f" {'-' * rest}", style="dim"))


def print_verdicts(section: Section, table: Fitted, console: Console) -> None:
    """Print the answer, a line for every arm, and what the verdicts say in words."""
    console.print(one_line(section.answer, style="bold"))
    print_table(table, console, [line.verdict for line in section.verdicts])
    print_in_words(section, console)
    console.print()


def print_table(table: Fitted, console: Console, verdicts: Sequence[Verdict] = ()) -> None:
    """Print a table with its title and footnote; each row's verdict, if it has one, in colour."""
    console.print(Text(f"\n{table.sheet.title}", style="bold"))
    for line in table.header("-" if console.options.ascii_only else "─"):
        console.print(Text(line))
    for row, verdict in zip_longest(table.sheet.rows, verdicts):
        for line in table.row(row):
            console.print(coloured(line, verdict) if verdict else Text(line))
    console.print(one_line(table.sheet.footnote, style="dim italic"))


def coloured(line: str, verdict: Verdict) -> Text:
    """A line of the table of verdicts; behind the verdict there are figures alone."""
    text, name = Text(line), VERDICT_NAMES[verdict]
    start = line.rfind(name)
    text.stylize(STYLES[verdict], start, start + len(name))
    return text


def print_in_words(section: Section, console: Console) -> None:
    """Print what the verdicts say beyond their names, once where several arms have the words."""
    arms: dict[tuple[Verdict, str], list[str]] = defaultdict(list)
    for line in section.in_words:
        arms[line.verdict, line.words].append(printable(line.arm))
    if arms:
        console.print(Text("\nIn words", style="bold"))
    for (verdict, words), names in arms.items():
        print_indented(one_line(words, style=STYLES[verdict]), 2, console)
        if len(names) < len(section.verdicts):
            for row in packed(names, console.width - 4):
                print_indented(Text(row), 4, console)


def packed(names: Sequence[str], width: int) -> list[str]:
    """Lines of names, each with as many as fit."""
    rows: list[str] = []
    for name in names:
        if rows and cell_len(f"{rows[-1]}  {name}") <= width:
            rows[-1] += f"  {name}"
        else:
            rows.append(name)
    return rows


def print_listing(listing: LinesUnderHeading, console: Console) -> None:
    """Print lines under their heading."""
    console.print(Text(f"\n{listing.heading}", style="bold"))
    for line in listing.lines:
        print_line(line, console)


def print_line(line: Line, console: Console) -> None:
    """Print a line of a list; an arm's name by itself, if the whole does not fit in a line."""
    if line.arm and 2 + cell_len(printable(str(line))) > console.width:
        print_indented(one_line(line.arm), 2, console)
        print_indented(one_line(line.words), 4, console)
    else:
        print_indented(one_line(str(line)), 2, console)


def print_indented(text: Text, indent: int, console: Console) -> None:
    """Print a text in lines that begin with spaces; with fewer, if then it fits in one line."""
    if text.cell_len <= console.width:
        indent = min(indent, console.width - text.cell_len)
    for line in text.wrap(console, console.width - indent):
        console.print(Text(" " * indent).append_text(line))


def one_line(text: str, style: str = "") -> Text:
    """Text that holds no line break and nothing else that a terminal obeys."""
    return Text(printable(text), style=style)
