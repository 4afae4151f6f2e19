"""What a configuration folder may set of Hydra's own, which may be a stranger's.

Hydra imports and calls what its own settings name (launchers, callbacks, handlers of logs), writes
where they say, and acts before a run is checked. So all that a command may compose is composed
first, without acting on it: Hydra's part must be that of conf/ and of the words typed, but for a
few keys that are counts. A folder's files cannot read the user's environment variables either, nor
make a logger send anything.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers import oc

from senet_train.config.compose import combinations
from senet_train.config.resolvers import config_dir
from senet_train.config.typed_words import key_of, of_logger
from senet_train.errors import InputError

# Keys of hydra.launcher that are counts, and of hydra.sweeper=search, which checks them.
COUNTS = (
    "jobs",
    "timeout_min",
    "cpus_per_task",
    "gpus_per_node",
    "mem_gb",
    "signal_delay_s",
    "max_num_timeout",
    "array_parallelism",
    "nodes",
    "tasks_per_node",
)
# What Hydra itself writes down of a command; it differs from one to the next.
WRITTEN_DOWN = re.compile(r"(runtime|overrides|searchpath|job\.(override_dirname|config_name))\b")


# Environment variables that any file may read: they say where something lies, and are no secrets.
PLACES = (
    *("HOME", "USER", "LOGNAME", "PWD", "TMPDIR", "SCRATCH", "WORK", "PROJECT", "SLURM_TMPDIR"),
    *("DATA", "DATA_DIR", "DATA_ROOT", "DATASETS", "XDG_DATA_HOME", "XDG_CACHE_HOME"),
)


def refuse_strangers(folders: Sequence[str], main: str, name: str, words: Sequence[str]) -> None:
    """Refuse a folder whose files would make Hydra act. Raises InputError, and Hydra's errors.

    `folders` are configuration folders besides `main`, which is conf/ or one in its place; `name`
    is that of the main file, and `words` are the settings typed.
    """
    for folder in (*folders, main):
        refuse_searchpath(Path(folder, f"{name}.yaml"))
    parsed = OverridesParser.create().parse_overrides(list(words))
    parsed = [each for each in parsed if key_of(each.input_line or "") != "hydra.searchpath"]
    searched = f"hydra.searchpath={json.dumps(list(map(as_source, folders)), ensure_ascii=False)}"
    for combination in combinations(parsed):
        found = composed_with(main, name, [*combination, searched])
        refuse_difference(found.hydra, composed_by_us(combination, found.hydra.runtime.choices))
        refuse_untyped_logger(found, words)


def composed_with(main: str, name: str, words: Sequence[str]) -> DictConfig:
    """What these words compose, with Hydra's part. Raises InputError, and Hydra's errors."""
    try:
        with initialize_config_dir(os.path.abspath(main), version_base="1.3"):
            found: DictConfig = compose(name, list(words), return_hydra_config=True)
    except (KeyError, AttributeError, TypeError) as error:  # Hydra uses its part as it composes it
        raise InputError(
            "what a configuration folder sets of Hydra's own cannot be composed "
            f"({type(error).__name__}: {error}): take it out"
        ) from error
    return found


def refuse_searchpath(file: Path) -> None:
    """Refuse a main file that names further places: `pkg://x` would import x. Raises InputError."""
    if file.is_file() and file.parent.resolve() != Path(config_dir()).resolve():
        content = OmegaConf.load(file)
        if isinstance(content, DictConfig) and OmegaConf.select(content, "hydra.searchpath"):
            raise InputError(f"{file} sets hydra.searchpath: write it on the command line")


def as_source(folder: str) -> str:
    """A folder as an entry of hydra.searchpath, which may be one already. Raises InputError."""
    if "://" in folder:
        return folder
    if not os.path.isdir(folder):
        raise InputError(f"--config-dir={folder} is no folder: give one that exists")
    return f"file://{os.path.abspath(folder)}"


def composed_by_us(words: Sequence[str], choices: Mapping[str, str]) -> DictConfig:
    """Hydra's part as conf/ and the words typed make it, with this launcher and this sweeper."""
    chosen = {f"hydra/{group}": choices[f"hydra/{group}"] for group in ("launcher", "sweeper")}
    typed = [word for word in words if key_of(word).startswith("hydra.")]
    groups = [word for word in words if key_of(word).startswith("hydra/")]
    groups = [word for word in groups if key_of(word) not in chosen]
    chosen_words = [f"{group}={option}" for group, option in chosen.items()]
    ours: DictConfig = composed_with(config_dir(), "config", [*chosen_words, *groups, *typed]).hydra
    return ours


