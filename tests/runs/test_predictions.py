"""What a comparison reads of a stranger's predictions: arrays of the expected form, or a line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from senet_train.errors import InputError
from senet_train.runs.predictions import MOST_IMAGES, read_correct, read_overlaps, write_correct

BITS = np.zeros(50, "u1")
COUNTS = np.ones((4, 3), "i4")


@pytest.mark.parametrize(
    "arrays",
    [
        {"bits": BITS, "num_images": 401},
        {"bits": BITS, "num_images": 0},
        {"bits": BITS, "num_images": -1},
        {"bits": BITS, "num_images": 3.5},
        {"bits": BITS, "num_images": [1, 2]},
        {"bits": BITS.astype("f8"), "num_images": 400},
        {"bits": BITS[None], "num_images": 400},
        {"bits": np.array("text"), "num_images": 400},
        {"bits": np.zeros(MOST_IMAGES // 8 + 1, "u1"), "num_images": MOST_IMAGES + 1},
        {"bits": BITS},
    ],
)
def test_bits_that_are_none(arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "correct.npz", **arrays)
    with pytest.raises(InputError, match=r"correct\.npz cannot be read"):
        read_correct(tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"hits": COUNTS, "unions": COUNTS[:2]},
        {"hits": COUNTS, "unions": np.zeros((4, 3), "i4")},
        {"hits": COUNTS[0], "unions": COUNTS[0]},
        {"hits": COUNTS.astype("f4"), "unions": COUNTS},
        {"hits": np.zeros((0, 3), "i4"), "unions": np.zeros((0, 3), "i4")},
        {"hits": COUNTS},
    ],
)
def test_counts_that_are_none(arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "overlaps.npz", **arrays)
    with pytest.raises(InputError, match=r"overlaps\.npz cannot be read"):
        read_overlaps(tmp_path)


def test_ours_are_read(tmp_path: Path) -> None:
    """The control."""
    right = np.arange(13) % 3 == 0
    write_correct(tmp_path, right)
    np.testing.assert_array_equal(read_correct(tmp_path), right)
    np.savez_compressed(tmp_path / "overlaps.npz", hits=COUNTS, unions=COUNTS)
    np.testing.assert_array_equal(read_overlaps(tmp_path)[1], COUNTS)
