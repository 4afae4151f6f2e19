"""What a run of the fault tests leaves, and whether two left the same."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from support import TINY, run_folders

# 60 images: 54 to train on, 6 steps of 8 an epoch, 2 steps of 4 a validation; 2 epochs.
LINE = (*TINY, "data.batch_size=8", "trainer.deterministic=true", "data.val_fraction=0.17")
EVERY_STEP = "trainer.checkpoint_minutes=0"
TIMES = {"images_per_second", "images_per_second_quartiles", "inference_ms", "seconds"}


def state_of(base: Path) -> dict[str, Any]:
    """All that a finished run holds, times and memory aside."""
    [folder] = run_folders(base)
    record = json.loads((folder / "result.json").read_text())
    for key in ("started", "finished", "overrides"):
        del record[key]
    for key in (*TIMES, "peak_memory_bytes", "concurrent_runs"):
        del record["cost"][key]
    del record["config"]["trainer"]["checkpoint_minutes"], record["config"]["data"]["workers"]
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    last = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    with np.load(folder / "predictions.npz") as file:
        predictions = dict(file)
    return {
        "record": record,
        "metrics": [{k: v for k, v in row.items() if k not in TIMES} for row in rows],
        "last": {key: last[key] for key in last if key not in ("callbacks", "loops", "made_by")},
        "best": best["state_dict"],
        "predictions": predictions,
    }


def equal(a: Any, b: Any) -> bool:
    """Bit for bit, at any depth."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return bool(np.array_equal(a, b))


def said(base: Path) -> str:
    """What the command printed, all tries together."""
    return (base / "output.txt").read_text()


def write_tree(tree: Path, *, num_images: int, side: int) -> None:
    """Two classes of so many pictures of noise, the same ones to train on and to test on."""
    noise = np.random.default_rng(0).integers(
        0, 256, (2, num_images, side, side, 3), dtype=np.uint8
    )
    for part in ("train", "val"):
        for label in (0, 1):
            folder = tree / part / f"class{label}"
            folder.mkdir(parents=True)
            for number, pixels in enumerate(noise[label]):
                Image.fromarray(pixels).save(folder / f"{part}{number}.png")
