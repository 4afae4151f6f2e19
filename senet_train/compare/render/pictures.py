"""Every picture of a comparison, as PNG and SVG. Drawn without pyplot: no window, no state."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from senet_train.compare.comparison import Block
from senet_train.compare.render.curves import CURVES_CAPTION, draw_curves
from senet_train.compare.render.forest import draw_forest, forest_caption
from senet_train.compare.render.ink import INK, PAPER
from senet_train.compare.render.pareto import COSTS, draw_pareto, pareto_caption

# Labels are anybody's: `$` is no mathematics. A fixed salt makes equal pictures equal files.
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "legend.frameon": False,
    "svg.fonttype": "none",
}
DOTS_PER_INCH = 200  # figures are 8 inches wide: 1,600 pixels, sharp where shown at 800


@dataclass(frozen=True)
class Picture:
    """One picture: a file's stem, what to see in it, and the two files."""

    name: str
    caption: str
    png: bytes
    svg: str

    def inline(self) -> str:
        """The SVG for a page of any colours: no header, no names, ink and paper the page's."""
        svg = re.sub(r' id="[\w.]+_\d+"', "", self.svg[self.svg.index("<svg") :])
        box = re.search(r'viewBox="[^"]+"', svg)
        assert box is not None
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        svg = re.sub(r"<svg[^>]*>", f'<svg {box[0]} aria-hidden="true">', svg, count=1)
        for colour, name in ((INK, "var(--ink)"), (PAPER, "var(--paper)")):
            svg = svg.replace(f"fill: {colour}", f"fill: {name}")
            svg = svg.replace(f"stroke: {colour}", f"stroke: {name}")
        return svg


def draw_pictures(block: Block, number: int, margin: float) -> list[Picture]:
    """The pictures of a block; `number` tells their files from another block's."""
    draw: list[tuple[str, str, Callable[[], Figure]]] = []
    if any(arm.difference for arm in block.arms):
        draw.append(("forest", forest_caption(margin), partial(draw_forest, block, margin)))
    for cost in COSTS:
        draw.append((cost.name, pareto_caption(cost), partial(draw_pareto, block, cost)))
    if any(arm.curves for arm in block.arms):
        draw.append(("curves", CURVES_CAPTION, partial(draw_curves, block)))
    return [picture(f"{kind}-{number}", caption, figure) for kind, caption, figure in draw]


def picture(name: str, caption: str, draw: Callable[[], Figure]) -> Picture:
    """Draw and save in the house's style, which holds while both are done."""
    png, svg = io.BytesIO(), io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = draw()
        figure.savefig(png, format="png", dpi=DOTS_PER_INCH)
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return Picture(name, caption, png.getvalue(), svg.getvalue())
