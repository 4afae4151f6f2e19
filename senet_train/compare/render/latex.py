"""The tables as LaTeX for a paper; they need booktabs and no other package."""

import re

from senet_train.compare.render.report import Report, Section
from senet_train.compare.render.sheets import Sheet
from senet_train.system.texts import printable

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}
ESCAPES = str.maketrans(SPECIAL)
HEADER = r"""% Written by senet-compare. In the preamble:
% \usepackage[T1]{fontenc} \usepackage{booktabs}
% A table wider than the column: put \small or \footnotesize before it."""


def latex(report: Report) -> str:
    """Every table of every block, each with its caption."""
    parts = [HEADER, *(f"% {one_line(line)}" for line in report.opening)]
    for number, section in enumerate(report.sections, start=1):
        parts += section_parts(section, number)
    return "\n\n".join(parts) + "\n"


def section_parts(section: Section, number: int) -> list[str]:
    """One block's tables: the verdicts first, and last what they say in words."""
    words = [[line.arm, line.words] for line in section.in_words]
    sheets = [section.verdict_sheet] if section.verdict_sheet else []
    sheets += section.sheets
    sheets += [Sheet("In words", ["arm", "verdict"], words, num_words=2)] if words else []
    name = f"% {one_line(section.title)}; {one_line(section.differ)}"
    name += f"\n% {one_line(section.varied)}" if section.varied else ""
    return [name, *(table(sheet, section, number) for sheet in sheets)]


def table(sheet: Sheet, section: Section, number: int) -> str:
    """A floating table, with the footnote in its caption and the block's number in its label."""
    title = sheet.title if sheet.title.endswith("?") else f"{sheet.title}."
    caption = escaped(f"{section.title}. {title} {sheet.footnote}".strip())
    key = re.sub(r"[^a-z]+", "-", sheet.title.lower()).strip("-")
    columns = "".join("l" if sheet.is_word(i) else "r" for i in range(len(sheet.columns)))
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{caption}}}",
        rf"  \label{{tab:{key}-{number}}}",
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        row(sheet.columns),
        r"    \midrule",
        *map(row, sheet.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def row(cells: list[str]) -> str:
    """One row of a tabular. Empty braces first: a cell may start with `[`, which is an option."""
    return f"    {{}}{' & '.join(map(escaped, cells))} \\\\"


def escaped(text: str) -> str:
    """Escape plain text for LaTeX; `+-`, `<=` and a minus become mathematics."""
    text = (
        printable(text)
        .translate(ESCAPES)
        .replace("+-", r"$\pm$")
        .replace(r"\textless{}=", r"$\le$")
    )
    return re.sub(r"(?<![^\s(])-(?=\d)", "$-$", text)


def one_line(text: str) -> str:
    """The text without line breaks, which would end a comment."""
    return printable(" ".join(text.split()))
