"""Start what is measured: a row of our loops, or the command senet-train, each in a process."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarking.workload import LR, NUM_CLASSES, WEIGHT_DECAY, Workload

SCRIPTS = Path(__file__).parents[1]
SENET_TRAIN = Path(sys.executable).with_name("senet-train")


@dataclass(frozen=True)
class Measured:
    """One run of one row."""

    images_per_second: float
    peak_memory_bytes: int
    parameters: int
    multiply_adds: int  # 0: senet-train with attention, whose elementwise work it counts too


def environment(**changes: str) -> dict[str, str]:
    """Ours, with modules compiled to files as an installation has them."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPATH": str(SCRIPTS), **changes}


def run(command: list[str], limit: float | None = None, **changes: str) -> str:
    """Standard output of a command. Raises RuntimeError with its last words.

    Raises subprocess.TimeoutExpired after `limit` seconds.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(**changes), timeout=limit
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout


def run_row(name: str, limit: float | None = None, **row: Any) -> Measured:
    """A row of benchmarking/row.py; `name` is its workload's."""
    script = str(SCRIPTS / "benchmarking" / "row.py")
    output = run([sys.executable, script, json.dumps({"workload": name, **row})], limit)
    return Measured(**json.loads(output.splitlines()[-1]))


def run_turns(name: str) -> dict[str, float]:
    """Milliseconds a step of every network of benchmarking/turns.py."""
    script = str(SCRIPTS / "benchmarking" / "turns.py")
    output = run([sys.executable, script, json.dumps({"workload": name})])
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def arguments(
    workload: Workload, attention: str, steps: int, epochs: int, device: str = "cpu"
) -> list[str]:
    """senet-train's, for epochs of exactly so many steps."""
    num_images = -(-steps * workload.batch_size * 10 // 9 // NUM_CLASSES) * NUM_CLASSES
    random_images = {
        "data": "fake",
        "data.num_images": num_images,
        "data.num_test_images": 2 * NUM_CLASSES,
    }
    pictures = {"data": "imagenet_subset", "data.root": workload.folder}
    settings = {
        "model": workload.model,
        "attention": attention,
        **(pictures if workload.folder else random_images),
        "data.image_size": workload.image_size,
        "data.batch_size": workload.batch_size,
        "optim.lr": LR,
        "optim.weight_decay": WEIGHT_DECAY,
        "trainer.max_epochs": epochs,
        "trainer.accelerator": "cpu" if device == "cpu" else "gpu",
        **{f"model.{key}": value for key, value in workload.options.items()},
    }
    ratio = [f"ratio={workload.ratio}"] if attention == "se" else []
    return [*(f"{key}={value}" for key, value in settings.items()), *ratio]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes away."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def run_command(
    workload: Workload, attention: str, device: str, *extra: str, limit: float | None = None
) -> Measured:
    """Two epochs of senet-train on the workload's images."""
    with scratch() as folder:
        asked = arguments(workload, attention, workload.steps_on(device) + 1, 2, device)
        return run_command_with(folder, [*asked, *extra], limit)


def run_command_with(folder: Path, asked: list[str], limit: float | None = None) -> Measured:
    """senet-train: its first epoch warms up, its record has the second's speed."""
    run([str(SENET_TRAIN), *asked, f"output_dir={folder}"], limit)
    record = json.loads(next(folder.rglob("result.json")).read_text())
    cost = record["cost"]
    return Measured(
        cost["images_per_second"],
        cost["peak_memory_bytes"],
        cost["parameters"],
        0 if record["attention"] else cost["multiply_adds"],
    )


def seconds(command: list[str], **changes: str) -> float:
    """Wall time of a whole process."""
    start = time.perf_counter()
    run(command, None, **changes)
    return time.perf_counter() - start
