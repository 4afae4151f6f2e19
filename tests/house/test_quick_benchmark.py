"""`scripts/benchmark.py --quick` on a GPU: what it says of what it measured, and of the rest."""

import subprocess
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from support import ROOT


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from benchmarking import gpu_quick

    return gpu_quick


def measured(rate: float) -> Any:
    from benchmarking.processes import Measured

    return Measured(rate, 100 * 2**20, 1, 1)


def test_the_time_is_never_exceeded(quick: ModuleType) -> None:
    """What is begun gets what is left, and nothing is begun after the end."""
    now, given = [0.0], []

    def taking(seconds: float) -> Callable[[float], str]:
        def measure(limit: float) -> str:
            given.append(limit)
            now[0] += min(seconds, limit)
            if seconds > limit:
                raise subprocess.TimeoutExpired("", limit)
            return "done"

        return measure

    cells = [quick.Cell("net", row, "se") for row in "abcd"]
    durations = dict(zip(cells, (60, 30, 20, 1), strict=True))
    found = quick.in_time({c: taking(durations[c]) for c in cells}, 100, lambda: now[0])
    assert list(found.values()) == ["done", "done", "no time", "no time"]
    assert given == [100, 40, 10]
    assert now == [100]


def test_a_row_that_fails_ends_no_other(
    quick: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(limit: float) -> None:
        raise RuntimeError("CUDA error: no kernel image")

    first, second = (quick.Cell("net", row, "se") for row in "ab")
    found = quick.in_time({first: fail, second: lambda limit: "done"}, 10, lambda: 0.0)
    assert found == {first: "failed", second: "done"}
    assert "no kernel image" in capsys.readouterr().err


def test_every_row_of_every_network_is_measured_and_those_that_compile_last(
    quick: ModuleType,
) -> None:
    jobs = {name: quick.Job(name, changes) for name, changes in quick.CHANGES.items()}
    order = list(quick.measures(jobs, "cpu"))
    assert len(order) == 3 * 7 + 1
    compiled = [cell.row in quick.COMPILED for cell in order]
    assert compiled == [False] * 16 + [True] * 6
    assert order.index(quick.WAITS) == 15


def test_a_table_says_what_was_measured_and_what_not(quick: ModuleType) -> None:
    job = quick.Job("resnet20", {})
    found = dict.fromkeys(quick.measures({"resnet18": job, "resnet20": job}, "cpu"), "no time")
    rates = {("senet-train", "none"): 330, ("senet-train", "se"): 300, ("bare loop", "se"): 3000}
    found |= {quick.Cell("resnet20", *key): measured(rate) for key, rate in rates.items()}
    lines = "".join(quick.table("resnet20", job, "cpu", found)).splitlines()
    assert lines[1] == "### SE-ResNet-20, 32 px, images in memory, batch 128, cpu"
    assert "| senet-train | 300 | 100 | 1.00 x |" in lines
    assert "| bare loop | 3,000 | 100 | 0.10 x |" in lines
    assert "| plain user loop | no time | no time | no time |" in lines
    assert (
        list(quick.prices({"resnet20": job}, found))[-1]
        == "| ResNet-20, 32 px | 10.0 | no time |\n"
    )


def test_waits_are_counted_by_place(monkeypatch: pytest.MonkeyPatch, quick: ModuleType) -> None:
    from benchmarking import waits

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            warnings.warn(f"{waits.SAID} (Triggered internally)", stacklevel=1)
        warnings.warn("another", stacklevel=1)
    [(place, number)] = waits.places(caught).items()
    assert place.startswith("test_quick_benchmark.py:")
    assert number == 2
    answer = {"steps": 9, "waits": 2, "places": {"a.py:1": 2}}
    said = "SE-ResNet-18 makes its host wait for the GPU 2 times in 9 steps (2 at a.py:1)."
    assert quick.waits_line(answer).strip() == said
    assert "no time" in quick.waits_line("no time")
