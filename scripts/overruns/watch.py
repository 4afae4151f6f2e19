"""Children under the guarding allocator: one after the other, until every job was run.

A child that dies has named the job that it began: that job is run again alone, and the next child
goes on behind it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overruns.cases import Case

CHILD = Path(__file__).with_name("child.py")
SOURCE = Path(__file__).parent.parent / "guard_pages.c"
AT_ONCE = 4000  # jobs of one child
FLAGS = ("-O2", "-shared", "-fPIC")
# A proof, and what of its notes must be more than 0; None: what it dies of.
PROOFS: dict[str, tuple[str, ...] | None] = {
    "clean": (),
    "write_past": ("writes",),
    "write_past_within_page": ("patterns",),
    "write_far_past": ("writes",),
    "write_before": ("writes",),
    "write_freed": ("writes", "freed"),
    "read_past": ("reads",),
    "dies": None,
}
COUNTERS = ("reads", "writes", "patterns", "freed")


@dataclass(frozen=True)
class Finding:
    """What a job did: notes of the allocator, an error's message, or how its process ended."""

    job: Case
    notes: dict[str, Any]
    died: int = 0  # the exit status, negative for a signal
    alone: bool = True  # whether it dies so without the jobs before it

    @property
    def fault(self) -> str:
        """In words."""
        if self.died:
            return f"died ({ending(self.died)}{'' if self.alone else ', after others only'})"
        if self.notes.get("writes") or self.notes.get("patterns"):
            return "writes outside"
        if self.notes.get("reads"):
            return "only reads outside"
        return f"refused: {self.notes['error']}" if "error" in self.notes else "not guarded"

    @property
    def is_fault(self) -> bool:
        """Whether memory was touched that was not the job's."""
        return bool(self.died) or any(self.notes.get(name) for name in COUNTERS)


def ending(status: int) -> str:
    """An exit status in words."""
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


class Watch:
    """The allocator compiled into a folder, and the children under it."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder, self.threads = folder, threads
        self.library = folder / "guard_pages.so"
        subprocess.run(["cc", *FLAGS, str(SOURCE), "-o", str(self.library)], check=True)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A child. oneDNN keeps none of what it compiled: its blocks would stay guarded."""
        set_for_it = {
            "LD_PRELOAD": str(self.library),
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "0",
            "OMP_NUM_THREADS": str(self.threads),
        }
        command = [sys.executable, str(CHILD), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=os.environ | set_for_it, stdout=pipe, text=True)

    def proved(self, name: str) -> tuple[dict[str, int], int]:
        """What the detector noted of a fault made on purpose, and how the child ended."""
        child = self.start("--prove", name)
        output, _ = child.communicate()
        return json.loads(output or "{}"), child.returncode

    def prove(self) -> None:
        """Raise SystemExit unless the detector finds all that it should, and nothing else."""
        for name, expected in PROOFS.items():
            found, status = self.proved(name)
            raised = {counter for counter in COUNTERS if found.get(counter)}
            right = status < 0 if expected is None else status == 0 and raised == set(expected)
            if not right:
                raise SystemExit(f"the detector is none here: {name} gave {found}, {status}")

    def findings(self, jobs: Sequence[Case]) -> Iterator[Finding]:
        """All there is to say of any of the jobs."""
        path = self.folder / "jobs.json"
        path.write_text("".join(f"{json.dumps(job)}\n" for job in jobs))
        first = 0
        while first < len(jobs):
            print(f"{first:,} of {len(jobs):,} jobs", file=sys.stderr, flush=True)
            last = min(first + AT_ONCE, len(jobs))
            reached, status = first, 0
            child = self.start(str(path), str(first), str(last), str(self.threads))
            for line in lines_of(child):
                reached = line.get("start", reached)
                if "job" in line:
                    yield Finding(jobs[line.pop("job")], line)
            status = child.wait()
            if status:
                yield Finding(jobs[reached], {}, status, self.dies_alone(path, reached))
            first = reached + 1

    def dies_alone(self, path: Path, number: int) -> bool:
        """Whether a child with this job and no other dies."""
        child = self.start(str(path), str(number), str(number + 1), str(self.threads))
        child.communicate()
        return child.returncode != 0


def lines_of(child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What a child says, without what others print there."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("{"):
            yield json.loads(line)
