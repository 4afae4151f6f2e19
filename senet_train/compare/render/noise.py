"""A noise study on the terminal: how much runs vary, and what a table would take by that."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console

from senet_train.compare.noise import NoiseStudy
from senet_train.compare.render.columns import fitted
from senet_train.compare.render.sheets import Sheet
from senet_train.compare.render.terminal import one_line, print_table, print_title
from senet_train.compare.statistics.difference import MOST_SEEDS
from senet_train.compare.statistics.dispersion import times
from senet_train.compare.statistics.looks import POWER
from senet_train.compare.statistics.noise import NUMBERS_OF_ARMS, SIZES, Need, needs
from senet_train.errors import counted
from senet_train.system.console import table_console


def print_noise(studies: Sequence[NoiseStudy], console: Console | None = None) -> None:
    """Print every study to standard output, or to `console`."""
    console = console or table_console()
    for study in studies:
        print_title(f"{study.title}: the noise of {study.label}", console)
        for line in noise_lines(study):
            console.print(one_line(line))
        if study.noise.sd:
            table = fitted(plan_sheet(study), console.width)
            print_table(table, console)
            if names := ", ".join(table.names_left_out):
                console.print(one_line(f"A wider terminal shows {names}.", style="dim"))


def noise_lines(study: NoiseStudy) -> list[str]:
    """The sd of a run and of a difference, and what independent images explain of it."""
    noise, score = study.noise, study.score.title
    if not noise.sd:
        return [f"All {noise.num_runs} runs have the same test {score}: there is no noise to see."]
    return [
        f"One run has a standard deviation of {noise.sd:.2f} points of test {score} "
        f"({noise.num_runs} seeds; 90 % interval {noise.low:.2f} to {noise.high:.2f}).",
        f"Then the difference of two arms at a seed has one of {noise.sd_of_difference:.2f}, if "
        "seeds pair nothing.",
        *dispersion_lines(study),
        *coarse_lines(study),
    ]


def dispersion_lines(study: NoiseStudy) -> list[str]:
    """How the variance of the runs compares with that of independent images."""
    found = study.dispersion
    if found is None:
        return []
    said = (
        f"Independent images would give a run {found.images_sd:.2f}. The variance over seeds is "
        f"{times(found)} what they explain (90 % interval {found.low:.1f} to {found.high:.1f})"
    )
    if found.is_excessive:
        return [f"{said}: train longer, or average more seeds."]
    return [f"{said}, which is not surely more."]


def coarse_lines(study: NoiseStudy) -> list[str]:
    """A warning where one test image is more than the smallest difference that is planned for."""
    if not is_less_than_an_image(min(SIZES), study):
        return []
    return [
        f"The test set is coarse: one of its {counted(study.num_images, 'image')} is "
        f"{100 / study.num_images:.2g} points."
    ]


def is_less_than_an_image(points: float, study: NoiseStudy) -> bool:
    """Whether a difference is smaller than one test image."""
    return study.num_images > 0 and points * study.num_images < 100


def plan_sheet(study: NoiseStudy) -> Sheet:
    """A row for each difference, and in it the seeds, runs and hours by the number of arms."""
    rows = [
        [size_cell(size, study), *(need_cell(need, study.seconds) for need in row)]
        for size, row in groupby(needs(study.noise.sd), lambda need: need.size)
    ]
    more = (study.noise.high / study.noise.sd) ** 2
    shared = ", sharing the machine" if study.shared_machine else ""
    coarse = " * Less than one test image." if coarse_lines(study) else ""
    return Sheet(
        "What would a table take?",
        ["points", *(counted(arms, "arm") for arms in NUMBERS_OF_ARMS)],
        rows,
        footnote="Seeds (runs, time) that show a difference of so many points between an arm and "
        f"the control, with power {POWER}, if they are declared before the first run; runs are "
        "those of all arms and the control, one after the other, "
        f"{duration(study.seconds)} each as these took{shared}. At the upper end of the interval "
        f"it takes {more:.{1 if more < 9.95 else 0}f} times the seeds.{coarse}",
    )


def size_cell(points: float, study: NoiseStudy) -> str:
    """`0.1`, with a mark where that is less than an image."""
    return f"{points:g}" + ("*" if is_less_than_an_image(points, study) else "")


def need_cell(need: Need, seconds: float) -> str:
    """`12 (24, 17 min)`."""
    if not need.seeds:
        return f"> {MOST_SEEDS:,}"
    return f"{need.seeds} ({need.runs:,}, {duration(need.runs * seconds)})"


def duration(seconds: float) -> str:
    """`43 s`, `17 min`, `1.3 h`, `120 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 9.95 else f"{hours:,.0f} h"
