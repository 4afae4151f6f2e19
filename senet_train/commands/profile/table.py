"""Profiles on the terminal: a column for each network, then where attention sits in it."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from senet_train.commands.profile.counts import Points
from senet_train.commands.profile.measure import Profile, Quartiles, Timing
from senet_train.compare.render.cells import unique_names
from senet_train.config.image_size import size_words
from senet_train.errors import counted
from senet_train.runs.record import Environment
from senet_train.runs.summary import taken_out
from senet_train.system.console import table_console

NOTHING = "-"


def print_profiles(profiles: Sequence[Profile], environment: Environment) -> None:
    """Print everything to standard output."""
    console = table_console()
    names = unique_names([p.label for p in profiles], [f"{p.label} ({p.words})" for p in profiles])
    console.print(Text(where(profiles, environment), style="dim"))
    if line := on_other_images(profiles, names):
        console.print(Text(line, style="bold"))
    console.print(side_by_side(profiles, names))
    for profile, name in zip(profiles, names, strict=True):
        if profile.own_attention:
            console.print(Text(f"{name}: {taken_out(profile.own_attention)}"))
    for profile, name in zip(profiles, names, strict=True):
        if profile.points:
            console.print(Text(f"\nattention of {name}", style="bold"))
            console.print(insertion_points(profile.points))


def where(profiles: Sequence[Profile], environment: Environment) -> str:
    """The line that tells machine, versions and sizes."""
    kernels = ", ".join(dict.fromkeys(profile.kernel for profile in profiles))
    sizes = ", ".join(dict.fromkeys(size_words(profile.image_size) for profile in profiles))
    return (
        f"{environment.device}, threads {environment.threads}, torch "
        f"{environment.versions['torch']}, kernel {kernels}, images of {sizes}; kept for backward "
        f"in {environment.precision}; times in ms, median (quartiles)"
    )


def on_other_images(profiles: Sequence[Profile], names: Sequence[str]) -> str:
    """A warning where the networks have images of several sizes; "" where they are of one."""
    sizes = [size_words(profile.image_size) for profile in profiles]
    if len(set(sizes)) < 2:
        return ""
    each = ", ".join(f"{name} {size}" for name, size in zip(names, sizes, strict=True))
    return f"These networks have images of different sizes, which their costs follow: {each}."


def side_by_side(profiles: Sequence[Profile], names: Sequence[str]) -> Table:
    """A row for each quantity, a column for each network."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for rows in zip(*map(cells, profiles), strict=True):
        table.add_row(rows[0][0], *(value for _, value in rows))
    return table


def cells(profile: Profile) -> list[tuple[str, str]]:
    """A network's column, with the names of its rows: the same for all that were measured."""
    cost, inside = profile.cost, profile.operations
    some = bool(profile.points)
    found = [
        ("parameters", f"{cost.parameters:,}"),
        ("  attention's", part(cost.attention_parameters, cost.parameters, "{:,}", some)),
        ("multiply-adds, M", f"{cost.multiply_adds / 1e6:,.3f}"),
        ("  attention's pools", part(inside.pool, cost.multiply_adds, MEGA, some)),
        ("  attention's layers", part(inside.layers, cost.multiply_adds, MEGA, some)),
        ("  attention's scales", part(inside.scale, cost.multiply_adds, MEGA, some)),
        ("kept for backward, MB an image", f"{profile.activation_bytes / 1e6:,.3f}"),
        ("  attention adds", added(profile)),
    ]
    for timing in profile.timings:
        case = f"{timing.precision}, {counted(timing.batch_size, 'image')}"
        found.append((case, spread(timing.milliseconds, "{:.2f}")))
        found.append(("  attention adds", share(timing)))
    return found


MEGA = "{:,.3f}"


def part(count: int, whole: int, form: str, some: bool) -> str:
    """`8,064 (2.87%)`; nothing without attention."""
    if not some:
        return NOTHING
    shown = form.format(count / 1e6 if form is MEGA else count)
    return f"{shown} ({count / whole:.2%})"


def added(profile: Profile) -> str:
    """What attention adds to the memory, beside the network without it."""
    if not profile.points:
        return NOTHING
    plain = profile.plain_activation_bytes
    return f"{(profile.activation_bytes - plain) / plain:+.1%}"


def share(timing: Timing) -> str:
    """`+12.1% (+9.8% to +15.0%)`."""
    if timing.share is None:
        return NOTHING
    return spread(timing.share, "{:+.1%}")


def spread(found: Quartiles, form: str) -> str:
    """The median, and the quartiles."""
    median, lower, upper = map(form.format, (found.median, found.lower, found.upper))
    return f"{median} ({lower} to {upper})"


def insertion_points(points: Sequence[Points]) -> Table:
    """A row for the insertion points of a stage that are alike."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("stage", "number", "channels", "hidden"):
        table.add_column(heading, justify="right")
    table.add_column("position")
    table.add_column("of blocks", overflow="fold")
    for found in points:
        numbers = (found.stage, len(found.names), found.channels, found.hidden or NOTHING)
        blocks, positions = zip(*(name.split(".attend.") for name in found.names), strict=True)
        table.add_row(*map(str, numbers), positions[0], Text(", ".join(blocks)))
    return table
