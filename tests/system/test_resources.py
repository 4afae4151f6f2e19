"""Cores, threads and memory as containers and batch systems limit them, in files of the kernel."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from senet_train.system import resources

GIB = 2**30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight cores and 10 GiB, of which 4 are free; no limits. Files are in its folder."""
    monkeypatch.setattr(resources, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(resources, "PROC", tmp_path / "proc")
    monkeypatch.setattr(resources, "SAMPLE_SECONDS", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for name in ("OMP_NUM_THREADS", *resources.WAITING):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=4 * GIB))
    write(tmp_path / "proc" / "stat", "cpu 1 2 3\nprocs_running 1\n")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def limit(machine: Path, version: int, path: str, quota: str, limit: str, used: int) -> None:
    """Limits of the cgroup at a path, in which this process is."""
    top = machine / "cgroup"
    lines = f"0::{path}\n" if version == 2 else f"4:cpu,cpuacct:{path}\n7:memory:{path}\n"
    write(machine / "proc" / "self" / "cgroup", f"9:name=systemd:/x\n{lines}")
    if version == 2:
        write(top / path.lstrip("/") / "cpu.max", f"{quota} 100000\n")
        write(top / path.lstrip("/") / "memory.max", f"{limit}\n")
        write(top / path.lstrip("/") / "memory.current", f"{used}\n")
        write(top / path.lstrip("/") / "memory.stat", f"anon 1\ninactive_file {GIB // 4}\n")
        return
    write(top / "cpu" / path.lstrip("/") / "cpu.cfs_quota_us", f"{quota.replace('max', '-1')}\n")
    write(top / "cpu" / path.lstrip("/") / "cpu.cfs_period_us", "100000\n")
    write(top / "memory" / path.lstrip("/") / "memory.limit_in_bytes", f"{limit}\n")
    write(top / "memory" / path.lstrip("/") / "memory.usage_in_bytes", f"{used}\n")
    statistic = f"cache 1\ntotal_inactive_file {GIB // 4}\n"
    write(top / "memory" / path.lstrip("/") / "memory.stat", statistic)


def test_without_limits(machine: Path) -> None:
    assert resources.usable_cores() == 8
    assert resources.available_memory_bytes() == 4 * GIB


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("path", ["/", "/jobs/77"])
@pytest.mark.parametrize(
    ("quota", "cores"), [("200000", 2), ("150000", 1), ("50000", 1), ("9900000", 8), ("max", 8)]
)
def test_a_share_of_time(machine: Path, version: int, path: str, quota: str, cores: int) -> None:
    limit(machine, version, path, quota, str(2 * GIB), GIB)
    assert resources.usable_cores() == cores
    assert resources.available_memory_bytes() == 2 * GIB - GIB + GIB // 4


@pytest.mark.parametrize("version", [1, 2])
def test_a_limit_further_out(machine: Path, version: int) -> None:
    """Of the job, while the step inside it has none: a number that is larger than any memory."""
    no_limit = "max" if version == 2 else str(2**63 - 4096)
    limit(machine, version, "/job", "300000", str(3 * GIB), GIB)
    limit(machine, version, "/job/step", "max", no_limit, GIB)
    assert resources.usable_cores() == 3
    assert resources.available_memory_bytes() == 2 * GIB + GIB // 4


def test_a_container_that_sees_the_hosts_path(machine: Path) -> None:
    limit(machine, 1, "/", "100000", str(GIB), 0)
    write(machine / "proc" / "self" / "cgroup", "4:cpu,cpuacct:/docker/ab\n7:memory:/docker/ab\n")
    assert resources.usable_cores() == 1
    assert resources.available_memory_bytes() == GIB + GIB // 4


@pytest.mark.parametrize(
    ("asked", "threads"),
    [("", 8), ("1", 1), ("4", 4), ("64", 8), ("2,1", 2), ("many", 8), ("0", 1)],
)
def test_threads_that_are_asked_for(
    machine: Path, monkeypatch: pytest.MonkeyPatch, asked: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert resources.usable_threads() == threads


@pytest.mark.parametrize(
    ("running", "threads", "passive"), [(1, 8, False), (2, 8, True), (5, 4, False), (9, 1, False)]
)
def test_waiting(
    machine: Path, monkeypatch: pytest.MonkeyPatch, running: int, threads: int, passive: bool
) -> None:
    """`running` counts the process that asks."""
    write(machine / "proc" / "stat", f"procs_running {running}\n")
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    monkeypatch.setenv("GOMP_SPINCOUNT", "")
    monkeypatch.delenv("GOMP_SPINCOUNT")  # and again at the end of the test
    resources.wait_passively_where_cores_are_shared()
    assert os.environ.get("GOMP_SPINCOUNT") == ("10000" if passive else None)
    for name in resources.WAITING:  # the user's stays
        monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        monkeypatch.setenv(name, "7")
        resources.wait_passively_where_cores_are_shared()
        assert os.environ.get("GOMP_SPINCOUNT") == ("7" if name == "GOMP_SPINCOUNT" else None)
        monkeypatch.delenv(name)


def test_another_system(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    for file in (machine / "proc").iterdir():
        file.unlink()
    assert resources.usable_cores() == 8
    assert resources.available_memory_bytes() == 4 * GIB
    assert resources.busy_others() == 0


def test_torch_is_not_loaded_before() -> None:
    """Its OpenMP reads the environment when it is loaded: the command must be earlier."""
    program = "import sys, senet_train.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
