"""Composing in tests, four times as fast: nothing is parsed or merged twice, no mode is asked for.

Hydra composes each command twice, first only to read `hydra.mode`, and each time parses its words,
some twenty files and a hundred interpolations, and merges the files: a third of a tiny run.
tests/config/test_composing.py compares what is composed so with what Hydra composes alone.
"""

import copy
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import IO, Any, ClassVar

import omegaconf.base
import pytest
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins import file_config_source
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf, grammar_parser

from senet_train.config.typed_words import key_of

# What hydra.mode is computed from, in conf/config.yaml, and the files that may set one of these.
DECIDING = ("seed", "seeds", "arms", "first_seed", "experiment", "hydra")

get_mode = Hydra.get_mode
load = OmegaConf.load
parse = grammar_parser.parse
parse_once = cache(parse)  # its trees are only read
parse_rule = OverridesParser.parse_rule
list_defaults = config_loader_impl.create_defaults_list
make_map = defaults_list._create_interpolation_map
merge = ConfigLoaderImpl._compose_config_from_defaults_list
begin = CachingConfigRepository.__init__


def mode_of(hydra: Hydra, config_name: str | None, overrides: list[str]) -> Any:
    """The mode: None, as `mode_for` says, where no word is about what decides it."""
    plain = config_name == "config" and not any(map(may_decide, overrides))
    ours = are_ours(hydra.config_loader.get_sources())
    return None if plain and ours else get_mode(hydra, config_name, overrides)


def may_decide(word: str) -> bool:
    """Whether a word may change the mode: `seed=3` alone does not."""
    key, number = key_of(word), word.partition("=")[2]
    return key.split(".")[0].split("/")[0] in DECIDING and not (
        key == "seed" and number.isdecimal()
    )


def are_ours(sources: list[Any]) -> bool:
    """Whether no folder of the user is searched: its files may set anything, and may change."""
    return {source.provider for source in sources} <= {"hydra", "main", "schema"}


class ParsedOnce:
    """`OmegaConf` for Hydra's reader of files: it gets a copy of what was parsed before."""

    known: ClassVar[dict[Any, bytes]] = {}

    @classmethod
    def load(cls, file: IO[str]) -> Any:
        """A file, known by name, time, size and number."""
        status = os.fstat(file.fileno())
        key = (file.name, status.st_mtime_ns, status.st_size, status.st_ino)
        return copied(cls.known, key, lambda: load(file))


def copied(known: dict[Any, bytes], key: Any, make: Callable[[], Any]) -> Any:
    """A copy of what was made for this key before; unpickled, six times as fast as copied."""
    if key not in known:
        known[key] = pickle.dumps(make(), pickle.HIGHEST_PROTOCOL)
    return pickle.loads(known[key])


class ReadOnce:
    """A repository whose files are read once by all compositions: the list of files alone is made
    from it, which changes nothing of what it gets."""

    known: ClassVar[dict[Any, Any]] = {}

    def __init__(self, repo: CachingConfigRepository) -> None:
        self.repo, self.places = repo, config_dir_of(repo)

    def load_config(self, config_path: str) -> Any:
        key = (self.places, config_path)
        if key not in self.known:
            self.known[key] = self.repo.delegate.load_config(config_path=config_path)
        return self.known[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.repo, name)


def map_where_needed(overrides: Overrides, defaults: list[Any], self_added: bool) -> Any:
    """The choices that an interpolated entry of a list of files reads; ours have no such entry."""
    asked = any(entry.is_interpolation() for entry in defaults)
    return make_map(overrides, defaults, self_added) if asked else None


rules: dict[Any, bytes] = {}
lists: dict[Any, DefaultsList] = {}
merged: dict[Any, bytes] = {}


def rule_of(parser: OverridesParser, word: str, rule: str) -> Any:
    """A word of a command, parsed once."""
    return copied(rules, (word, rule), lambda: parse_rule(parser, word, rule))


def defaults_of(
    repo: Any, config_name: str | None, overrides_list: list[Any], **options: bool
) -> DefaultsList:
    """The files that a command's words choose, found once: words of values choose none."""

    def listed() -> DefaultsList:
        return list_defaults(ReadOnce(repo), config_name, overrides_list, **options)

    if not are_ours(repo.get_sources()):
        return list_defaults(repo, config_name, overrides_list, **options)
    values = Overrides(repo, overrides_list).config_overrides
    of_values = set(map(id, values))
    chosen = [word.input_line for word in overrides_list if id(word) not in of_values]
    key = (config_dir_of(repo), config_name, *chosen, *options.items())
    if key not in lists:
        lists[key] = listed()
    return replace(lists[key], config_overrides=values)


def merged_once(loader: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> Any:
    """What these files come to, before the values of the words are put in."""
    if not are_ours(repo.get_sources()):
        return merge(loader, defaults, repo)
    key = (config_dir_of(repo), *map(repr, defaults))
    return copied(merged, key, lambda: merge(loader, defaults, repo))


def begin_cache(cache: CachingConfigRepository, delegate: Any) -> None:
    """Begin the cache of one composition; its own list of sources is all that it may change."""
    cache.delegate, cache.cache = copy.copy(delegate), {}


def config_dir_of(repo: Any) -> str:
    """The places that are searched."""
    return " ".join(source.path for source in repo.get_sources())


@contextmanager
def composing_is_fast() -> Iterator[None]:
    """For the block, in this process."""
    Plugins.instance()  # it runs the modules of its plugins again, which would undo what follows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", mode_of)
        patch.setattr(file_config_source, "OmegaConf", ParsedOnce)
        patch.setattr(omegaconf.base, "parse", parse_once)
        patch.setattr(OverridesParser, "parse_rule", rule_of)
        patch.setattr(config_loader_impl, "create_defaults_list", defaults_of)
        patch.setattr(defaults_list, "_create_interpolation_map", map_where_needed)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merged_once)
        patch.setattr(CachingConfigRepository, "__init__", begin_cache)
        yield


@contextmanager
def composing_as_hydra_does() -> Iterator[None]:
    """For the block, nothing of this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", get_mode)
        patch.setattr(file_config_source, "OmegaConf", OmegaConf)
        patch.setattr(omegaconf.base, "parse", parse)
        patch.setattr(OverridesParser, "parse_rule", parse_rule)
        patch.setattr(config_loader_impl, "create_defaults_list", list_defaults)
        patch.setattr(defaults_list, "_create_interpolation_map", make_map)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge)
        patch.setattr(CachingConfigRepository, "__init__", begin)
        yield
