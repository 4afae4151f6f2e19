"""SE's price: networks with and without it take turns in one process, a step each."""

from collections.abc import Iterator

from benchmarking.processes import run_turns
from benchmarking.rounds import spread
from benchmarking.workload import WORKLOADS

PLAIN = {  # the plain nets that a machine with the kernel can train
    "folded, se": ("folded, none", "composed, none"),
    "joined, se": ("composed, none",),
    "composed, se": ("composed, none",),
}


def prices(rounds: int) -> Iterator[str]:
    """The table over all workloads."""
    yield "\n## SE's price\n\nBare loops; all nets take turns in one process, a step each. The "
    yield "price is against the fastest plain net that the kernel's machine can train.\n\n"
    yield "| net | kernel | plain, images/s | SE, images/s | SE's price, % |\n"
    yield "| :-- | :-- | --: | --: | --: |\n"
    for name, workload in WORKLOADS.items():
        turns = [run_turns(name) for _ in range(rounds)]
        for se, plain_nets in PLAIN.items():
            plain = [min(turn[net] for net in plain_nets) for turn in turns]
            own = [turn[se] for turn in turns]
            price = spread([100 * (a / b - 1) for a, b in zip(own, plain, strict=True)], 1)
            rates = (
                spread([1000 * workload.batch_size / ms for ms in net]) for net in (plain, own)
            )
            kernel = se.partition(",")[0]
            yield f"| {workload.title} | {kernel} | {' | '.join(rates)} | {price} |\n"
