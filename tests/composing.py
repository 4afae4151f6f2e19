"""Composing in tests, three times as fast: nothing is parsed twice, and a mode is not asked for.

Hydra composes each command twice, first only to read `hydra.mode`, and parses some twenty files
and a hundred interpolations each time: a third of a tiny run. tests/config/test_config.py compares
what is composed so with what Hydra composes alone.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, Any, ClassVar

import omegaconf.base
import pytest
from hydra._internal.core_plugins import file_config_source
from hydra._internal.hydra import Hydra
from omegaconf import OmegaConf, grammar_parser

from senet_train.config.typed_words import key_of

# What hydra.mode is computed from, in conf/config.yaml, and the files that may set one of these.
DECIDING = ("seed", "seeds", "arms", "first_seed", "experiment", "hydra")

get_mode = Hydra.get_mode
load = OmegaConf.load
parse = grammar_parser.parse


def mode_of(hydra: Hydra, config_name: str | None, overrides: list[str]) -> Any:
    """The mode: None, as `mode_for` says, where no word is about what decides it."""
    plain = config_name == "config" and not any(map(may_decide, overrides))
    return (
        None if plain and not searches_elsewhere(hydra) else get_mode(hydra, config_name, overrides)
    )


def may_decide(word: str) -> bool:
    """Whether a word may change the mode: `seed=3` alone does not."""
    key, number = key_of(word), word.partition("=")[2]
    return key.split(".")[0].split("/")[0] in DECIDING and not (
        key == "seed" and number.isdecimal()
    )


def searches_elsewhere(hydra: Hydra) -> bool:
    """Whether a folder of the user is searched too: its files may set anything."""
    providers = {source.provider for source in hydra.config_loader.get_sources()}
    return not providers <= {"hydra", "main", "schema"}


class ParsedOnce:
    """`OmegaConf` for Hydra's reader of files: it gets a copy of what was parsed before."""

    known: ClassVar[dict[tuple[str, int, int, int], Any]] = {}

    @classmethod
    def load(cls, file: IO[str]) -> Any:
        """A file, known by name, time, size and number."""
        status = os.fstat(file.fileno())
        key = (file.name, status.st_mtime_ns, status.st_size, status.st_ino)
        if key not in cls.known:
            cls.known[key] = load(file)
        return copy.deepcopy(cls.known[key])


@contextmanager
def composing_is_fast() -> Iterator[None]:
    """For the block, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", mode_of)
        patch.setattr(file_config_source, "OmegaConf", ParsedOnce)
        patch.setattr(omegaconf.base, "parse", cache(parse))  # its trees are only read
        yield


@contextmanager
def composing_as_hydra_does() -> Iterator[None]:
    """For the block, nothing of this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", get_mode)
        patch.setattr(file_config_source, "OmegaConf", OmegaConf)
        patch.setattr(omegaconf.base, "parse", parse)
        yield
