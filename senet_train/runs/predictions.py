"""What a network predicted for every test image: the data of paired comparisons.

`predictions.npz` has the predictions, `correct.npz` (classification) and `overlaps.npz`
(segmentation) only what a comparison needs of them.

Shapes: N test images, K classes, B boxes of all images, H height, W width.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from senet_train.system.files import write_atomic
from senet_train.system.foreign_files import BadFile, read_arrays

if TYPE_CHECKING:  # comparisons read these files and need no torch
    from torch import Tensor

PREDICTIONS_FILE, CORRECT_FILE, OVERLAPS_FILE = "predictions.npz", "correct.npz", "overlaps.npz"


MOST_IMAGES = 10_000_000  # of a test set that a comparison can resample


def write_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed .npz file of plain arrays."""
    write_atomic(file, lambda opened: np.savez_compressed(opened, allow_pickle=False, **arrays))


def write_class_predictions(
    run: Path, logits: "Tensor", labels: "Tensor", image_ids: Sequence[str]
) -> None:
    """Write predictions.npz and correct.npz from logits (N, K) and labels (N,)."""
    probabilities = logits.softmax(1)
    top5 = probabilities.topk(min(5, logits.shape[1]), dim=1)
    true = probabilities.gather(1, labels[:, None])[:, 0]  # (N, K) -> (N,)
    arrays = {
        "image_id": np.array(image_ids, dtype=np.str_),
        "label": labels.numpy().astype(index_type(logits.shape[1])),
        "top5": top5.indices.numpy().astype(index_type(logits.shape[1])),
        "probability_first": top5.values[:, 0].half().numpy(),
        "probability_true": true.half().numpy(),
    }
    write_arrays(run / PREDICTIONS_FILE, arrays)
    write_correct(run, (top5.indices[:, 0] == labels).numpy())


def index_type(num_classes: int) -> type[np.signedinteger]:
    """The smallest type of integers, from 16 bits on, that holds every class."""
    return np.int16 if num_classes <= 2**15 else np.int32


def write_correct(run: Path, correct: NDArray[np.bool_]) -> None:
    """Write correct.npz: whether each image was classified correctly, (N,), as packed bits."""
    packed = {"bits": np.packbits(correct), "num_images": np.array(len(correct))}
    write_atomic(run / CORRECT_FILE, lambda file: np.savez(file, allow_pickle=False, **packed))


def read_correct(run: Path) -> NDArray[np.bool_]:
    """Whether each test image was classified correctly, (N,), at least one.

    Raises FileNotFoundError, and InputError for a damaged file.
    """
    file = run / CORRECT_FILE
    bits, count = read_arrays(file, ["bits", "num_images"])
    if bits.dtype != np.uint8 or bits.ndim != 1 or count.dtype.kind not in "iu" or count.ndim:
        raise BadFile(file, "its arrays are not packed bits and their number")
    if not 8 * len(bits) >= int(count) > 0:
        raise BadFile(file, f"it has {8 * len(bits)} bits for {int(count)} images")
    if int(count) > MOST_IMAGES:
        raise BadFile(file, f"it has more than {MOST_IMAGES:,} images")
    correct: NDArray[np.bool_] = np.unpackbits(bits)[: int(count)] == 1
    return correct


def write_pixel_predictions(run: Path, classes: "Tensor", image_ids: Sequence[str]) -> None:
    """Write predictions.npz from the predicted class of every pixel, (N, H, W)."""
    arrays = {"image_id": np.array(image_ids, dtype=np.str_), "classes": classes.numpy()}
    write_arrays(run / PREDICTIONS_FILE, arrays)


def write_overlaps(run: Path, intersections: "Tensor", unions: "Tensor") -> None:
    """Write overlaps.npz: pixels in both and in either of truth and prediction, (N, K) each."""
    write_arrays(run / OVERLAPS_FILE, {"hits": intersections.numpy(), "unions": unions.numpy()})


def read_overlaps(run: Path) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Pixels in both and in either of truth and prediction, (N, K) each.

    Raises FileNotFoundError, and InputError for a damaged file.
    """
    file = run / OVERLAPS_FILE
    hits, unions = read_arrays(file, ["hits", "unions"])
    whole = hits.dtype.kind in "iu" and unions.dtype.kind in "iu"
    if not whole or hits.ndim != 2 or hits.shape != unions.shape or not unions.any():
        raise BadFile(file, "its arrays are no counts of each image and class")
    return hits, unions


def write_box_predictions(
    run: Path,
    *,
    image: "Tensor",
    boxes: "Tensor",
    labels: "Tensor",
    scores: "Tensor",
    image_ids: Sequence[str],
) -> None:
    """Write predictions.npz from predicted boxes (B, 4), their labels and scores (B,).

    `image` (B,) is the number of the image that a box is in.
    """
    arrays = {
        "image_id": np.array(image_ids, dtype=np.str_),
        "image": image.int().numpy(),
        "box": boxes.float().numpy(),
        "label": labels.short().numpy(),
        "score": scores.float().numpy(),
    }
    write_arrays(run / PREDICTIONS_FILE, arrays)
