"""The arguments of the command -> the configurations of the networks to profile. No torch.

Names, options and errors are those of senet-train: the same composition, the same checks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from senet_train.config.compose import (
    combinations,
    explain_composition,
    unread_settings,
)
from senet_train.config.read import read_config
from senet_train.config.resolvers import config_dir, register_resolvers
from senet_train.config.schema import Config
from senet_train.config.typed_words import TEXT_KEYS, as_meant, key_of
from senet_train.errors import InputError

# Settings that an option of the command takes the place of, and that option.
CHOSEN_BY_OPTION = {
    "data.batch_size": "--batch-sizes",
    "trainer.accelerator": "--device",
    "trainer.precision": "nothing: float32 and the machine's own precision are both measured",
}


@dataclass(frozen=True)
class RequestedNetwork:
    """One network to profile: the arguments that named it, and their configuration."""

    words: str
    config: Config


def group_settings(words: Sequence[str]) -> list[Path | list[str]]:
    """Run folders, and the settings of one network each.

    A word with spaces in it is a group of its own. Of the others `model=` begins a group, and those
    before the first belong to all: `data=cifar10 model=resnet20 model=se_resnet20 ratio=4`. So do
    data that are named for one network alone. Raises InputError.
    """
    common: list[str] = []
    groups: list[Path | list[str]] = []
    open_group: list[str] | None = None
    for word in words:
        if Path(word).exists():
            groups.append(Path(word))
        elif "=" not in word:
            raise InputError(f"{word} is no run's folder and no setting: write key=value")
        elif " " in word.strip() and key_of(word) not in TEXT_KEYS:
            groups.append(word.split())
        elif key_of(word) == "model":
            open_group = [word]
            groups.append(open_group)
        else:
            (common if open_group is None else open_group).append(word)
    common += data_of_one(groups)
    groups = [group if isinstance(group, Path) else [*common, *group] for group in groups]
    only_runs = all(isinstance(group, Path) for group in groups)
    return [*groups, common] if only_runs and (common or not groups) else groups


def data_of_one(groups: Sequence[Path | list[str]]) -> list[str]:
    """Take the settings of the data out of the one group that has some, where the others have none.

    Networks on different images cannot be compared: with `model=a model=b data=cifar10` both are
    meant.
    """
    named = [group for group in groups if isinstance(group, list)]
    with_data = [group for group in named if any(map(is_of_data, group))]
    if len(with_data) != 1 or len(named) == 1:
        return []
    [group] = with_data
    found = [word for word in group if is_of_data(word)]
    group[:] = [word for word in group if not is_of_data(word)]
    return found


def is_of_data(word: str) -> bool:
    """Whether a setting chooses the data or how they are read."""
    return key_of(word) == "data" or key_of(word).startswith("data.")


def requested_networks(words: Sequence[str]) -> Iterator[RequestedNetwork]:
    """One network, or several where a setting has several values or a preset has arms.

    Raises InputError.
    """
    register_resolvers()
    refuse_option_settings(words)
    try:
        parsed = OverridesParser.create().parse_overrides(as_meant(words))
        with initialize_config_dir(config_dir(), version_base="1.3"):
            for combination in combinations(parsed):
                for arm in compose("config", combination).arms or [[]]:
                    yield request([*combination, *arm])
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain_composition(error)) from error


def refuse_option_settings(words: Sequence[str]) -> None:
    """Raises InputError for a setting that an option of the command chooses."""
    for word in words:
        if key_of(word) in CHOSEN_BY_OPTION:
            raise InputError(f"{word} is chosen by {CHOSEN_BY_OPTION[key_of(word)]}: leave it out")


def request(words: list[str]) -> RequestedNetwork:
    """The configuration of one network. Raises InputError."""
    raw = compose("config", words)
    if unread := unread_settings(raw, words):
        raise InputError(unread)
    config = read_config(raw)
    if config.task != "classification":
        raise InputError(f"task={config.task} is not profiled: leave it out, classifiers are")
    return RequestedNetwork(" ".join(words) or "the default", config)
