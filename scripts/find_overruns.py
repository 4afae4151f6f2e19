"""Which layers write or read outside their memory? Forward and backward of every shape we use.

    uv run scripts/find_overruns.py [--quick] [--part grid] [--every 7] [--threads 2] [--out FILE]

Runs what our backbones, attentions, task heads and the libraries' networks call (convolutions,
pools, interpolations, normalisations, products of matrices), a grid of few channels, and our own
compiled passes, in float32 and bfloat16 and in both layouts, under an allocator that closes the
pages around every tensor (guard_pages.c). The allocator first has to find faults made on purpose.

Prints what was found: a write outside a block, a read outside if there was no write, a process
that died. A read is seen from the end of the page on (a tensor of whole pages: from its end), a
write from the first byte. What stays inside a block is not seen: one thread's share of a buffer
may run into another's. With several threads the batch is one that they do not divide. For Linux
on x86-64 with glibc and a C compiler. `ONEDNN_MAX_CPU_ISA=AVX2` in the environment asks for the
code of older processors. Some 62,000 cases: hours on a shared core; --quick, a few minutes.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from time import perf_counter

from overruns.cases import GRIDS, Case, jobs_of
from overruns.recorded import recorded
from overruns.report import counts, refusals, table, versions
from overruns.watch import Finding, Watch


def main() -> None:
    """Prove the detector, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a few minutes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", choices=PARTS, help="one of the two")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="a sample: each Nth case")
    parser.add_argument("--out", type=Path, help="every finding, a line of JSON each")
    arguments = parser.parse_args()
    started = perf_counter()
    print(f"{versions()}, {arguments.threads} threads")
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch(Path(folder), arguments.threads)
        watch.prove()
        print("The detector finds what it should.", known_fault(watch), flush=True)
        jobs = every_job(arguments.threads, arguments.quick, arguments.part)[:: arguments.every]
        findings = list(kept(watch.findings(jobs), arguments.out))
    print(report(jobs, findings))
    print(f"{(perf_counter() - started) / 60:.0f} minutes")


def known_fault(watch: Watch) -> str:
    """Whether the fault that this script was written for is there."""
    found, status = watch.proved("known")
    there = status or found.get("writes")
    return (
        "The gradient of a 1x1 convolution's weight with stride 2 and 8 channels in "
        f"{'writes outside' if there else 'is clean'}."
    )


def every_job(threads: int, quick: bool, part: str | None) -> list[Case]:
    """The grids first: of them it is sooner known."""
    batch = 2 if threads == 1 else threads + 1
    chosen = [make(batch, quick) for name, make in PARTS.items() if part in (None, name)]
    return jobs_of(chain.from_iterable(chosen))


def grids(batch: int, quick: bool) -> Iterator[Case]:
    """Few channels."""
    return chain.from_iterable(grid(batch, quick) for grid in GRIDS)


PARTS: dict[str, Callable[[int, bool], Iterator[Case]]] = {"grid": grids, "networks": recorded}


def kept(findings: Iterable[Finding], path: Path | None) -> Iterator[Finding]:
    """The same, each written as soon as it is known."""
    with path.open("w") if path else nullcontext() as file:
        for finding in findings:
            if file:
                found = {"fault": finding.fault} | finding.job | finding.notes
                file.write(f"{json.dumps(found)}\n")
                file.flush()
            yield finding


def report(jobs: Sequence[Case], findings: Sequence[Finding]) -> str:
    """Counts, then a table of faults, then one of what could not be run."""
    faults = [finding for finding in findings if finding.is_fault]
    rest = [finding for finding in findings if not finding.is_fault]
    parts = [counts(jobs, findings), table(faults) if faults else "No fault."]
    return "\n\n".join([*parts, refusals(rest)] if rest else parts)


if __name__ == "__main__":
    main()
