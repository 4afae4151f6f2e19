"""What may have been meant by a key, an option or a flag that there is not."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from senet_train.config.aliases import KEY_OF, OPTION_OF, REASON_OF, fold
from senet_train.config.conf_keys import groups_of_conf, keys_of_conf
from senet_train.errors import counted

MANY = 25  # so many choices are not listed in a line
CHOOSE = "choose one that has it"
OWN_IMAGES = "data=imagenet_subset"  # the option for a folder of images


def suggestion(word: str, choices: Iterable[str]) -> str:
    """`: did you mean x or y?` for the closest choices, or the choices themselves if they are few.

    Case, `-` and `_` do not count: `SE-ResNet18` is se_resnet18.
    """
    known = sorted(choices)
    if close := nearest(word, known):
        return f": did you mean {' or '.join(close)}?"
    return f": choose one of {', '.join(known)}" if 0 < len(known) < MANY else ""


def nearest(word: str, known: Sequence[str]) -> list[str]:
    """The one choice that is the word but for case and hyphens, else the two that are closest."""
    folded: dict[str, str] = {}
    for choice in known:
        folded.setdefault(fold(choice), choice)
    if same := folded.get(fold(word)):
        return [same]
    close = difflib.get_close_matches(fold(word), folded, n=2)
    return [folded[name] for name in close if likeness(word, name) > likeness(word, close[0]) - 0.1]


def likeness(word: str, name: str) -> float:
    """1 for equal words, 0 for words that share no letter."""
    return difflib.SequenceMatcher(None, name, fold(word)).ratio()


def no_such_key(key: str) -> str:
    """The whole message for a key that there is not, or not with the options that are chosen."""
    if owners := keys_of_conf().get(key):
        own = f"choose {OWN_IMAGES} for images of your own" if OWN_IMAGES in owners else ""
        return f"{key} belongs to {some_of(owners)}: {own or CHOOSE}, or leave {key} out"
    for word in (fold(key), fold(key.rpartition(".")[2])):
        if word in REASON_OF:
            return f"there is no key {key}: {REASON_OF[word]}"
        if word in KEY_OF:
            return f"there is no key {key}: did you mean {with_owner(KEY_OF[word])}?"
    return f"there is no key {key}{nearest_keys(key) or ': senet-train --help lists them'}"


def with_owner(setting: str) -> str:
    """`data.root`, with the options that bring it where not all do."""
    owners = keys_of_conf().get(setting)
    return f"{setting} (it belongs to {some_of(owners)})" if owners else setting


def some_of(owners: Sequence[str]) -> str:
    """`data=cifar10, data=cifar100 or data=imagenet_subset`; of many, three."""
    shown = list(owners[:3])
    more = [counted(len(owners) - 3, "other")] if len(owners) > 3 else []
    *first, last = [*shown, *more]
    return f"{', '.join(first)} or {last}" if first else last


def nearest_keys(key: str) -> str:
    """`: did you mean optim.lr?`, by the whole key or by its last part."""
    shown = {name: name for name in keys_of_conf()}
    shown |= {group: f"{group}=NAME" for group in groups_of_conf()}
    close = nearest(key, list(shown))
    if not close:
        by_end = {name.rpartition(".")[2]: name for name in shown}
        close = [by_end[end] for end in nearest(key.rpartition(".")[2], list(by_end))]
    return (
        f": did you mean {' or '.join(with_owner(shown[name]) for name in close)}?" if close else ""
    )


def no_such_option(group: str, option: str, known: Sequence[str]) -> str:
    """The whole message for `group=option` where the group has no such option."""
    start = f"{group}={option} is none of the options"
    word = fold(option)
    if group == "data" and ("/" in option or "\\" in option or Path(option).is_dir()):
        return f"{start}: for images of your own write {OWN_IMAGES} data.root={option}"
    if (group, word) in OPTION_OF:
        return f"{start}: did you mean {OPTION_OF[group, word]}?"
    if group in ("optim", "trainer") and word in REASON_OF:
        return f"{start}, which are {', '.join(known)}: {REASON_OF[word]}"
    close = " or ".join(f"{group}={name}" for name in nearest(option, known))
    if not close and len(known) < MANY:
        return f"{start}: {', '.join(known)}"
    libraries = "; a library's network is model=torchvision model.name=NAME, or model=timm"
    meant = f" did you mean {close}?" if close else ""
    every = f" senet-train --help lists all {len(known)}"
    return f"{start}:{meant}{every}{libraries if group == 'model' else ''}"


def no_such_flag(words: Sequence[str]) -> str:
    """The message for `--ratio 16`, `--lr=0.1`, `--pretrained`: the setting that it is here."""
    name, sign, value = words[0].lstrip("-").partition("=")
    alone = sign or len(words) < 2 or words[1].startswith("-") or "=" in words[1]
    typed, value = (words[0], value) if alone else (f"{words[0]} {words[1]}", words[1])
    start = f"{typed} is no option"
    if fold(name) in REASON_OF:
        return f"{start}: {REASON_OF[fold(name)]}"
    key = KEY_OF.get(fold(name)) or next(iter(nearest(name, list(keys_of_conf()))), "")
    if not key:
        return f"{start}: settings are written key=value, see senet-train --help"
    return f"{start}: write {as_setting(key, value)}"


def as_setting(key: str, value: str) -> str:
    """`ratio=16`; `model=se_resnet18` for `model=NAME` and `SE_ResNet18`."""
    group = key.removesuffix("=NAME")
    if group != key:
        same = [name for name in groups_of_conf()[group] if fold(name) == fold(value)]
        return f"{group}={(same or [value or 'NAME'])[0]}"
    return key if "=" in key or " " in key else f"{key}={value or 'VALUE'}"
