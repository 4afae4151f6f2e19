"""Do seeds move a whole network, or each test image by itself? Read from correct.npz."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from senet_train.compare.blocks import RunsOfArm, score_of
from senet_train.compare.new_images import same_length
from senet_train.compare.statistics.dispersion import Dispersion, dispersion_of
from senet_train.runs.metrics import TOP1


def scatter_of_differences(
    arms: Sequence[RunsOfArm], control: RunsOfArm
) -> dict[str, Dispersion | None]:
    """The dispersion of each arm's differences from the control, by its folder.

    Empty where the score is no mean over images.
    """
    if score_of(control) != TOP1:
        return {}
    found = {}
    for arm in arms:
        shared = sorted(arm.runs.keys() & control.runs.keys())
        if len(shared) > 1:
            num_images = len(control.runs[shared[0]].correct)
            differences = answers(arm, shared, num_images) - answers(control, shared, num_images)
            found[arm.folder] = dispersion_of(differences)
    return found


def answers(arm: RunsOfArm, seeds: Iterable[int], num_images: int) -> NDArray[np.int8]:
    """1 where a run got an image right, else 0: (num_seeds, num_images).

    Raises InputError for another number of images.
    """
    return np.stack([same_length(arm.runs[seed], num_images) for seed in seeds]).astype(np.int8)
