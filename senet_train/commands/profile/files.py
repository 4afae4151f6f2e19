"""Profiles as files: JSON with everything in it, CSV with a row for each timing."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from senet_train.commands.profile.measure import Profile
from senet_train.config.image_size import typed_size
from senet_train.runs.record import Environment
from senet_train.system.csv_files import csv_text
from senet_train.system.files import write_text

COLUMNS = (
    *("label", "words", "image_size", "num_classes", "parameters", "attention_parameters"),
    *("multiply_adds", "attention_pool", "attention_layers", "attention_scale"),
    *("activation_bytes", "plain_activation_bytes", "device", "threads", "kernel"),
    *("precision", "batch_size", "rounds", "ms", "ms_lower", "ms_upper"),
    *("attention_share", "attention_share_lower", "attention_share_upper"),
)


def as_json(profiles: Sequence[Profile], environment: Environment) -> str:
    """Environment and networks. Shares are fractions, bytes and counts of one image."""
    content = {"environment": asdict(environment), "networks": [asdict(p) for p in profiles]}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def as_csv(profiles: Sequence[Profile], environment: Environment) -> str:
    """A row for each network, precision and batch size; an empty share has no attention."""
    rows: list[Sequence[object]] = [COLUMNS]
    for profile in profiles:
        first = counted(profile, environment)
        for timing in profile.timings:
            ms, share = timing.milliseconds, timing.share
            last = (share.median, share.lower, share.upper) if share else ("", "", "")
            times = (timing.precision, timing.batch_size, ms.num, ms.median, ms.lower, ms.upper)
            rows.append([*first, *times, *last])
    return csv_text(rows)


def counted(profile: Profile, environment: Environment) -> list[object]:
    """The columns up to the kernel."""
    cost, inside = profile.cost, profile.operations
    return [
        *(profile.label, profile.words, typed_size(profile.image_size), profile.num_classes),
        *(cost.parameters, cost.attention_parameters, cost.multiply_adds),
        *(inside.pool, inside.layers, inside.scale),
        *(profile.activation_bytes, profile.plain_activation_bytes),
        *(environment.device, environment.threads, profile.kernel),
    ]


WRITERS: dict[str, Callable[[Sequence[Profile], Environment], str]] = {
    ".json": as_json,
    ".csv": as_csv,
}


def write_profiles(
    profiles: Sequence[Profile], environment: Environment, file: Path | None
) -> list[str]:
    """Write all of it, as JSON or CSV by the file's ending; lines that say so. Raises OSError."""
    if file is None:
        return []
    write_text(file, WRITERS[file.suffix](profiles, environment))
    return ["", f"all of it: {file}"]
