"""Progress over images, on standard error: a bar on a terminal, elsewhere a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from senet_train.system.console import say

LINE_EVERY_SECONDS = 10


@contextmanager
def progress_counter(num_images: int | None, done: str) -> Iterator[Callable[[int], None]]:
    """For the block, a function that is called with the number of images just finished.

    `done` says what was done with them ("decoded"). `num_images` is None where it is not known.
    """
    console = Console(stderr=True)
    if not console.is_terminal or num_images == 0:
        yield line_counter(num_images, done)
        return
    columns = (TextColumn(done), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(done, total=num_images)
        yield lambda count: bar.advance(task, count)


def line_counter(num_images: int | None, done: str) -> Callable[[int], None]:
    """A function that counts images, and prints a plain line every ten seconds."""
    of_all = "" if num_images is None else f" of {num_images:,}"
    total, said_at = 0, time.monotonic()

    def count(more: int) -> None:
        nonlocal total, said_at
        total += more
        if time.monotonic() - said_at > LINE_EVERY_SECONDS:
            said_at = time.monotonic()
            say(f"{done} {total:,}{of_all} images", to_error=True)

    return count
