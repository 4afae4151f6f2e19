"""The methods section for a paper: what was compared, on how many seeds, by which tests."""

from importlib.metadata import version

from senet_train.compare.comparison import Block, Comparison
from senet_train.compare.render.basis import in_two_sentences
from senet_train.compare.render.cells import arm_names, not_shared, seed_list, shared_by_all
from senet_train.compare.statistics.bootstrap import NUM_SAMPLES
from senet_train.errors import counted


def methods(comparison: Comparison) -> list[str]:
    """The paragraphs, plain text: each block, its plan and tests, the costs."""
    return [
        *(compared(block) for block in comparison.blocks),
        *exceptions(comparison),
        *bases(comparison),
        details(comparison),
        *([NEW_IMAGES] if any(b.score.of_any_images for b in comparison.blocks) else []),
        *([COSTS] if any(block.costs for block in comparison.blocks) else []),
        f"Compared with senet-train {version('senet-train')}.",
    ]


def compared(block: Block) -> str:
    """Which arms of a block were compared, on which seeds, with which data and recipe."""
    names = arm_names(block)
    control = next(
        n for n, arm in zip(names, block.arms, strict=True) if arm.folder == block.control
    )
    others = ", ".join(name for name in names if name != control) or "no other arm"
    score = block.score.title
    varied = not_shared(block)
    epoch = f" of the epoch with the highest validation {block.epoch_by or score}"
    known = validated(block) or block.epoch_by
    return (
        f"{block.title}. The control is {control}; compared with it: {others}. "
        f"Arms differ only in {', '.join(block.differ_in) or 'nothing'}. {seeds_used(block)} "
        f"All arms share: {shared_by_all(block) or 'nothing recorded'}. "
        f"{f'They do not share: {varied}. ' if varied else ''}"
        f"Each run reports the test {score}{epoch if known else ''}."
    )


def validated(block: Block) -> bool:
    """Whether the best epoch was chosen by a validation score that is known."""
    return any(arm.val for arm in block.arms)


def seeds_used(block: Block) -> str:
    """The seeds, once if all arms have the same."""
    per_arm = {tuple(arm.seeds) for arm in block.arms}
    if len(per_arm) == 1:
        [seeds] = per_arm
        return f"Every arm has n = {counted(len(seeds), 'seed')} ({seed_list(list(seeds))})."
    each = "; ".join(
        f"{name} n = {len(arm.seeds)} ({seed_list(arm.seeds)})"
        for name, arm in zip(arm_names(block), block.arms, strict=True)
    )
    return f"Seeds differ: {each}. Each arm is compared on the seeds it shares with the control."


def exceptions(comparison: Comparison) -> list[str]:
    """What a reader must be told: what is not known, runs left out, differences allowed."""
    said = list(comparison.caveats)
    if comparison.left_out:
        count = len(comparison.left_out)
        said.append(f"{count} {'run was' if count == 1 else 'runs were'} left out and listed.")
    if comparison.allowed:
        said.append(f"Runs were allowed to differ in {', '.join(comparison.allowed)}.")
    return said


def bases(comparison: Comparison) -> list[str]:
    """What was declared and how it was tested: two sentences for every plan, and for no plan."""
    said = [in_two_sentences(b, block) for block in comparison.blocks for b in block.judged_by]
    return list(dict.fromkeys(said))


def details(comparison: Comparison) -> str:
    """How verdicts follow from the tests, and what is not adjusted."""
    return (
        "The first test that gives an arm its verdict settles the arm, and what it showed leaves "
        "Holm's family (Holm 1979; Maurer and Bretz 2013). A difference smaller than the margin of "
        f"+-{comparison.margin:g} points is shown by two one-sided tests (TOST; Schuirmann 1987) "
        "at the same errors, with a Holm adjustment of their own. Intervals are 95 % t-intervals "
        "of all shared seeds and not adjusted. Standard deviations are over seeds."
    )


NEW_IMAGES = (
    "Whether a difference would hold on new images is another question: its 95 % percentile "
    f"interval comes from {NUM_SAMPLES:,} samples of images and seeds, both resampled whole (the "
    "pigeonhole bootstrap; Owen 2007), and has no part in the verdicts."
)
COSTS = (
    "Parameters and multiply-adds are counted for one image, attention's own included. Training "
    "images per second and inference milliseconds are medians with quartiles."
)
