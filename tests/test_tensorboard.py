"""The dashboard, read through TensorBoard's own HTTP interface on 127.0.0.1."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Result, run_folders

from senet_train.record import read_record


@pytest.fixture
def board(senet: Callable[..., Result], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Two finished runs, one diverged, and a function that asks TensorBoard about them."""
    senet(*TINY)
    senet(*(word for word in TINY if not word.startswith("ratio")), "attention=none")
    senet(*TINY, "optim.lr=1e20")
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", "outputs", "--port", "0"]
    log = tmp_path / "board.log"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    with open(log, "w") as file:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=file, stdout=file, env=environment)
    try:
        yield ask_when_ready(log)
    finally:
        process.terminate()
        process.wait(timeout=20)


def ask_when_ready(log: Path) -> Callable[..., Any]:
    deadline = time.monotonic() + 60
    while not (address := re.search(r"http://(localhost|127\.0\.0\.1):(\d+)", log.read_text())):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    base = f"http://127.0.0.1:{address[2]}/data/"

    def ask(path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(base + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    while len(ask("runs")) < 3:  # it reads the folder in the background
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return ask


def test_curves_and_hparams(board: Callable[..., Any], tmp_path: Path) -> None:
    folders = run_folders(tmp_path)
    names = {str(folder.relative_to(tmp_path / "outputs")) for folder in folders}
    assert set(board("runs")) == names
    assert all(len(name) < 60 for name in names)
    finished = [f for f in folders if (f / "result.json").exists()]
    assert len(finished) == 2
    for folder in finished:
        run = str(folder.relative_to(tmp_path / "outputs"))
        tags = set(board("plugin/scalars/tags")[run])
        assert {"train/loss", "train/top1", "val/loss", "val/top1", "val/top5", "lr"} <= tags
        curve = board(f"plugin/scalars/scalars?run={run}&tag=val/top1")
        assert [point[1] for point in curve] == [0, 1]  # whole, one point an epoch
    groups = board("plugin/hparams/session_groups", session_groups_request())["sessionGroups"]
    assert len(groups) == 3
    rows = {g["sessions"][0]["name"]: g for g in groups}
    for folder in finished:
        row = rows[str(folder.relative_to(tmp_path / "outputs"))]
        record = read_record(folder / "result.json")
        values = {m["name"]["tag"]: m["value"] for m in row["metricValues"]}
        assert values["final/test_top1"] == pytest.approx(record.metrics.test_top1, rel=1e-6)
        assert values["final/val_top1"] == pytest.approx(record.metrics.val_top1, rel=1e-6)
        assert row["hparams"]["arm"] == record.label
        assert row["hparams"]["attention"].startswith(record.config["attention"]["name"])
        assert row["hparams"]["seed"] == 0
    states = [group["sessions"][0].get("status", "STATUS_UNKNOWN") for group in groups]
    assert states.count("STATUS_SUCCESS") == 2  # the diverged run is none


def session_groups_request() -> dict[str, Any]:
    return {
        "experimentName": "",
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [],
        "startIndex": 0,
        "sliceSize": 100,
    }
