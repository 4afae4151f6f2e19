"""What to evaluate on: the run's own test images, a folder of class folders, or a named data set.

Wherever the images are from, they get the run's preprocessing, and classes are mapped by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from senet_train.commands.evaluate.requested import RequestedImages
from senet_train.config.schema import Data
from senet_train.data.class_folders import list_part
from senet_train.data.file_reader import FileReader
from senet_train.data.find import find_data
from senet_train.data.imagenet_subset import images_of, load_image
from senet_train.data.images import FileImages, Images, Source
from senet_train.data.layout import Layout, find_layout, part_folders
from senet_train.data.workers import num_workers
from senet_train.errors import InputError, listed
from senet_train.runs.trained.load import Trained
from senet_train.runs.trained.own_data import find_own_data, restricted, test_images_of


@dataclass(frozen=True)
class TestSet:
    """Images with labels in the order of the run's logits; `name` says what they are."""

    name: str
    images: Images
    is_own: bool


def find_test_set(run: Trained, asked: RequestedImages) -> TestSet:
    """The images that the words after RUN ask for. Raises InputError."""
    if asked.folders:
        return test_set_in_folder(run, asked.folders[0])
    if asked.data:
        return named_test_set(run, asked.data[0])
    return own_test_set(run, asked.roots)


def own_test_set(run: Trained, roots: Sequence[str]) -> TestSet:
    """The run's own test images; the last of `roots`, if there is one, is where they are now."""
    source = find_own_data(run, *roots)
    return TestSet("its own test images", test_images_of(source, run.config.data), is_own=True)


def test_set_in_folder(run: Trained, folder: Path) -> TestSet:
    """The images of `folder/<class>/*`, or of the test part if it holds training images too."""
    layout = Layout(folder.parent, {"test": folder})
    if "train" in part_folders(folder, "FOLDER"):
        layout = find_layout(folder, "FOLDER")
        if "test" not in layout.folders:
            raise InputError(f"{folder} has no test images: give one folder of class folders")
    part = list_part(layout, "test", [], frozenset())
    index = indices_of(run, tuple(part.files), str(part.folder))
    data = restricted(run.config.data)
    load = partial(
        load_image,
        image_size=data.image_size,
        crop=data.crop,
        fit=data.fit,
        test_size=data.test_size,
        test_resize=data.test_resize,
        bit_depth=run.preprocess.bit_depth,
    )
    images = images_of(layout, part, FileReader(load, num_workers(data)))
    return TestSet(str(part.folder), replace(images, labels=index[images.labels]), is_own=False)


def named_test_set(run: Trained, asked: Data) -> TestSet:
    """The test images of another data set, as `senet-train` would find it."""
    data = replace(run.config.data, source=asked.source, workers=asked.workers, cache="auto")
    source = find_other_data(data)
    index = indices_of(run, source.class_names, f"data={asked.source.name}")
    source.prepare()
    images = test_images_of(source, data)
    if isinstance(images, FileImages):  # mypy: replace() knows no union
        images = replace(images, labels=index[images.labels])
    else:
        images = replace(images, labels=index[images.labels])
    return TestSet(f"data={asked.source.name}", images, is_own=False)


def find_other_data(data: Data) -> Source:
    """The data set. Raises InputError, with another way out where the run's crop does not fit."""
    try:
        return find_data(data)[0]
    except InputError as error:
        if not str(error).startswith(("data.crop=", "data.test_", "data.image_size=")):
            raise
        raise InputError(
            f"the run cuts its images out of files and data={data.source.name} has none: "
            "give a folder of images"
        ) from error


def indices_of(run: Trained, names: Sequence[str], where: str) -> torch.Tensor:
    """The run's index of each class name. Raises InputError for a class that the run lacks."""
    unknown = [name for name in names if name not in run.class_names]
    if unknown:
        raise InputError(
            f"{where} has classes that the run does not know ({listed(unknown)}): "
            f"its classes are {listed(run.class_names)}"
        )
    return torch.tensor([run.class_names.index(name) for name in names])
