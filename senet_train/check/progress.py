"""How far the decoding is: a bar on a terminal, a line now and then elsewhere; standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_SECONDS = 10


@contextmanager
def counted(num_images: int) -> Iterator[Callable[[], None]]:
    """For the block, a function to call after every image."""
    console = Console(stderr=True)
    if not console.is_terminal or num_images == 0:
        yield line_counter(num_images)
        return
    columns = (TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("decoding", total=num_images)
        yield lambda: bar.advance(task)


def line_counter(num_images: int) -> Callable[[], None]:
    """Counts, and prints a plain line every ten seconds."""
    done, said_at = 0, time.monotonic()

    def count() -> None:
        nonlocal done, said_at
        done += 1
        if time.monotonic() - said_at > LINE_EVERY_SECONDS:
            said_at = time.monotonic()
            print(f"decoded {done:,} of {num_images:,} images", file=sys.stderr)

    return count
