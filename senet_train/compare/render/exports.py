"""The comparison's numbers, unrounded: a CSV row for every arm, and all of it as plain JSON."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from senet_train.compare.comparison import Arm, ArmCost, Block, Comparison
from senet_train.compare.statistics.contrast import ArmMean
from senet_train.system.csv_files import as_csv

# Field of `Difference` -> column.
DIFFERENCE = {
    "num_seeds": "shared_seeds",
    "look": "look",
    "difference": "difference",
    "low": "difference_low",
    "high": "difference_high",
    "p": "holm_p",
    "p_equivalence": "holm_p_equivalence",
    "paired_p": "paired_p",
    "pooled_p": "pooled_p",
    "residual_sd": "residual_sd",
    "verdict": "verdict",
    "words": "words",
}


def csv_text(comparison: Comparison) -> str:
    """One row for each arm of each block; a value that there is not is an empty cell."""
    return as_csv([csv_row(block, arm) for block in comparison.blocks for arm in block.arms])


def csv_row(block: Block, arm: Arm) -> dict[str, Any]:
    """An arm's row. Accuracies are percent, differences points."""
    found = arm.difference
    low, high = arm.new_images or (None, None)
    return {
        "block": block.title,
        "arm": arm.label,
        "folder": arm.folder,
        "settings": arm.settings,
        "is_control": arm.folder == block.control,
        "seeds": " ".join(map(str, arm.seeds)),
        "missing_seeds": " ".join(map(str, arm.missing_seeds)),
        **mean_columns("test", arm.test),
        **(mean_columns("val", arm.val) if arm.val else {}),
        **(mean_columns("val_last", arm.val_last) if arm.val_last else {}),
        **{name: getattr(found, field) if found else None for field, name in DIFFERENCE.items()},
        "variance_by_images": found.dispersion.ratio if found and found.dispersion else None,
        "new_images_low": low,
        "new_images_high": high,
        **(cost_columns(arm.cost) if arm.cost else {}),
        "paper": arm.paper,
    }


def mean_columns(name: str, arm: ArmMean) -> dict[str, float | None]:
    """`test_mean`, `test_sd`, `test_low`, `test_high`."""
    return {f"{name}_{field}": value for field, value in arm._asdict().items()}


def cost_columns(cost: ArmCost) -> dict[str, Any]:
    """Counts, then each spread as median, low and high."""
    columns: dict[str, Any] = {
        "parameters": cost.parameters,
        "attention_parameters": cost.attention_parameters,
        "multiply_adds": cost.multiply_adds,
        "attention_multiply_adds": cost.attention_multiply_adds,
        "shared_machine": cost.shared_machine,
    }
    spreads = {f"inference_ms_{size}": spread for size, spread in cost.inference_ms.items()}
    for name, spread in {"images_per_second": cost.images_per_second, **spreads}.items():
        fields = dataclasses.asdict(spread).items()
        columns |= {f"{name}_{field}": value for field, value in fields}
    return columns


def plain(value: Any) -> Any:
    """Dataclasses and named tuples as dicts, paths and keys as text, NaN and infinity as None."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, ArmMean):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
