"""Every picture of a comparison."""

from collections.abc import Callable
from functools import partial

from matplotlib.figure import Figure

from senet_train.compare.comparison import Block
from senet_train.compare.render.curves import curves_caption, draw_curves
from senet_train.compare.render.forest import draw_forest, forest_caption
from senet_train.compare.render.pareto import COSTS, draw_pareto, pareto_caption
from senet_train.drawing.picture import Picture, picture


def draw_pictures(block: Block, number: int, margin: float) -> list[Picture]:
    """The pictures of a block; `number` tells their files from another block's."""
    draw: list[tuple[str, str, Callable[[], Figure]]] = []
    if any(arm.difference for arm in block.arms):
        draw.append(("forest", forest_caption(block, margin), partial(draw_forest, block, margin)))
    for cost in COSTS:
        draw.append((cost.name, pareto_caption(block, cost), partial(draw_pareto, block, cost)))
    if any(arm.curves for arm in block.arms):
        draw.append(("curves", curves_caption(block), partial(draw_curves, block)))
    return [picture(f"{kind}-{number}", caption, figure) for kind, caption, figure in draw]
