"""The hash of our code: records and checkpoints have it, and kept plans depend on it. No torch."""

import hashlib
from functools import cache
from pathlib import Path

# Rooms whose code can change a number of a run, and what of them only reads runs or draws.
ROOMS_OF_NUMBERS = (
    "attention",
    "backbones",
    "config",
    "data",
    "errors",
    "keyed",
    "networks",
    "runs",
    "system",
    "training",
)
LEFT_OUT = ("runs/trained", "training/pictures")


@cache
def code_hash() -> str:
    """The sha256 of the source files that can change a number of a run."""
    return hash_sources(Path(__file__).parents[1])


def hash_sources(package: Path) -> str:
    """The sha256 over `ROOMS_OF_NUMBERS` of the package in the folder `package`.

    It is the same in a wheel and in a checkout. Commands, comparisons, sweeps and pictures are not
    in it: a better table must not make runs look as if other code had made them.
    """
    digest = hashlib.sha256()
    files = [*package.rglob("*.py"), *package.rglob("*.cpp")]
    for name in sorted((file.relative_to(package) for file in files), key=lambda name: name.parts):
        room = name.parts[0].removesuffix(".py")
        if room in ROOMS_OF_NUMBERS and not name.as_posix().startswith(LEFT_OUT):
            digest.update(f"{name.as_posix()}\n".encode() + (package / name).read_bytes())
    return digest.hexdigest()
