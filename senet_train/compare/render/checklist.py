"""Answers for the checklist of a paper, from the records; and what no record can answer.

The questions are those of the NeurIPS paper checklist of which a record knows something, in our own
words. An answer is a draft: who writes the paper reads it, and answers what is not recorded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from senet_train.compare.comparison import Block, Comparison
from senet_train.compare.render.basis import in_two_sentences
from senet_train.compare.render.cells import signed, signed_interval
from senet_train.compare.render.markdown import escaped
from senet_train.compare.render.methods import details, seeds_used
from senet_train.compare.render.provenance import (
    compute_line,
    hours,
    made_with,
    setting_lines,
)
from senet_train.compare.render.verdicts import answer, verdict_words
from senet_train.errors import counted

NOT_RECORDED = "not recorded: you must answer this"
OPENING = (
    "Drafts of answers for the NeurIPS paper checklist, from the records of the runs that were "
    "compared. The questions are in our words: read those of your year. What no record can know "
    f'is marked "{NOT_RECORDED}".'
)


@dataclass(frozen=True)
class Question:
    """A question, its answers from the records, and what of it no record can answer."""

    title: str
    asked: str
    answers: list[str]
    missing: list[str]


def checklist(comparison: Comparison) -> str:
    """The whole page, Markdown."""
    questions = [
        claims(comparison),
        limitations(comparison),
        setting(comparison),
        significance(comparison),
        compute(comparison),
        reproduction(comparison),
        LICENCES,
        OTHERS,
    ]
    parts = ["# Answers for a paper's checklist", escaped(OPENING)]
    return "\n\n".join([*parts, *(part for q in questions for part in parts_of(q))]) + "\n"


def parts_of(question: Question) -> list[str]:
    """A question as Markdown: what is asked, the answers, what is missing."""
    lines = [f"- {escaped(line)}" for line in question.answers]
    lines += [f"- **{NOT_RECORDED}**: {escaped(line)}" for line in question.missing]
    return [f"## {question.title}", f"*{escaped(question.asked)}*", "\n".join(lines)]


def of_blocks(comparison: Comparison, lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of every block, with its title before them where there are several."""
    if len(comparison.blocks) == 1:
        return list(lines[0])
    titles = [block.title for block in comparison.blocks]
    return [f"{title}: {x}" for title, own in zip(titles, lines, strict=True) for x in own]


def claims(comparison: Comparison) -> Question:
    """The verdicts, which are what may be claimed."""
    return Question(
        "Claims",
        "Do the abstract and the introduction claim what was shown, and no more?",
        [
            *of_blocks(comparison, [[*verdict_lines(block)] for block in comparison.blocks]),
            "A verdict is about new seeds on the same test images, with the network, the data and "
            "the recipe that were compared.",
        ],
        ["whether the paper's text claims no more than this."],
    )


def verdict_lines(block: Block) -> Iterator[str]:
    """The answer of a block, and every arm's difference, interval, seeds and verdict."""
    yield answer(block)
    for arm in block.arms:
        found = arm.difference
        if found:
            interval = signed_interval(found.low, found.high)
            seeds = counted(found.num_seeds, "seed")
            yield (
                f"{arm.label}: {signed(found.difference)} points of test {block.score.title} "
                f"(95 % interval {interval}, n = {seeds}): {verdict_words(arm, block)}."
            )


def limitations(comparison: Comparison) -> Question:
    """What the records know of the limits: scope, open verdicts, what was left out or allowed."""
    found = [arm.difference for block in comparison.blocks for arm in block.arms]
    given = [each for each in found if each]
    settled = sum(each.verdict in ("better", "worse", "equivalent") for each in given)
    titles = ", ".join(dict.fromkeys(block.title for block in comparison.blocks))
    lines = [
        f"What was compared: {titles}. Nothing is shown for other data, networks or recipes.",
        f"{settled} of {counted(len(given), 'arm')} {'has' if settled == 1 else 'have'} a verdict. "
        "An undecided arm is not shown to be equal to its control.",
        "The tests assume differences that are near normal, which few seeds cannot show.",
        *comparison.caveats,
    ]
    if comparison.allowed:
        lines.append(f"Runs were allowed to differ in {', '.join(comparison.allowed)}.")
    if comparison.left_out:
        lines.append(f"{counted(len(comparison.left_out), 'run')} left out, listed with reasons.")
    lines += of_blocks(comparison, [block.notes for block in comparison.blocks])
    return Question(
        "Limitations",
        "Are the limits of the work discussed, with its strong assumptions?",
        lines,
        ["limits of the method itself, and how robust the results are beyond these runs."],
    )


