"""How the runs of a block were made, in sentences: settings, machines, hours, hashes."""

from collections.abc import Iterator

from senet_train.compare.comparison import Block, Compute, Provenance
from senet_train.compare.render.cells import seed_list
from senet_train.errors import counted

MIB, HOUR = 1 << 20, 3600
VERSIONS = "versions."
ELSEWHERE = ("device", "cpu", "threads", "code", "data.fingerprint")  # facts that others say


def setting_lines(block: Block) -> Iterator[str]:
    """The settings of a block, shared and not shared, and its data."""
    made, facts = block.provenance, settings_of(block)
    yield f"Arms differ in {', '.join(block.differ_in) or 'nothing'}."
    same = [f"{key}={values[0]}" for key, values in facts.items() if len(values) == 1]
    other = [f"{key} ({', '.join(v)})" for key, v in facts.items() if len(v) > 1]
    if same:
        yield f"All runs have {', '.join(same)}."
    if other:
        yield f"Runs differ in {'; '.join(other)}."
    if made and made.images:
        yield f"Images: {'; or '.join(made.images)}."
    if any(arm.val for arm in block.arms):
        score = block.score.title
        yield f"The epoch with the highest validation {score} was tested; the test set chose none."


def settings_of(block: Block) -> dict[str, list[str]]:
    """Setting -> every value; of a table, of its columns."""
    if block.provenance is None:
        varied = {key: list(values) for key, values in block.varied.items()}
        return {key: [value] for key, value in block.common.items()} | varied
    return {
        key: values
        for key, values in block.provenance.facts.items()
        if key not in ELSEWHERE and not key.startswith(VERSIONS)
    }


def compute_line(used: Compute) -> str:
    """The runs on one kind of machine, in a sentence."""
    cpu = "" if used.cpu == used.device else f", processor {used.cpu}"
    each = hours(used.shortest)
    if hours(used.longest) != each:
        each = f"{each} to {hours(used.longest)}"
    shared = ", while runs shared the machine" if used.shared_machine else ""
    return (
        f"{used.device}{cpu}, {counted(used.threads, 'thread')}: {counted(used.num_runs, 'run')} "
        f"of {each} hours each (training and test{shared}), {hours(used.seconds)} hours together; "
        f"at most {used.peak_memory_bytes / MIB:,.0f} MiB of memory."
    )


def hours(seconds: float) -> str:
    """`0.0028`, `1.25`, `1,234.5`."""
    number = seconds / HOUR
    return f"{number:,.1f}" if number >= 100 else f"{number:.3g}"


def made_with(block: Block) -> Iterator[str]:
    """The seeds of a block, and what its records have of code and data."""
    seeds = sorted({seed for arm in block.arms for seed in arm.seeds})
    yield f"Seeds: {seed_list(seeds)}."
    if block.provenance:
        yield from recorded(block.provenance)
        yield "The record of each run (result.json) has its command line and whole configuration."


def recorded(made: Provenance) -> Iterator[str]:
    """Versions, and hashes of code and data, each with every value."""
    facts = {key: ", ".join(values) for key, values in made.facts.items()}
    named = [
        f"{key.removeprefix(VERSIONS)} {values}"
        for key, values in facts.items()
        if key.startswith(VERSIONS)
    ]
    if named:
        yield f"Versions: {', '.join(named)}."
    if "code" in facts:
        yield f"Code: sha256 {facts['code']}."
    if made.commits:
        yield f"Commit of git: {', '.join(made.commits)}."
    if "data.fingerprint" in facts:
        yield f"Data: {facts['data.name']}, fingerprint {facts['data.fingerprint']}."
