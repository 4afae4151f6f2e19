"""Images per second of every way to train one network."""

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarking.flags import own_precision
from benchmarking.processes import Measured, run_command, run_row
from benchmarking.rounds import ratio, spread
from benchmarking.workload import WORKLOADS, Workload

Row = Callable[[str], Measured]  # attention -> figures


def best_flags(name: str, device: str) -> Iterator[str | dict[str, Any]]:
    """Lines of the grid over timm's flags, and last the flags that were fastest."""
    grid: list[dict[str, Any]] = [
        {
            "precision": precision,
            "channels_last": layout,
            "compiled": compiled,
            "fused": True,
            "device": device,
        }
        for compiled in (False, True)
        for precision in ("fp32", "bf16")
        for layout in (False, True)
    ]
    rates = []
    for flags in grid:
        found = run_row(name, loop="timm", attention="se", tail="composed", flags=flags)
        rates.append(found.images_per_second)
        words = f"{flags['precision']}, {'channels-last' if flags['channels_last'] else 'NCHW'}"
        yield f"| {words}{', torch.compile' * flags['compiled']} | {rates[-1]:,.0f} |"
    yield grid[rates.index(max(rates))]


def rows_of(
    name: str, workload: Workload, device: str, timm_flags: dict[str, Any]
) -> dict[str, Row]:
    """Every way to train the workload on this device."""

    def row(loop: str, tail: str = "composed", **flags: Any) -> Row:
        flags = {"device": device, **flags}
        return lambda kind: run_row(name, loop=loop, attention=kind, tail=tail, flags=flags)

    def command(*extra: str) -> Row:
        return lambda kind: run_command(workload, kind, device, *extra)

    own: dict[str, Any] = {"precision": own_precision(device), "channels_last": True, "fused": True}
    folding = {
        "senet-train, no compiler": command("trainer.kernel=joined"),
        "bare loop, folded": row("bare", "folded", **own),
    }
    return {
        "senet-train": command(),
        **(folding if device == "cpu" else {}),
        "bare loop, composed": row("bare", **own),
        "plain user loop": row("plain user"),
        "timm, default": row("timm"),
        "timm, best flags": row("timm", **timm_flags),
        "Lightning template, default": row("lightning"),
        "Lightning template, best flags": row("lightning", **own),
    }


def throughput(name: str, device: str, rounds: int) -> Iterator[str]:
    """The table of one workload on one device."""
    workload = WORKLOADS[name]
    yield f"\n### {workload.title}, batch {workload.batch_size}, {device}\n\n"
    yield "timm's flags, with SE:\n\n| flags | images/s |\n| :-- | --: |\n"
    timm_flags: dict[str, Any] = {}
    for item in best_flags(name, device):
        if isinstance(item, str):
            yield f"{item}\n"
        else:
            timm_flags = item
    rows = rows_of(name, workload, device, timm_flags)
    found = measure(rows, rounds)
    refuse_unlike(found)
    yield "\n| row | plain, images/s | SE, images/s | SE's price, % | SE, peak MiB "
    yield "| senet-train is |\n"
    yield "| :-- | --: | --: | --: | --: | --: |\n"
    own = speeds(found["senet-train", "se"])
    for row in rows:
        plain, se = speeds(found[row, "none"]), speeds(found[row, "se"])
        price = [100 * (a / b - 1) for a, b in zip(plain, se, strict=True)]
        peak = statistics.median(m.peak_memory_bytes for m in found[row, "se"]) / 2**20
        yield f"| {row} | {spread(plain)} | {spread(se)} | {spread(price, 1)} | {peak:,.0f} |"
        yield f" {ratio(own, se)} x |\n"


def measure(rows: dict[str, Row], rounds: int) -> dict[tuple[str, str], list[Measured]]:
    """Every row with and without SE, round by round."""
    found: dict[tuple[str, str], list[Measured]] = {}
    for number in range(rounds):
        for row, train in rows.items():
            for attention in ("none", "se"):
                measured = train(attention)
                found.setdefault((row, attention), []).append(measured)
                words = f"round {number + 1}, {row}, {attention}"
                print(f"{words}: {measured.images_per_second:,.0f} images/s", file=sys.stderr)
    return found


def speeds(measured: Sequence[Measured]) -> list[float]:
    """Images per second, by round."""
    return [one.images_per_second for one in measured]


def refuse_unlike(found: dict[tuple[str, str], list[Measured]]) -> None:
    """Every row must have trained the same network. Raises RuntimeError."""
    for attention in ("none", "se"):
        same = [one for (_, kind), list_ in found.items() if kind == attention for one in list_]
        counts = {(one.parameters, one.multiply_adds) for one in same if one.multiply_adds}
        if len(counts) != 1 or len({one.parameters for one in same}) != 1:
            raise RuntimeError(f"the rows with attention={attention} trained unlike networks")
