"""What a program's wrappers put before the names of a network's tensors: `module.`, `model.`.

It is found by the network itself: the beginning behind which most of its names stand. So whatever a
program calls its network, and however many wrappers there were, nothing is guessed.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from senet_train.errors import InputError


def common_prefix(wanted: Collection[str], given: Iterable[str], source: str) -> str:
    """The beginning of the given names behind which most wanted names stand, such as `model.`.

    It is "" where that is as good. Raises InputError for several that are equally good.
    """
    found: Counter[str] = Counter()
    for name in given:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in wanted:
                found["".join(f"{part}." for part in parts[:cut])] += 1
    most = max(found.values(), default=0)
    best = [prefix for prefix, times in found.items() if times == most]
    if most == found[""]:
        return ""
    if len(best) > 1:
        raise InputError(
            f"{source} has this network {len(best)} times, under {' and '.join(best)}: save one of "
            "them alone, and give that file"
        )
    return best[0]
