"""What the network said of every test image: the raw material of paired comparisons.

Shapes: N images, K classes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from senet_train.system.files import write_atomic


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """A compressed .npz of plain arrays."""
    write_atomic(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def write_predictions(
    folder: Path, logits: Tensor, labels: Tensor, image_ids: Sequence[str]
) -> None:
    """Write `predictions.npz` and the bit-packed `correct.npz`, from logits (N, K), labels (N,).

    `correct.npz` holds `bits` (numpy.packbits over images in order) and `num_images`.
    """
    probabilities = logits.softmax(1)
    top5 = probabilities.topk(min(5, logits.shape[1]), dim=1)
    true = probabilities.gather(1, labels[:, None])[:, 0]  # (N, K) -> (N,)
    arrays = {
        "image_id": np.array(image_ids, dtype=np.str_),
        "label": labels.numpy().astype(np.int16),
        "top5": top5.indices.numpy().astype(np.int16),
        "probability_first": top5.values[:, 0].to(torch.float16).numpy(),
        "probability_true": true.to(torch.float16).numpy(),
    }
    write_arrays(folder / "predictions.npz", arrays)
    correct = (top5.indices[:, 0] == labels).numpy()
    packed = {"bits": np.packbits(correct), "num_images": np.array(len(correct))}
    write_atomic(folder / "correct.npz", lambda file: np.savez(file, allow_pickle=False, **packed))
