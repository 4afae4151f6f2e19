"""What an exported file says of its run: text for the metadata of any format."""

import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from senet_train.config.schema import Config
from senet_train.runs.identity import as_tree
from senet_train.runs.trained.load import Trained

MACHINE_KEYS = ("root", "exclude", "download")  # of data: where it lies on this machine


def metadata_of(run: Trained) -> dict[str, str]:
    """Label, classes, preprocessing and configuration; of a finished run its identity and metrics.

    Values that are no text are JSON.
    """
    metadata = {
        "label": run.label,
        "class_names": json.dumps(run.class_names),
        "preprocessing": json.dumps(asdict(run.preprocess)),
        "config": json.dumps(without_paths(run.config)),
        "made_by": f"senet-train {version('senet-train')}",
    }
    record = run.record
    if record is not None:
        metadata |= {
            "arm": record.arm,
            "identity": record.identity,
            "seed": str(record.seed),
            "data": str(run.config.data.source.name),
            "data_fingerprint": record.data_fingerprint,
            "metrics": json.dumps(asdict(record.metrics)),
            "metrics_precision": record.environment.precision,
        }
    return metadata


def without_paths(config: Config) -> dict[str, Any]:
    """The configuration as in conf/, without this machine's folders; it can be read again."""
    tree = as_tree(config)
    tree["data"] = {key: value for key, value in tree["data"].items() if key not in MACHINE_KEYS}
    return {**tree, "output_dir": "outputs"}
