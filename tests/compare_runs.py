"""Run folders for the tests of senet-compare, written as senet-train writes them, untrained."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from senet_train.commands.compare import main
from senet_train.runs.study_plan import StudyPlan

NUM_IMAGES = 400

Table = dict[str, dict[int, float]]  # arm -> seed -> top-1 in %


def table(num_arms: int, num_seeds: int, *, key: int = 0, sd: float = 0.25) -> Table:
    """Arms named none, a1, a2 ... with no true difference and a seed effect in common."""
    generator = np.random.default_rng(key)
    common = generator.normal(0, 0.2, num_seeds)
    runs = 91 + common + generator.normal(0, sd, (num_arms + 1, num_seeds))
    names = ["none", *(f"a{number}" for number in range(1, num_arms + 1))]
    return {name: dict(enumerate(map(float, row))) for name, row in zip(names, runs, strict=True)}


def plain_config() -> dict[str, Any]:
    """What config.yaml holds of a plain ResNet-20."""
    return {
        "data": {"name": "fake", "image_size": 8, "batch_size": 16, "root": "here", "workers": 0},
        "model": {"name": "resnet20", "shortcut": "B"},
        "attention": {"name": "none"},
        "placement": {"stages": [1, 2, 3], "position": "standard", "min_channels": 1},
        "optim": {"lr": 0.1, "schedule": {"name": "one_cycle"}},
        "trainer": {
            "max_epochs": 2,
            "precision": 32,
            "deterministic": False,
            "ema_decay": "none",
            "clip_norm": "none",
        },
        "seed": 0,
    }


def write_run(
    base: Path,
    label: str,
    seed: int,
    top1: float,
    *,
    changes: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    state: str = "finished",
    factor: list[str] | None = None,
    folder: str = "",
    plan: StudyPlan | None = None,
    day: int = 2,
) -> Path:
    """One run of an arm; `changes` are dotted keys of its configuration. Its folder.

    `plan` counts it; it was started on this day of January.
    """
    config = plain_config()
    for key, value in (changes or {}).items():
        node = config
        *path, last = key.split(".")
        for part in path:
            node = node[part]
        node[last] = value
    arm = folder or f"{label}-00000000"
    path = base / "fake" / arm / f"seed{seed}"
    path.mkdir(parents=True)
    status = {"state": state, "reason": "", "host": "h", "pid": 1, "since": "now"}
    (path / "status.json").write_text(json.dumps(status))
    if state == "finished":
        record = record_of(label, arm, seed, top1, config, environment or {}, factor or [])
        record["started"] = f"2026-01-{day:02}T03:04:05+00:00"
        if plan is not None:
            record |= {"schema": 2, "plan": vars(plan.reference)}
        (path / "result.json").write_text(json.dumps(record))
        right = np.arange(NUM_IMAGES) < round(top1 * NUM_IMAGES)
        np.savez(path / "correct.npz", bits=np.packbits(right), num_images=NUM_IMAGES)
        (path / "metrics.csv").write_text(f"epoch,val_top1\n0,0.5\n1,{top1}\n")
    return path


def record_of(
    label: str,
    arm: str,
    seed: int,
    top1: float,
    config: dict[str, Any],
    environment: dict[str, Any],
    factor: list[str],
) -> dict[str, Any]:
    """result.json as schema 1 has it."""
    versions = {"python": "3.11", "senet-train": "0.1.0", "torch": "2.15.0"}
    machine = {
        "code": "c0de",
        "versions": versions,
        "device": "cpu",
        "cpu": "cpu",
        "threads": 1,
        "precision": "32",
        "kernel": "folded",
        "git": "",
    }
    accuracies = ("val_top1", "val_top5", "val_top1_last", "test_top1", "test_top5")
    losses = ("val_loss", "val_loss_last", "test_loss")
    latency = {"median": 1.0, "quartiles": [0.9, 1.1]}
    return {
        "schema": 1,
        "label": label,
        "identity": f"{arm}-full",
        "arm": arm,
        "seed": seed,
        "factor": factor,
        "overrides": ["experiment=se_ratio", "model=resnet20", f"seed={seed}"],
        "config": copy.deepcopy(config),
        "data_fingerprint": "f",
        "split_seed": 0,
        "metrics": {
            **dict.fromkeys(accuracies, top1),
            **dict.fromkeys(losses, 1.0),
            "best_epoch": 1,
        },
        "cost": {
            "parameters": 100,
            "attention_parameters": 0 if config["attention"]["name"] == "none" else 10,
            "multiply_adds": 1000,
            "attention_multiply_adds": 0,
            "images_per_second": 500.0,
            "images_per_second_quartiles": [490.0, 510.0],
            "inference_ms": {"1": latency, "128": latency},
            "peak_memory_bytes": 1,
            "seconds": 10.0,
            "concurrent_runs": 0,
        },
        "attention": [],
        "environment": {**machine, **environment},
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:05+00:00",
    }


def compared(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of senet-compare."""
    code = main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err
