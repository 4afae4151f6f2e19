"""What of this machine a process may use: cores, threads and memory. Needs no torch.

Containers and batch systems limit a process by cgroups, of version 1 or 2. Neither its affinity nor
/proc/meminfo shows these limits.
"""

import os
import platform
import statistics
import time
from collections.abc import Iterator
from glob import glob
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
SAMPLES, SAMPLE_SECONDS = 5, 0.02
# The devices and the driver of a GPU, and the variables that hide one or limit a CPU.
DRIVERS = (
    "/dev/nvidia[0-9]*",
    "/proc/driver/nvidia/version",
    "/dev/kfd",
    "C:/Windows/System32/nvcuda.dll",
)
TOLD_BY = ("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "ONEDNN_", "DNNL_", "ATEN_")
# What a user sets who has decided how threads wait: GNU's and Intel's OpenMP.
ROUNDS = 10_000  # some 30 microseconds
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def usable_cores() -> int:
    """The number of cores that this process may use: those it may run on, or its share of time."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, int(min(cpu_quotas(), default=cores))))


def usable_threads() -> int:
    """The number of threads for the arithmetic of one process: OMP_NUM_THREADS, at most a core."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    cores = usable_cores()
    return max(1, min(cores, int(asked))) if asked.isdecimal() else cores


def available_memory_bytes() -> int:
    """The memory that new processes can have without swapping."""
    import psutil  # here: it takes 20 ms, which --help need not wait for

    return max(0, min([psutil.virtual_memory().available, *memory_limits()]))


def machine_facts() -> list[str]:
    """What decides, on this machine, what `auto` is, as far as it shows without torch."""
    flags = [line for line in read(PROC / "cpuinfo").splitlines() if line.startswith("flags")][:1]
    drivers = [path for pattern in DRIVERS for path in sorted(glob(pattern))]
    told = sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith(TOLD_BY))
    return [platform.node(), platform.platform(), *flags, *drivers, *told]


def wait_passively_where_cores_are_shared() -> None:
    """Before torch is loaded: where others use the cores too, let threads wait briefly, then sleep.

    OpenMP's threads wait for each other in a loop of 300,000 rounds, which another process may
    interrupt: beside two busy ones, on two cores, that took a run to a twentieth of its speed on an
    Intel Xeon. To sleep at once took one to a half on an AMD EPYC, where this made it faster. The
    figures are in docs/evidence/reliability.md. No number of a run changes.
    """
    shared = usable_threads() > 1 and usable_threads() + busy_others() > (os.cpu_count() or 1)
    if shared and not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = str(ROUNDS)


def busy_others() -> int:
    """The number of other threads that run on this machine now; 0 where that is not known."""
    counts = []
    for _ in range(SAMPLES):
        lines = read(PROC / "stat").splitlines()
        counts += [int(line.split()[1]) for line in lines if line.startswith("procs_running ")]
        time.sleep(SAMPLE_SECONDS if counts else 0)
    return max(0, int(statistics.median(counts)) - 1) if counts else 0


def cpu_quotas() -> Iterator[float]:
    """The shares of time, in cores, that limit this process."""
    for folder in cgroups_of("cpu"):
        quota, _, period = read(folder / "cpu.max").strip().partition(" ")  # version 2
        if not quota:
            quota = read(folder / "cpu.cfs_quota_us").strip()  # version 1: -1 is no limit
            period = read(folder / "cpu.cfs_period_us").strip()
        if quota.isdecimal() and period.isdecimal():
            yield int(quota) / int(period)


def memory_limits() -> Iterator[int]:
    """The bytes left of every limit on this process; what can be dropped counts as left."""
    names = (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    for folder in cgroups_of("memory"):
        for limit_name, usage_name, cached_name in names:
            limit, usage = (read(folder / name).strip() for name in (limit_name, usage_name))
            if limit.isdecimal() and usage.isdecimal():
                statistic = dict(line.split() for line in read(folder / "memory.stat").splitlines())
                yield int(limit) - int(usage) + int(statistic.get(cached_name, 0))


def cgroups_of(controller: str) -> Iterator[Path]:
    """The folders of the cgroups that hold this process, the innermost first."""
    for line in read(PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = CGROUPS / controller if controllers else CGROUPS
        inner = top / path.lstrip("/")
        # In a container the path may be the host's: its own cgroup is at the top then.
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))


def read(file: Path) -> str:
    """The text of a file of the kernel; "" where there is none."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
