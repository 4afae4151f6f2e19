"""What a run says of its data: how many images of what, in one line and in the record."""

from collections.abc import Sequence

import torch

from senet_train.data.images import Source
from senet_train.data.loaders import Splits
from senet_train.data.scenes import SceneImages
from senet_train.runs.record import DataFacts

UNEQUAL = 1.5  # the largest class to the smallest: from there on the line names them


def facts_of(splits: Splits, source: Source) -> DataFacts:
    """Count the images of each part and, of classifiers, those of the classes."""
    parts = {"training": splits.train, "validation": splits.validation, "test": splits.test}
    images = {name: len(part.labels) for name, part in parts.items()}
    if isinstance(splits.train, SceneImages) or isinstance(splits.test, SceneImages):
        return DataFacts(images=images, notes=list(source.notes))
    sizes = torch.bincount(splits.train.labels, minlength=len(source.class_names))  # (K,)
    largest = int(sizes.argmax())
    return DataFacts(
        images=images,
        smallest_class={source.class_names[int(sizes.argmin())]: int(sizes.min())},
        largest_class={source.class_names[largest]: int(sizes.max())},
        largest_class_share=float((splits.test.labels == largest).double().mean()),
        notes=list(source.notes),
    )


def data_line(facts: DataFacts, class_names: Sequence[str]) -> str:
    """The facts in one line."""
    counts = [f"{count:,} {name}" for name, count in facts.images.items()]
    line = f"data: {', '.join(counts[:-1])} and {counts[-1]} images of {len(class_names):,} classes"
    (largest, most), (smallest, least) = (
        next(iter(found.items()), ("", 0)) for found in (facts.largest_class, facts.smallest_class)
    )
    if most > UNEQUAL * least:
        line += (
            f", {least:,} ({smallest}) to {most:,} ({largest}) training images of a class; "
            f"top-1 to beat is {facts.largest_class_share:.4f}, as {largest} for every test image"
        )
    return "; ".join([line, *facts.notes])