def setting(comparison: Comparison) -> Question:
    """Every setting with its values, the data's parts, and how the epoch was chosen."""
    made = [block.provenance for block in comparison.blocks]
    known = [[*setting_lines(block)] for block in comparison.blocks]
    missing = ["how the settings were chosen, and on which data."]
    if None in made:
        missing.append("every setting that is no column of the table, and the parts of the data.")
    return Question(
        "Experimental setting and details",
        "Are all details of training and test given: the split of the data, the settings and how "
        "they were chosen, the optimizer?",
        of_blocks(comparison, known),
        missing,
    )


def significance(comparison: Comparison) -> Question:
    """Error bars, what varies between runs, the test and its assumptions, and n."""
    recorded = all(block.provenance for block in comparison.blocks)
    drawn = (
        "A seed draws the first weights, the order of the images, augmentation and dropout, and "
        "neither the data nor their split."
    )
    return Question(
        "Statistical significance",
        "Are there error bars, or tests, with what varies, how they are computed and what they "
        "assume?",
        [
            "Error bars: +- is the sample standard deviation over seeds, not the standard error of "
            "the mean; intervals are 95 % t-intervals, and no interval of a mean goes beyond 0 or "
            "100 %.",
            *([drawn] if recorded else []),
            *of_blocks(comparison, [[*tested(block)] for block in comparison.blocks]),
            details(comparison),
        ],
        [] if recorded else ["what varies from seed to seed: the table does not tell."],
    )


def tested(block: Block) -> Iterator[str]:
    """The number of seeds; the plan, the test and its assumptions."""
    yield seeds_used(block)
    yield from (in_two_sentences(basis, block) for basis in block.judged_by)


def compute(comparison: Comparison) -> Question:
    """The devices, and the hours of a run and of all."""
    used = [block.provenance.compute if block.provenance else [] for block in comparison.blocks]
    every = [each for own in used for each in own]
    lines = of_blocks(comparison, [[compute_line(each) for each in own] for own in used])
    if every:
        runs = counted(sum(each.num_runs for each in every), "run")
        total = hours(sum(each.seconds for each in every))
        lines.append(f"In all: {runs}, {total} hours, as if one run came after the other.")
    missing = ["the provider, storage, and hours of preliminary, failed and left-out runs."]
    if not all(used):
        missing.insert(0, "the devices, their memory, and the hours of a run and of all.")
    return Question(
        "Compute resources",
        "On which devices, with how much memory and in what time was each run made, and all?",
        lines,
        missing,
    )


def reproduction(comparison: Comparison) -> Question:
    """Versions, hashes of code and data, seeds."""
    made = [[*made_with(block)] for block in comparison.blocks]
    missing = ["where code and data are published."]
    if not all(block.provenance for block in comparison.blocks):
        missing.insert(0, "the versions and hashes of code and data.")
    return Question(
        "Reproducing it: code, data, seeds",
        "Is there a way to make the results again: code, data, versions, exact commands?",
        of_blocks(comparison, made),
        missing,
    )


LICENCES = Question(
    "Licences",
    "Are the makers of data, code and networks named, and their licences kept?",
    [],
    ["the licence of the data, of pretrained weights and of every package."],
)
OTHERS = Question(
    "Other questions",
    "Theory and proofs, ethics, impact on society, safeguards, new assets, people who took part, "
    "review boards, use of language models.",
    [],
    ["all of these: no run knows of them."],
)
