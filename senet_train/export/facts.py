"""What an exported file says of the run it is: plain texts, no path of the machine it was made on.

Keys are the same in every format; values that are no text are JSON.
"""

import json
from dataclasses import asdict
from typing import Any

import senet_train
from senet_train.config import Config
from senet_train.identity import as_tree
from senet_train.trained.load import Trained

PRIVATE = ("root", "exclude", "download")  # of data: where it lies on this machine


def facts_of(run: Trained) -> dict[str, str]:
    """The file's metadata."""
    facts = {
        "label": run.label,
        "class_names": json.dumps(run.class_names),
        "preprocessing": json.dumps(asdict(run.preprocess)),
        "config": json.dumps(portable(run.config)),
        "made_by": f"senet-train {senet_train.__version__}",
    }
    record = run.record
    if record is not None:
        facts |= {
            "arm": record.arm,
            "identity": record.identity,
            "seed": str(record.seed),
            "data": str(run.config.data.source.name),
            "data_fingerprint": record.data_fingerprint,
            "metrics": json.dumps(asdict(record.metrics)),
            "metrics_precision": record.environment.precision,
        }
    return facts


def portable(config: Config) -> dict[str, Any]:
    """The configuration as in conf/, without this machine's folders; it can be read again."""
    tree = as_tree(config)
    tree["data"] = {key: value for key, value in tree["data"].items() if key not in PRIVATE}
    return {**tree, "output_dir": "outputs"}
