"""Handwritten digits: 1,797 real 8x8 images that ship inside scikit-learn, so nothing downloads.

Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998,
https://doi.org/10.24432/C50P49. A fifth of each class, always the same, is the test set.
"""

import hashlib
import os
from functools import cache

import torch

from senet_train.data.images import MemoryImages, Source
from senet_train.data.loaders import stratified_split

TEST_FRACTION = 0.2


def digits() -> Source:
    """The ten digits; pixels 0..16 become 0..240, grey becomes three equal channels."""
    every, digest, names, file = read()
    pool, test = stratified_split(every.labels, TEST_FRACTION, seed=0)
    return Source(
        names,
        digest,
        lambda: (every.take(pool), every.take(test)),
        origins=(file,),
        num_images=len(pool),
    )


@cache  # each run of a table asks for them, and the file is text
def read() -> tuple[MemoryImages, str, tuple[str, ...], str]:
    """All images, which nobody may change; their hash, the names of their classes, the file."""
    from sklearn import datasets  # 1 s to import: only for those who use it

    bunch = datasets.load_digits()
    raw = torch.from_numpy(bunch.images * 15).to(torch.uint8)  # (N, 8, 8)
    labels = torch.from_numpy(bunch.target).long()
    pixels = raw[..., None].expand(-1, -1, -1, 3).contiguous()  # (N, 8, 8) -> (N, 8, 8, 3)
    ids = [f"digits/{i:04d}" for i in range(len(labels))]
    digest = hashlib.sha256(raw.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    names = tuple(str(name) for name in bunch.target_names)
    file = os.path.join(os.path.dirname(datasets.__file__), "data", "digits.csv.gz")
    return MemoryImages(pixels, labels, ids), digest, names, file
