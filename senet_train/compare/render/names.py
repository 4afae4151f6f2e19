"""What an arm is called where it stands beside the others of its block."""

from collections import Counter

from senet_train.compare.comparison import Block


def arm_names(block: Block) -> list[str]:
    """Each arm's label and what of the recipe is its own; where two share that, with the folder."""
    names = [f"{a.label} ({a.settings})" if a.settings else a.label for a in block.arms]
    with_folder = [f"{arm.label} ({arm.folder})" for arm in block.arms]
    return first_unique(names, with_folder)


def first_unique(names: list[str], longer: list[str]) -> list[str]:
    """Each name, or its longer form if the name is taken twice."""
    taken = Counter(names)
    return [name if taken[name] == 1 else long for name, long in zip(names, longer, strict=True)]


def shortened(name: str, length: int) -> str:
    """At most `length` characters: the start, which is the kind, and the end, which differs."""
    if len(name) <= length:
        return name
    end = (length - 3) // 2
    return f"{name[: length - 3 - end]}...{name[-end:]}"
