"""The data set that a run was trained on, found again."""

import logging
import os
from dataclasses import replace

from senet_train.config.schema import Data
from senet_train.data.find import find_data
from senet_train.data.images import ClassImages, MemoryImages, Source
from senet_train.data.loaders import Splits, load_splits
from senet_train.data.scenes import SceneImages
from senet_train.data.workers import num_workers
from senet_train.errors import InputError
from senet_train.runs.trained.load import Trained

log = logging.getLogger("senet_train")


def own_splits(run: Trained, root: str | None = None) -> Splits:
    """The training, validation and test images of a run; `root` if they have moved there.

    Raises InputError.
    """
    return load_splits(find_own_data(run, root), run.config.data)


def test_images_of(source: Source, data: Data) -> ClassImages:
    """The test images of a source at the size of `data`. Files are not read yet."""
    _, test = source.load()
    if isinstance(test, MemoryImages):
        return test.resized(data.image_size)
    assert not isinstance(test, SceneImages), "no source of classifiers has scenes"
    return test


def find_own_data(run: Trained, root: str | None = None) -> Source:
    """The data set that the run was trained on, which is not downloaded. Raises InputError.

    Warns if it has changed since.
    """
    data = restricted(run.config.data)
    options = dict(data.source.options)
    if root is not None:
        if "root" not in options:
            raise InputError(
                f"data.root={root}: data={data.source.name} lies in no folder, leave it out"
            )
        options["root"] = root
    try:
        source, _ = find_data(replace(data, source=replace(data.source, options=options)))
    except InputError as error:
        if "root" not in options:
            raise
        fact = str(error).partition(": ")[0]  # the way out that follows is a training run's
        raise InputError(
            f"the data of {run.path} are not there ({fact}): say where they are by data.root=DIR"
        ) from error
    if run.record and (doubt := source.doubt(run.record.data_fingerprint)):
        log.warning("warning: %s: %s", run.path, doubt)
    return source


def restricted(data: Data) -> Data:
    """The configuration of the data, without downloads and with at most one worker a core.

    A stranger may have written it.
    """
    options = dict(data.source.options)
    if "download" in options:
        options["download"] = False
    workers = min(num_workers(data), os.cpu_count() or 1)
    return replace(data, source=replace(data.source, options=options), workers=workers)
