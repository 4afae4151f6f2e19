"""A run that is found finished, by its plan or by the words of its command.

A plan needs torch and the data. When a run has finished, what its plan came to is kept in the
user's cache: the same words find the same run again, without torch, as long as nothing that the
plan was made from has changed. That is the configuration, our code, the installed packages, what
decides what `auto` is on this machine, and the files of the data, each known by its size, its times
and its inode.
"""

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import entry_points, version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from senet_train.config.schema import Config
from senet_train.errors import InputError
from senet_train.runs.code import code_hash
from senet_train.runs.folder import RECORD_FILE, RunFolder
from senet_train.runs.identity import as_tree
from senet_train.runs.metrics import EXACT
from senet_train.runs.place import refuse_clash
from senet_train.runs.record import RunRecord, read_record
from senet_train.system.files import (
    SETTLED_NS,
    Stamp,
    cache_folder,
    remove_abandoned,
    stamp_of,
    write_json,
)
from senet_train.system.foreign_files import TREE, read_bytes
from senet_train.system.resources import machine_facts

log = logging.getLogger("senet_train")

# The fingerprint of the data in a record -> why it may not be of the data that are here; or "".
Doubt = Callable[[str], str]


def read_finished(
    folder: RunFolder, identity: str, doubt: Doubt = lambda fingerprint: ""
) -> RunRecord:
    """The record of the finished run, after a log line.

    Raises InputError if it is damaged, or if it is of another run than the folder's name says.
    """
    record = read_record(folder.path / RECORD_FILE)
    if (record.identity, record.seed) != (identity, folder.seed):
        raise InputError(
            f"{folder.path / RECORD_FILE} is of seed {record.seed} of {record.arm}: move the copy "
            "away, or overwrite=true sets it aside and trains this run"
        )
    log.info("found finished: %s (overwrite=true runs it anew)", folder.path)
    if words := doubt(record.data_fingerprint):
        log.warning("warning: %s", words)
    if record.environment.code != code_hash():
        then = record.environment.versions.get("senet-train", "of no known version")
        log.warning(
            "warning: it was made by other code: senet-train %s (code %s), now %s (code %s)",
            *(then, record.environment.code[:8], version("senet-train"), code_hash()[:8]),
        )
    return record


@dataclass(frozen=True, config=EXACT)
class KeptPlan:
    """What a plan came to: the folder of the run, what it is of, and the files it was read from."""

    data: str
    arm: str
    identity: str
    data_fingerprint: str
    origins: tuple[str, ...]  # files and folders of the data
    stamps: str  # a hash of their stamps


def keep_plan(
    config: Config,
    folder: RunFolder,
    identity: str,
    data_fingerprint: str,
    origins: Sequence[str],
    since_ns: int,
) -> None:
    """Keep what the plan of this configuration came to; nothing where no place is safe.

    `since_ns` is when it was begun: data that have changed since are not what was planned with.
    Nothing is kept either where others' plugins are installed, whose code may change unseen.
    """
    found = dict(stamps_below(origins))
    edited = any(max(stamp[1:3]) > since_ns - SETTLED_NS for stamp in found.values())
    if edited or plugins_are_installed():
        return
    places = tuple(os.path.abspath(origin) for origin in origins)
    plan = KeptPlan(folder.data, folder.arm, identity, data_fingerprint, places, hash_of(found))
    try:
        file = file_of(config)
        file.parent.mkdir(exist_ok=True)
        remove_abandoned(file.parent)
        write_json(file, asdict(plan))
    except (OSError, ValueError) as error:
        log.debug("the plan is not kept: %s", error)


@cache  # it reads a file of each installed package, and a table has many runs
def plugins_are_installed() -> bool:
    """Whether others' were when this was first asked."""
    return any(group.startswith("senet_train.") for group in entry_points().groups)


def find_finished(config: Config) -> tuple[RunFolder, str] | None:
    """The folder and the identity of the finished run; None where a plan must be made."""
    try:
        plan = TypeAdapter(KeptPlan).validate_json(read_bytes(file_of(config), TREE))
        output_dir = Path(config.output_dir).expanduser()
        folder = RunFolder(output_dir, plan.data, plan.arm, config.seed)
        if not folder.settled or hash_of(dict(stamps_below(plan.origins))) != plan.stamps:
            return None
        refuse_clash(folder.identity_file, plan.identity)
        found = read_record(folder.path / RECORD_FILE)
    except (OSError, ValidationError, InputError):  # the plan says what is wrong
        return None
    asked = (plan.identity, config.seed, plan.data_fingerprint)
    same = (found.identity, found.seed, found.data_fingerprint) == asked
    return (folder, plan.identity) if same else None


def file_of(config: Config) -> Path:
    """Where the plan of this configuration is kept. Raises OSError if there is no safe place."""
    facts = [as_tree(config), os.getcwd(), code_hash(), installed(), machine_facts()]
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    return cache_folder() / "plans" / f"{name}.json"


def installed() -> list[str]:
    """The packages and their versions: one of another version may build another network."""
    folders = [Path(folder) for folder in sys.path if os.path.isdir(folder)]
    return sorted({name for each in folders for name in os.listdir(each) if name.endswith("-info")})


def stamps_below(origins: Sequence[str]) -> Iterator[tuple[str, Stamp]]:
    """The stamp of each of these files and folders and of all below; none of what is missing."""
    waiting, seen = list(origins), set()
    while waiting:
        path = waiting.pop()
        if not os.path.exists(path):
            continue
        stamp = stamp_of(path)
        yield path, stamp
        if os.path.isdir(path) and stamp not in seen:  # by a link a folder may lie in itself
            seen.add(stamp)
            waiting += (os.path.join(path, name) for name in os.listdir(path))


def hash_of(stamps: dict[str, Stamp]) -> str:
    """One hash of all of them."""
    digest = hashlib.sha256()
    for path in sorted(stamps):
        digest.update(os.fsencode(path) + repr(stamps[path]).encode())
    return digest.hexdigest()
