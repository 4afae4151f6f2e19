"""Find pretrained weights, and identify them by their content.

A run's identity has what a file holds and not where it lies. The fingerprint of a file is its
sha256, that of a library's own weights their name and the hash in their URL (arm.py has an arm's).
"""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from senet_train.errors import InputError
from senet_train.networks.weights.read import (
    Shapes,
    current_name,
    read_tensors,
    sha256_and_shapes,
)
from senet_train.networks.weights.refused import reason
from senet_train.system.download import file_sha256, refuse_insecure

FINGERPRINT = re.compile("(sha256|arm):[0-9a-f]{64}")


@dataclass(frozen=True)
class Published:
    """What a library calls its weights of a network, and where they are."""

    name: str
    url: str

    @property
    def sha256_start(self) -> str:
        """The first digits of the file's sha256, which stand in its name."""
        found = re.search(r"-([0-9a-f]{8,})\.", self.url)
        assert found, f"{self.url} has no hash"
        return found[1]

    @property
    def fingerprint(self) -> str:
        """`IMAGENET1K_V1-f37072fd`."""
        return f"{self.name}-{self.sha256_start}"


@dataclass(frozen=True)
class Weights:
    """Weights that a network is to start from.

    `shapes` is None where reading them would download something; `read` is None where the weights
    come from a run's checkpoint later. `sha256` is the file's where the fingerprint is another.
    """

    source: str
    fingerprint: str
    shapes: Shapes | None = None
    read: Callable[[], dict[str, Tensor]] | None = None
    sha256: str = ""

    def of_seeds(self, seeds: Sequence[int]) -> "Weights":
        """What runs with these seeds start from: the same weights for every seed."""
        return self

    def prepare(self) -> None:
        """Download them if they are not here. Raises InputError."""
        if self.shapes is None and self.read:
            self.read()


def find_weights(pretrained: str | bool, published: Published) -> Weights:
    """What `model.pretrained` names: `true`, a file, or the fingerprint of either.

    Nothing is downloaded. Raises InputError for what is no file of weights.
    """
    if pretrained is True or pretrained == published.fingerprint:
        return Weights(published.url, published.fingerprint, None, partial(fetch, published))
    asked = str(pretrained)
    if FINGERPRINT.fullmatch(asked):
        return Weights(asked, asked, None, partial(refuse_unknown, asked))
    path = Path(asked).expanduser().absolute()
    if not path.is_file():
        raise InputError(
            f"model.pretrained={asked}: there is no such file, give one of weights, true for the "
            "library's own, or false for none"
        )
    found = weights_in_file(asked, path)
    same = found.fingerprint.startswith(f"sha256:{published.sha256_start}")
    return replace(found, fingerprint=published.fingerprint) if same else found


def weights_in_file(source: str, path: Path) -> Weights:
    """The weights in a file that is there. Raises InputError."""
    stat = path.stat()
    sha256, shapes = sha256_and_shapes(path, stat.st_mtime_ns, stat.st_size)
    return Weights(source, f"sha256:{sha256}", shapes, partial(read_unchanged, path, sha256))


def unread_weights(pretrained: str | bool, published: Published) -> Weights:
    """Those of a network that gets them from a run's checkpoint: no file is looked for."""
    fingerprint = published.fingerprint if pretrained is True else str(pretrained)
    return Weights("a checkpoint", fingerprint)


def refuse_unknown(fingerprint: str) -> dict[str, Tensor]:
    """Raises InputError: a fingerprint identifies a run that has begun, and cannot begin one."""
    raise InputError(
        f"model.pretrained={fingerprint} says what the weights are and not where: "
        "to begin a run, give their file or their arm's folder"
    )


def fetch(published: Published) -> dict[str, Tensor]:
    """A library's own weights, from torch's cache or else over https. Raises InputError."""
    url = published.url
    # Torch compares the hash of what it fetches, and not of what it finds.
    kept = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if kept.is_file() and not file_sha256(kept).startswith(published.sha256_start):
        raise InputError(f"{kept} is not what its name says: remove it")
    try:
        refuse_insecure(url)
        tensors = torch.hub.load_state_dict_from_url(
            url,
            map_location="cpu",
            progress=sys.stderr.isatty(),
            check_hash=True,
            weights_only=True,
        )
    except (OSError, HTTPException, RuntimeError, ValueError) as error:
        raise InputError(
            f"{url} could not be fetched ({reason(error)}): try again, or load it elsewhere and "
            "give model.pretrained=FILE"
        ) from error
    return {current_name(name): tensor for name, tensor in tensors.items()}


def read_unchanged(path: Path, sha256: str) -> dict[str, Tensor]:
    """Its tensors. Raises InputError if the file is no longer what the run was planned with."""
    if not path.is_file() or file_sha256(path) != sha256:
        raise InputError(f"{path} has changed since the run was planned: type the line again")
    return read_tensors(path)