def refuse_difference(found: DictConfig, ours: DictConfig) -> None:
    """Raises InputError for what `found` has of Hydra's own that it may not have from a folder."""
    here, there = (dict(leaves(OmegaConf.to_container(each))) for each in (found, ours))
    for key in sorted(here.keys() | there.keys()):
        value = here.get(key)
        if value == there.get(key) or WRITTEN_DOWN.match(key) or may_be_set(key, value):
            continue
        raise InputError(
            f"hydra.{key} is set by a file of a configuration folder, which may set no more of "
            "Hydra's own than counts of hydra.launcher and hydra.sweeper: take it out, or write "
            "it on the command line"
        )


def may_be_set(key: str, value: Any) -> bool:
    """Whether a folder may set this key below `hydra.` to this value."""
    group, _, name = key.partition(".")
    if key == "mode":  # from arms and seeds
        return True
    if of_logger(name.removeprefix("params.")):  # the basic sweeper would type it for them
        return False
    if group == "sweeper" and name != "_target_":
        return isinstance(value, int | float | str) and "${" not in str(value)
    return group == "launcher" and name in COUNTS and isinstance(value, int | float)


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value at any depth, interpolations as they are written, and the path to it."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list) and node:
        for position, value in enumerate(node):
            yield from leaves(value, f"{path}.{position}")
    else:
        yield path, node


def refuse_untyped_logger(tree: DictConfig, words: Sequence[str]) -> None:
    """Refuse what a logger would send, or where to, unless it was typed. Raises InputError.

    A folder's files may choose a logger, which writes to this disk; that it sends, and to which
    server or project, is for the words typed.
    """
    node = OmegaConf.select(tree, "logger")
    given = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else {}
    assert isinstance(given, dict)
    typed = {key_of(word) for word in words}
    ours = options_of_conf(str(given.get("name")))
    for key, value in ((str(key), value) for key, value in given.items()):
        setting = f"logger.{key}"
        if key != "name" and setting not in typed and (key not in ours or value != ours[key]):
            raise InputError(
                f"{setting} is set by a file of a configuration folder or by hydra.sweeper.params, "
                "and says what is sent to whom: take it out, or write it on the command line"
            )


def options_of_conf(logger: str) -> dict[str, Any]:
    """The options of a logger as conf/ has them; none of a logger that is not ours."""
    ours = {file.stem: file for file in Path(config_dir(), "logger").glob("*.yaml")}
    found = OmegaConf.to_container(OmegaConf.load(ours[logger])) if logger in ours else {}
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


@contextmanager
def environment_of(words: Sequence[str]) -> Iterator[None]:
    """For the block, `${oc.env:NAME}` is resolved for places, and for names in the words typed.

    A file of a stranger could otherwise put a secret into a record that is shared.
    """

    def read(name: str, *default: str | None) -> str | None:
        typed = re.compile(rf"oc\.env:\W*{re.escape(name)}\b")
        if name not in PLACES and not any(map(typed.search, words)):
            raise InputError(
                f"a file of a configuration folder reads the environment variable {name}: "
                "write what it stands for, or the setting on the command line"
            )
        return oc.env(name, *default)

    OmegaConf.register_new_resolver("oc.env", read, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
