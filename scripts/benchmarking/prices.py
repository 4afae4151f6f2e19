"""SE's price: networks with and without it take turns in one process, a step each."""

from collections.abc import Iterator

from benchmarking.processes import run_turns
from benchmarking.rounds import spread
from benchmarking.workload import WORKLOADS

PRICES = {  # with SE -> the fastest plain net of the same machine
    "folded, se": "folded, none",  # with a compiler
    "joined, se": "composed, none",  # without one
    "composed, se": "composed, none",
}


def prices(rounds: int) -> Iterator[str]:
    """The table over all workloads."""
    yield "\n## SE's price\n\nBare loops, bf16, channels-last; all nets take turns in one process, "
    yield "a step each.\n\n"
    yield "| net | kernel | plain, images/s | SE, images/s | SE's price, % |\n"
    yield "| :-- | :-- | --: | --: | --: |\n"
    for name, workload in WORKLOADS.items():
        turns = [run_turns(name) for _ in range(rounds)]
        for se, plain in PRICES.items():
            price = spread([100 * (turn[se] / turn[plain] - 1) for turn in turns], 1)
            plain_rate, se_rate = (
                spread([1000 * workload.batch_size / turn[net] for turn in turns])
                for net in (plain, se)
            )
            kernel = se.partition(",")[0]
            yield f"| {workload.title} | {kernel} | {plain_rate} | {se_rate} | {price} |\n"
