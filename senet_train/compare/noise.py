"""Noise studies: what the runs of a control alone tell, before any arm is compared with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from senet_train.compare.assemble import title_of
from senet_train.compare.blocks import RunsOfArm, RunsOfBlock, blocks_of, control_of, score_of
from senet_train.compare.collect import Run
from senet_train.compare.seed_scatter import answers
from senet_train.compare.statistics.dispersion import Dispersion, dispersion_of
from senet_train.compare.statistics.noise import Noise, noise_of
from senet_train.compare.studies import score
from senet_train.runs.metrics import TOP1, Score


@dataclass(frozen=True)
class NoiseStudy:
    """The runs of one control, which differ in their seeds alone.

    `dispersion` and `num_images`, of the test set, are None and 0 where the score is no mean over
    images. `seconds` is what a run took, `shared_machine` whether another ran beside it.
    """

    title: str
    label: str
    score: Score
    noise: Noise
    dispersion: Dispersion | None
    num_images: int
    seconds: float
    shared_machine: bool


def noise_studies(
    runs: Sequence[Run], baseline: str, allowed: Sequence[str] = ()
) -> list[NoiseStudy]:
    """The noise of the control of every block, where two of its runs or more have finished."""
    pairs = [(block, control_of(block, baseline)) for block in blocks_of(runs, allowed)]
    return [
        study_of(block, control) for block, control in pairs if control and len(control.runs) > 1
    ]


def study_of(block: RunsOfBlock, control: RunsOfArm) -> NoiseStudy:
    """What the runs of a control tell. Raises InputError for damaged files."""
    runs = list(control.runs.values())
    of_images = score_of(control) == TOP1
    num_images = len(runs[0].correct) if of_images else 0
    return NoiseStudy(
        title_of(block),
        control.label,
        score_of(control),
        noise_of([score(run) for run in runs]),
        dispersion_of(answers(control, control.runs, num_images)) if of_images else None,
        num_images,
        fmean(run.record.cost.seconds for run in runs),
        any(run.record.cost.concurrent_runs for run in runs),
    )
