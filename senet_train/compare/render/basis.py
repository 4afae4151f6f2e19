"""What the verdicts of a block rest on: in a line for its lists, in two sentences for a paper."""

from senet_train.compare.comparison import Basis, Block
from senet_train.compare.render.cells import arm_names
from senet_train.errors import counted
from senet_train.runs.study_plan import ERROR


def in_a_line(basis: Basis, block: Block) -> str:
    """`plan 1a2b3c4d, declared ...: 4 arms, tested at 5 seeds (0.04); sha256 ...`, or `no plan`."""
    if not basis.plans:
        which = "arms without a plan" if any(b.plans for b in block.judged_by) else "no plan"
        looks = ", ".join(map(str, basis.looks))
        return f"{which}: tested at {looks} seeds, with an error of {ERROR:g} for the block in all"
    first, *more = basis.plans
    extended = "".join(f", extended by {plan.name}" for plan in more)
    hashes = ", ".join(plan.sha256 for plan in basis.plans)
    looks = ", ".join(
        f"{counted(seeds, 'seed')} ({error:g})" for seeds, error in basis.looks.items()
    )
    return (
        f"plan {first.name}, declared {first.declared} before its first run{extended}: "
        f"{counted(basis.family, 'arm')}, tested at {looks or 'no seeds yet'}{parts(basis)}; "
        f"sha256 {hashes}. {counted(basis.declared, 'seed')} may miss that an arm loses points "
        f"in some of its runs (fewer than {unseen(basis.declared):.0%}): the error holds if no arm "
        "does"
    )


def parts(basis: Basis, opening: str = "") -> str:
    """`, half of the error for se, 0.01 kept for an extension`; each begins with `opening`."""
    primary = f", {opening}half of the error for {basis.primary}" if basis.primary else ""
    kept = f", {opening}{basis.kept:g} kept for an extension" if basis.kept else ""
    return primary + kept


def unseen(num_seeds: int) -> float:
    """The share of runs that, in 1 study of 20, none of so many seeds is of."""
    return 1 - 0.05 ** (1 / num_seeds)


def in_two_sentences(basis: Basis, block: Block) -> str:
    """What was declared, with its hash; and the test, with what it assumes."""
    opening = declared_words if basis.plans else undeclared_words
    return f"{opening(basis, block)} {rule_words(basis)}"


def declared_words(basis: Basis, block: Block) -> str:
    """The plan, its extensions and what it declares, in a sentence."""
    first, *more = basis.plans
    extended = "".join(f", extended on {p.declared} by {p.name} (sha256 {p.sha256})" for p in more)
    return (
        f"The comparison of {who(basis, block)} was declared before its first run, on "
        f"{first.declared}, as plan {first.name} (sha256 {first.sha256}){extended}: "
        f"{counted(basis.family, 'arm')} and their control, the seeds and their order, and tests "
        f"at {looks_words(basis)}{parts(basis, 'with ')}."
    )


def undeclared_words(basis: Basis, block: Block) -> str:
    """That there is no plan, and at how many seeds arms are tested then, in a sentence."""
    return (
        f"No plan was declared for {who(basis, block)}, which were therefore tested at "
        f"{looks_words(basis)}, as all runs without a plan are."
    )


def who(basis: Basis, block: Block) -> str:
    """The arms that it judges, by name where the block has others too."""
    names = dict(zip((arm.folder for arm in block.arms), arm_names(block), strict=True))
    if len(basis.arms) == len(block.arms) - 1:
        return "the arms"
    return ", ".join(names[folder] for folder in basis.arms)


def looks_words(basis: Basis) -> str:
    """`3 (0.005) and 5 (0.015) seeds, in brackets the error spent`."""
    looks = [f"{seeds} ({error:g})" for seeds, error in basis.looks.items()]
    if not looks:
        return "no number of seeds yet"
    several = f"{', '.join(looks[:-1])} and {looks[-1]}" if len(looks) > 1 else looks[0]
    return f"{several} seeds, in brackets the error that may be spent there"


def rule_words(basis: Basis) -> str:
    """The test, what it keeps, and what it assumes, in a sentence."""
    weighted = "weighted Holm" if basis.primary else "Holm"
    adjusted = (
        f"with a {weighted} adjustment over the {basis.family} arms"
        if basis.family > 1
        else "without an adjustment, as there is one arm"
    )
    chosen = "" if basis.plans else ", and that neither arms nor runs were chosen by their scores"
    return (
        "At each of these numbers of seeds, the differences of each arm from the control, paired "
        f"by seed and taken {basis.order}, were tested by a two-sided paired t-test {adjusted}, "
        "which keeps the probability of finding a difference where there is none at or below "
        f"{ERROR:g} over all arms and tests together, assuming that the differences are "
        f"independent from seed to seed and near normal{chosen}."
    )
