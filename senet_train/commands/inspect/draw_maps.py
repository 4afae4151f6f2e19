"""Maps laid over their images."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from senet_train.commands.inspect.draw import short
from senet_train.commands.inspect.maps import Overlay
from senet_train.figures import Picture, render_picture

MAPS_CAPTION = (
    "One image of each class shown, and over it: the factor of each pixel in the last attention "
    "layer of each stage, where attention has a say over pixels; and Grad-CAM of the last block "
    "for the class that was said, where captum is installed. Each map has a scale of its own."
)


def draw_maps(overlays: Sequence[Overlay]) -> list[Picture]:
    """One picture with a row for each image; none where there is no map."""
    columns = list(overlays[0].maps) if overlays else []
    if not columns:
        return []
    return [render_picture("maps", MAPS_CAPTION, lambda: rows_of_maps(overlays, columns))]


def rows_of_maps(overlays: Sequence[Overlay], columns: Sequence[str]) -> Figure:
    """The image to the left, its maps to the right."""
    width = min(8.0, 1.9 * (1 + len(columns)))
    figure = Figure(figsize=(width, 0.5 + 1.9 * len(overlays)), layout="constrained")
    grid = figure.subplots(len(overlays), 1 + len(columns), squeeze=False)
    for row, overlay in zip(grid, overlays, strict=True):
        for panel in row:
            panel.imshow(overlay.pixels, interpolation="nearest")
            panel.set_xticks([])
            panel.set_yticks([])
        row[0].set_xlabel(f"{short(overlay.label)}\nsaid: {short(overlay.said)}", fontsize=7)
        for panel, name in zip(row[1:], columns, strict=True):
            shown = overlay.maps[name]
            top = max(float(shown.max()), float(shown.min()) + 1e-6)  # a flat map is no noise
            panel.imshow(shown, cmap="inferno", alpha=0.6, interpolation="bilinear", vmax=top)
    for panel, name in zip(grid[0], ["image", *columns], strict=True):
        panel.set_title(name, fontsize=8)
    return figure
