"""The images that a run is looked at with: its own data set, found again."""

import logging
from dataclasses import replace

from senet_train.data.images import Source
from senet_train.data.loaders import Splits, load_splits
from senet_train.errors import InputError
from senet_train.plan import find_data
from senet_train.trained.load import Trained

log = logging.getLogger("senet_train")


def find_own_data(run: Trained, root: str | None = None) -> Source:
    """The data set that the run was made on; nothing is downloaded for it. Raises InputError.

    `root` is where it is now, if it has been moved. Says so if it is not what it was.
    """
    data = run.config.data
    options = dict(data.source.options)
    if root is not None:
        if "root" not in options:
            raise InputError(f"data.root={root} is not for {data.source.name}: leave it out")
        options["root"] = root
    if "download" in options:
        options["download"] = False  # a stranger's configuration must not have us write
    source, _ = find_data(replace(data, source=replace(data.source, options=options)))
    if run.record and source.fingerprint != run.record.data_fingerprint:
        log.warning("warning: %s was made on other data than are there now", run.path)
    return source


def own_splits(run: Trained, root: str | None = None) -> Splits:
    """The run's training, validation and test images. Raises InputError."""
    return load_splits(find_own_data(run, root), run.config.data)
