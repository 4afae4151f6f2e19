"""Every file of `--out DIR`. Imported only to write: matplotlib and jinja2 are slow to import."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from senet_train.compare.comparison import Block, Comparison
from senet_train.compare.pictures.curves import curves_caption, draw_curves
from senet_train.compare.pictures.forest import draw_forest, forest_caption
from senet_train.compare.pictures.pareto import COSTS, draw_pareto, pareto_caption
from senet_train.compare.render.checklist import checklist
from senet_train.compare.render.exports import csv_text, plain
from senet_train.compare.render.latex import latex
from senet_train.compare.render.markdown import escaped, markdown
from senet_train.compare.render.methods import methods
from senet_train.compare.render.page import page
from senet_train.compare.render.report import Report, report_of
from senet_train.figures import Picture, drawable, render_picture, write_picture
from senet_train.system.files import write_json, write_text
from senet_train.system.texts import mapped


def draw_pictures(block: Block, number: int, margin: float) -> list[Picture]:
    """The pictures of a block; `number`, the block's, is part of their files' names."""
    block = mapped(block, drawable)
    draw: list[tuple[str, str, Callable[[], Figure]]] = []
    if any(arm.difference for arm in block.arms):
        draw.append(("forest", forest_caption(block, margin), partial(draw_forest, block, margin)))
    for cost in COSTS if block.costs else ():
        draw.append((cost.name, pareto_caption(block, cost), partial(draw_pareto, block, cost)))
    if any(arm.curves for arm in block.arms):
        draw.append(("curves", curves_caption(block), partial(draw_curves, block)))
    return [render_picture(f"{kind}-{number}", caption, figure) for kind, caption, figure in draw]


def title_of(report: Report) -> str:
    """The question and the answer; of several blocks, how many there are."""
    if len(report.sections) == 1:
        return report.sections[0].answer
    return f"{len(report.sections)} comparisons"


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
    title = title_of(report)
    forests = [next((p for p in own if p.name.startswith("forest")), None) for own in pictures]
    methods_text = "\n\n".join(["## Methods", *map(escaped, paragraphs)]) + "\n"
    return {
        "index.html": page(report, pictures, paragraphs, title=title),
        "comparison.md": markdown(report, methods_text, title=title, forests=forests),
        "comparison.csv": csv_text(comparison),
        "comparison.tex": latex(report),
        "methods.md": methods_text,
        "checklist.md": checklist(comparison),
    }
