"""What was found, as Markdown: faults alike in one row."""

import os
import platform
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from overruns.cases import Case
from overruns.watch import Finding

HEADINGS = "operator|with|dtype|layout|fault|cases|channels in|channels out|sides|an example"


def versions() -> str:
    """Of what computes, and the instruction sets."""
    found = re.search(r"MKL-DNN (v\S+)", torch.__config__.show())
    capability = torch.backends.cpu.get_cpu_capability()
    bound = os.environ.get("ONEDNN_MAX_CPU_ISA")
    parts = [
        f"torch {torch.__version__}",
        f"oneDNN {found[1] if found else 'none'}",
        f"{platform.machine()}, {capability} ({has('avx512f')} avx512f, {has('amx_tile')} amx)",
    ]
    return ", ".join([*parts, f"ONEDNN_MAX_CPU_ISA={bound}"] if bound else parts)


def has(flag: str) -> str:
    """Whether the processor says so."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return "with" if flag in lines.read().split() else "without"
    except OSError:
        return "unknown"


def table(findings: Iterable[Finding]) -> str:
    """A row for faults that differ in channels and sides only."""
    alike: dict[tuple[str, ...], list[Finding]] = defaultdict(list)
    for finding in findings:
        job = finding.job
        key = (job["op"], with_what(job), job["dtype"], job["layout"], finding.fault)
        alike[key].append(finding)
    rows = [[*key, *shared(group)] for key, group in sorted(alike.items())]
    return markdown(HEADINGS.split("|"), rows)


def refusals(findings: Iterable[Finding]) -> str:
    """What could not be run, or not under guard."""
    alike = Counter((one.job["op"], one.job["dtype"], one.fault) for one in findings)
    rows = [[*key, str(number)] for key, number in sorted(alike.items())]
    return markdown(["operator", "dtype", "why", "cases"], rows)


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(
        f"| {' | '.join(cells)} |" for cells in [headings, ["---"] * len(headings), *rows]
    )


def with_what(job: Case) -> str:
    """A convolution's kernel and so on; of others all that is not a tensor."""
    args = job["args"]
    if "convolution" not in job["op"]:
        return ", ".join(str(value) for value in args if not is_tensor(value))
    kernel, groups = args[1]["shape"][2:], args[8]
    kind = "transposed, " if args[6] else ""
    depthwise = groups > 1 and args[1]["shape"][1] == 1
    grouped = "depthwise" if depthwise else f"groups {groups}"
    dilated = "" if set(args[5]) == {1} else f", dilation {by(args[5])}"
    return f"{kind}kernel {by(kernel)}, stride {by(args[3])}, pad {by(args[4])}, {grouped}{dilated}"


def is_tensor(value: Any) -> bool:
    """Whether an argument of a case is one."""
    return isinstance(value, dict)


def by(numbers: Sequence[int]) -> str:
    """3x3."""
    return "x".join(map(str, numbers))


def shared(group: Sequence[Finding]) -> list[str]:
    """How many, their channels and sides, and the first with what was noted of it."""
    shapes = [finding.job["args"][0]["shape"] for finding in group]
    weights = [finding.job["args"][1:2] for finding in group]
    out = {found[0]["shape"][0] for found in weights if found and is_tensor(found[0])}
    sides = {by(shape[2:]) for shape in shapes}
    ins = {shape[1] for shape in shapes if len(shape) > 1}
    return [
        *(str(len(group)), ranges(ins), ranges(out), " ".join(sorted(sides, key=natural))),
        example(group[0]),
    ]


def natural(side: str) -> list[int]:
    """56x56 before 112x112."""
    return [int(number) for number in side.split("x") if number]


def ranges(numbers: Iterable[int]) -> str:
    """1 2 3 5 -> 1-3 5."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def example(finding: Finding) -> str:
    """The shapes of its tensors, and where the first access lies."""
    shapes = " ".join(by(one["shape"]) for one in finding.job["args"] if is_tensor(one))
    if not finding.notes.get("size"):
        return shapes
    freed = " freed" if finding.notes["freed"] else ""
    return (
        f"{shapes}: byte {finding.notes['offset']:+} of the end of {finding.notes['size']}{freed}"
    )


def counts(jobs: Sequence[Case], findings: Sequence[Finding]) -> str:
    """How many of each operator were run, and how many had a fault."""
    every = Counter(job["op"] for job in jobs)
    bad = Counter(finding.job["op"] for finding in findings if finding.is_fault)
    refused = Counter(f.job["op"] for f in findings if not f.is_fault and "error" in f.notes)
    rows = [[op, f"{every[op]:,}", str(bad[op]), str(refused[op])] for op in sorted(every)]
    total = [f"{len(jobs):,}", str(bad.total()), str(refused.total())]
    return markdown(["operator", "run", "faults", "refused"], [*rows, ["all", *total]])
