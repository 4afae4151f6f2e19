"""Every file of `--out DIR`. Imports matplotlib and jinja2: only a command that writes needs it."""

from pathlib import Path

from senet_train.atomic import write_json, write_text
from senet_train.compare.comparison import Comparison
from senet_train.compare.render.exports import csv_text, plain
from senet_train.compare.render.latex import latex
from senet_train.compare.render.markdown import escaped, markdown
from senet_train.compare.render.methods import methods
from senet_train.compare.render.page import page
from senet_train.compare.render.pictures import draw_pictures
from senet_train.compare.render.report import report_of
from senet_train.drawing.picture import Picture, write_picture

TITLE = "Comparison"


def write_reports(comparison: Comparison, folder: Path) -> list[Path]:
    """Write all of it into `folder`, made if it is missing; return the files written.

    Everything is rendered before the first file is. Raises OSError (disk full, no permission).
    """
    pictures = [
        draw_pictures(block, number, comparison.margin)
        for number, block in enumerate(comparison.blocks, start=1)
    ]
    texts = render_texts(comparison, pictures)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    write_json(folder / "comparison.json", plain(comparison))
    drawn = [picture for block in pictures for picture in block]
    return [
        *(folder / name for name in texts),
        folder / "comparison.json",
        *(path for picture in drawn for path in write_picture(picture, folder)),
    ]


def render_texts(comparison: Comparison, pictures: list[list[Picture]]) -> dict[str, str]:
    """File name -> content, the page first: it is the one to open."""
    report, paragraphs = report_of(comparison), methods(comparison)
    methods_text = "\n\n".join(["## Methods", *map(escaped, paragraphs)]) + "\n"
    return {
        "index.html": page(report, pictures, paragraphs, title=TITLE),
        "comparison.md": markdown(report, methods_text, title=TITLE),
        "comparison.csv": csv_text(comparison),
        "comparison.tex": latex(report),
        "methods.md": methods_text,
    }
