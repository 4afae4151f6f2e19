"""How the runs of a block were made: settings, data, code, machines and hours, from the records."""

from collections.abc import Sequence

from senet_train.compare.blocks import AXES, RunsOfBlock
from senet_train.compare.comparison import Compute, Provenance
from senet_train.compare.shared import values_by_key
from senet_train.runs.record import RunRecord


def provenance_of(block: RunsOfBlock) -> Provenance:
    """What the records of all runs of a block say."""
    records = [run.record for arm in block.arms for run in arm.runs.values()]
    facts = values_by_key(block.arms)
    images = [
        ", ".join(f"{part} {count:,}" for part, count in record.data.images.items())
        for record in records
    ]
    return Provenance(
        facts={key: values for key, values in facts.items() if not key.startswith(AXES)},
        images=different(images),
        commits=different([record.environment.git for record in records]),
        compute=compute_of(records),
    )


def different(values: Sequence[str]) -> list[str]:
    """Each value once, in order, without those that are not recorded."""
    return list(dict.fromkeys(filter(None, values)))


def compute_of(records: Sequence[RunRecord]) -> list[Compute]:
    """The hours and the memory on each kind of machine, in the order of the records."""
    groups: dict[tuple[str, str, int], list[RunRecord]] = {}
    for record in records:
        where = record.environment
        groups.setdefault((where.device, where.cpu, where.threads), []).append(record)
    return [compute_on(*machine, group) for machine, group in groups.items()]


def compute_on(device: str, cpu: str, threads: int, records: Sequence[RunRecord]) -> Compute:
    """What these runs took on their kind of machine."""
    seconds = [record.cost.seconds for record in records]
    return Compute(
        device=device,
        cpu=cpu,
        threads=threads,
        num_runs=len(records),
        shortest=min(seconds),
        longest=max(seconds),
        seconds=sum(seconds),
        peak_memory_bytes=max(record.cost.peak_memory_bytes for record in records),
        shared_machine=any(record.cost.concurrent_runs for record in records),
    )
