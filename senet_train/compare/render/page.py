"""One HTML page with everything in it: it opens from disk, loads no file and runs no script."""

import re
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from senet_train.compare.render.report import Report
from senet_train.figures import Picture
from senet_train.system.texts import printable

TEMPLATE = "page.html.j2"


def page(report: Report, pictures: list[list[Picture]], methods: list[str], *, title: str) -> str:
    """The page; `pictures` holds a list for each section, in order."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    environment.filters |= {"signs": signs, "inline": inline, "heading": heading}
    template = environment.from_string(files(__package__).joinpath(TEMPLATE).read_text("utf-8"))
    blocks = list(zip(report.sections, pictures, strict=True))
    return template.render(report=report, blocks=blocks, methods=methods, title=title)


def shown(value: object) -> object:
    """Text without control characters; the markup of a picture is what it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def signs(text: str) -> str:
    """Typographic signs for `+-`, `<=` and a minus, in text that is not escaped yet."""
    text = text.replace("+-", "\N{PLUS-MINUS SIGN}").replace("<=", "\N{LESS-THAN OR EQUAL TO}")
    return re.sub(r"(?<![^\s(])-(?=\d)", "\N{MINUS SIGN}", text)


def inline(picture: Picture) -> Markup:
    """The SVG unescaped: matplotlib has escaped the labels in it."""
    return Markup(picture.inline())


def heading(picture: Picture) -> str:
    """What the picture shows: the first sentence of its caption."""
    return picture.caption.partition(". ")[0]
