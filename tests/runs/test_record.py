"""The record reads back as it was written; anything else is refused with a line."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from senet_train.errors import InputError
from senet_train.runs.metrics import Metrics
from senet_train.runs.record import (
    AttentionSlot,
    Cost,
    Environment,
    Latency,
    RunRecord,
    read_record,
    write_record,
)

RECORD = RunRecord(
    schema=1,
    label="se_resnet18-r16",
    identity="ab" * 32,
    arm="se_resnet18-r16-abababab",
    seed=0,
    factor=[],
    overrides=["ratio=16"],
    config={"data": {"name": "digits", "mean": [0.1, 0.2]}, "ratio": 16},
    data_fingerprint="cd",
    split_seed=0,
    metrics=Metrics(0.9, 1.0, 0.3, 0.89, 0.31, 0.91, 1.0, 0.29, 7),
    cost=Cost(10, 1, 100, 2, 55.5, (50.0, 60.0), {"1": Latency(2.0, (1.5, 2.5))}, 10**9, 9.5, 0),
    attention=[AttentionSlot("layer1.0.attend.standard", 1, 64, 4)],
    environment=Environment("ef", {"torch": "2.15"}, "cpu", "cpu", 2, "32", "eager", ""),
    started="2026-11-23T10:00:00+00:00",
    finished="2026-11-23T10:01:00+00:00",
)


def test_round_trip(tmp_path: Path) -> None:
    write_record(RECORD, tmp_path / "result.json")
    assert read_record(tmp_path / "result.json") == RECORD


def spoilt(**changes: Any) -> str:
    return json.dumps({**dataclasses.asdict(RECORD), **changes})


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (spoilt(schema=3), "schema"),
        (spoilt(seed="many"), "seed"),
        (spoilt(extra=1), "extra"),
        (spoilt(metrics={"val_top1": 1}), r"metrics\.val_top5"),
        (spoilt()[:-40], "the file"),
        ("[]", "the file"),
        ("", "the file"),
    ],
    ids=["schema", "type", "unknown", "missing", "truncated", "foreign", "empty"],
)
def test_anything_else_is_refused(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=rf"result\.json is no result of schema 2 \({where}") as e:
        read_record(tmp_path / "result.json")
    assert "\n" not in str(e.value)


def test_a_missing_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing: copy the run"):
        read_record(tmp_path / "result.json")


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("metrics", "best_epoch", 10**400),
        ("metrics", "best_epoch", -1),
        ("metrics", "test_top1", 1.5),
        ("metrics", "val_top1", -0.1),
        ("metrics", "val_loss", 1e300),
        ("cost", "parameters", 0),
        ("cost", "parameters", 10**30),
        ("cost", "attention_parameters", -1),
        ("cost", "images_per_second", -5.0),
        ("cost", "seconds", 1e200),
        ("config", "ratio", 10**400),
        ("environment", "threads", 10**400),
        ("", "seed", 10**400),
    ],
    ids=lambda value: str(value)[:20],
)
def test_numbers_that_no_run_can_have(part: str, name: str, value: Any, tmp_path: Path) -> None:
    """They would end a report by an OverflowError, or a division by zero."""
    content = dataclasses.asdict(RECORD)
    node = content[part] if part else content
    node[name] = value
    (tmp_path / "result.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"result\.json has ([a-z]+\.)?{name}=.*no run can have"):
        read_record(tmp_path / "result.json")
