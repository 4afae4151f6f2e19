"""Figures in one style, as PNG and SVG files or as pixels."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from anyascii import anyascii
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from senet_train.system.files import write_atomic, write_text
from senet_train.system.texts import printable

INK = "#1b1b1b"
PAPER = "#ffffff"
GREY = "#808080"
BLUE = "#0072b2"
GREEN = "#009e73"
ORANGE = "#d55e00"
# A page has its own of these colours, light or dark.
OF_PAGE = {INK: "ink", PAPER: "paper", BLUE: "blue", GREEN: "green", ORANGE: "orange"}

FONT = "DejaVu Sans"  # matplotlib brings it; it has no Chinese, Japanese or Korean
FURTHER_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "Microsoft YaHei", "SimHei"),
    *("PingFang SC", "Hiragino Sans GB", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("Malgun Gothic", "Yu Gothic", "Arial Unicode MS", "Droid Sans Fallback", "Noto Sans Thai"),
)

# Labels may have any text, so `$` begins no mathematics. A fixed salt for the SVG's ids makes equal
# pictures equal files.
STYLE: dict[Any, Any] = {
    "font.family": [FONT],
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


@cache
def fonts() -> tuple[str, ...]:
    """The families that text is drawn in: ours, and those of this machine for other scripts."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return (FONT, *(name for name in FURTHER_FONTS if name in installed))


@cache
def characters() -> frozenset[int]:
    """The code points that these fonts can draw."""
    files = (font_manager.findfont(name) for name in fonts())
    return frozenset().union(*(font_manager.get_font(file).get_charmap() for file in files))


def drawable(text: str) -> str:
    """The text, its characters that no font here has in Latin letters: 剪 as Jian."""
    return "".join(c if ord(c) in characters() else anyascii(c) for c in printable(text))


DOTS_PER_INCH = 200  # figures are 8 inches wide: 1,600 pixels, sharp where shown at 800


@dataclass(frozen=True)
class Picture:
    """A rendered figure: the stem of its file names, its caption, the content of both files."""

    name: str
    caption: str
    png: bytes
    svg: str

    def inline(self) -> str:
        """The SVG as an element of a page, without ids, in the page's own colours."""
        svg = re.sub(r' id="[\w.]+_\d+"', "", self.svg[self.svg.index("<svg") :])
        box = re.search(r'viewBox="[^"]+"', svg)
        assert box is not None
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        svg = re.sub(r"<svg[^>]*>", f'<svg {box[0]} aria-hidden="true">', svg, count=1)
        for colour, name in OF_PAGE.items():
            svg = svg.replace(f"fill: {colour}", f"fill: var(--{name})")
            svg = svg.replace(f"stroke: {colour}", f"stroke: var(--{name})")
        return svg


def render_picture(name: str, caption: str, draw: Callable[[], Figure]) -> Picture:
    """Draw a figure and render it to both formats, in our style."""
    png, svg = io.BytesIO(), io.StringIO()
    with matplotlib.rc_context({**STYLE, "font.family": fonts(), "svg.hashsalt": name}):
        figure = draw()
        figure.savefig(png, format="png", dpi=DOTS_PER_INCH)
        figure.set_layout_engine("none")  # laid out once: a quarter of the time
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return Picture(name, caption, png.getvalue(), svg.getvalue())


def figure_pixels(draw: Callable[[], Figure]) -> NDArray[np.uint8]:
    """A figure's pixels in our style, (H, W, 3)."""
    with matplotlib.rc_context({**STYLE, "font.family": fonts()}):
        canvas = FigureCanvasAgg(draw())
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def write_picture(picture: Picture, folder: Path) -> list[Path]:
    """Write the PNG and the SVG; their paths. Raises OSError (disk full, no permission)."""
    png, svg = folder / f"{picture.name}.png", folder / f"{picture.name}.svg"
    write_atomic(png, lambda file: file.write(picture.png))
    write_text(svg, picture.svg)
    return [png, svg]
