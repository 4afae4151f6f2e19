"""The files of an inspection: tables, pictures, a page, and events for TensorBoard."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from senet_train.commands.inspect.alarms import Layer
from senet_train.commands.inspect.draw import draw_pictures
from senet_train.commands.inspect.events import write_events
from senet_train.commands.inspect.knockout import Knockout
from senet_train.commands.inspect.report import mean_of, report_of, spread_of
from senet_train.commands.inspect.session import RunInspection
from senet_train.commands.inspect.timing import AddedTime
from senet_train.compare.excitations import KNOCKOUTS, LAYERS
from senet_train.compare.render.markdown import markdown
from senet_train.compare.render.page import page
from senet_train.figures import Picture, write_picture
from senet_train.system.csv_files import as_csv
from senet_train.system.files import write_atomic, write_text

PICTURES = ("classes", "spread", "depth", "heat", "losses", "maps")


def write_inspection(inspection: RunInspection, folder: Path, *, graph: bool) -> list[Path]:
    """Draw and write all into `folder`, made if it is missing; the files written, the page first.

    Raises OSError (disk full, no permission).
    """
    pictures = draw_pictures(inspection)
    written = write_files(inspection, pictures, folder)
    write_events(inspection, pictures, folder, graph=graph)
    return written


def write_files(inspection: RunInspection, pictures: list[Picture], folder: Path) -> list[Path]:
    """Tables, pictures and the page; the files written."""
    report = report_of(inspection)
    texts = {
        "index.html": page(report, [pictures], [], title="Excitations"),
        "excitations.md": markdown(report, "", title="Excitations"),
        **tables(inspection.gates.layers, inspection.knockouts, inspection.added_times),
    }
    texts = {name: text for name, text in texts.items() if text}
    folder.mkdir(parents=True, exist_ok=True)
    drop_old(folder)
    for name, text in texts.items():
        write_text(folder / name, text)
    write_atomic(folder / "gates.npz", lambda file: np.savez_compressed(file, **arrays(inspection)))
    drawn = [file for drawing in pictures for file in write_picture(drawing, folder)]
    return [*(folder / name for name in texts), folder / "gates.npz", *drawn]


def tables(
    layers: Sequence[Layer], knockouts: Sequence[Knockout], added_times: Sequence[AddedTime]
) -> dict[str, str]:
    """File name -> CSV; "" for a table without rows."""
    return {
        LAYERS: as_csv([layer_row(layer) for layer in layers]),
        "channels.csv": as_csv([row for layer in layers for row in channel_rows(layer)]),
        KNOCKOUTS: as_csv([knockout_row(knockout) for knockout in knockouts]),
        "savings.csv": as_csv([added_time_row(added) for added in added_times]),
    }


def drop_old(folder: Path) -> None:
    """Remove files of an earlier inspection that this one may not write."""
    for name in (*(f"{drawn}.*" for drawn in PICTURES), KNOCKOUTS, "savings.csv"):
        for file in folder.glob(name):
            file.unlink()


def layer_row(layer: Layer) -> dict[str, Any]:
    """A layer's row in layers.csv."""
    gates = layer.gates
    return {
        "layer": layer.name,
        "stage": layer.stage,
        "channels": layer.channels,
        "hidden": layer.hidden,
        "dead_hidden": layer.num_dead,
        "mean": mean_of(gates.all_mean),
        "sd_over_channels": spread_of(gates.all_mean),
        "sd_over_images": mean_of(gates.all_std),
        "saturated": gates.saturated,
        "closed": gates.closed,
        "constant": gates.constant,
        "between_classes": gates.between,
        "beyond": layer.beyond,
        "strength": layer.strength,
    }


def channel_rows(layer: Layer) -> Iterator[dict[str, Any]]:
    """A layer's rows in channels.csv: each channel's gate over all images."""
    for channel, (mean, std) in enumerate(
        zip(layer.gates.all_mean, layer.gates.all_std, strict=True)
    ):
        yield {"layer": layer.name, "channel": channel, "mean": mean, "sd": std}


def knockout_row(knockout: Knockout) -> dict[str, Any]:
    """A row in knockouts.csv."""
    held, removed = knockout.held, knockout.removed
    return {
        "knocked_out": knockout.name,
        "stage": knockout.stage or "",
        "layers": len(knockout.layers),
        "held_points": held.points,
        "held_low": held.low,
        "held_high": held.high,
        "removed_points": removed.points,
        "removed_low": removed.low,
        "removed_high": removed.high,
        "parameters": knockout.parameters,
    }


def added_time_row(added: AddedTime) -> dict[str, Any]:
    """A row in savings.csv."""
    low, median, high = added.percent
    return {
        "layers": added.name,
        "images": added.batch_size,
        "with_ms": added.with_ms,
        "without_ms": added.without_ms,
        "added_percent": median,
        "added_percent_low": low,
        "added_percent_high": high,
    }


def arrays(inspection: RunInspection) -> dict[str, Any]:
    """What gates.npz holds: the classes' names, and each layer's `mean` and `std`, (K, C)."""
    found: dict[str, Any] = {"classes": np.array(inspection.run.class_names, dtype=np.str_)}
    for layer in inspection.gates.layers:
        found[f"{layer.name}.mean"] = layer.gates.mean.astype(np.float32)
        found[f"{layer.name}.std"] = layer.gates.std.astype(np.float32)
    return found
