"""Pretrained weights: found, known by their content, checked against the bare network, loaded.

Where a file lies says nothing about a run; what is in it does. A file's fingerprint is its sha256,
that of a library's own weights their name and the hash in their address (`arm_weights`: an arm's).
"""

import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor, nn

from senet_train.data.download import file_sha256, refuse_insecure
from senet_train.errors import InputError

log = logging.getLogger("senet_train")

Shapes = Mapping[str, tuple[int, ...]]
FINGERPRINT = re.compile("(sha256|arm):[0-9a-f]{64}")
INSIDE = ("state_dict", "model")  # under which other programs' checkpoints keep the tensors
PREFIXES = ("network.", "module.")  # of our checkpoints, and of a network trained by DDP
ATTEND = ".attend."  # in the names of what our slots hold
LONGEST_REASON = 200  # characters of another's error, in a line of ours


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

    `shapes` is None while reading them would fetch something; `read` is None for those that come
    later, from a run's checkpoint. `sha256` is the file's where the fingerprint does not say it.
    """

    source: str
    fingerprint: str
    shapes: Shapes | None = None
    read: Callable[[], dict[str, Tensor]] | None = None
    sha256: str = ""

    def of_seeds(self, seeds: Sequence[int]) -> "Weights":
        """What runs with these seeds start from: the same weights, all of them."""
        return self

    def prepare(self) -> None:
        """Fetch them if they are not here. Raises InputError."""
        if self.shapes is None and self.read:
            self.read()


def find_weights(pretrained: str | bool, published: Published) -> Weights:
    """What `model.pretrained` names: `true`, a file, or the fingerprint of either.

    Nothing is fetched. Raises InputError for what is no file of weights.
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
    found = in_file(asked, path)
    same = found.fingerprint.startswith(f"sha256:{published.sha256_start}")
    return replace(found, fingerprint=published.fingerprint) if same else found


def in_file(source: str, path: Path) -> Weights:
    """The weights in a file that is there. Raises InputError."""
    stat = path.stat()
    sha256, shapes = looked_at(path, stat.st_mtime_ns, stat.st_size)
    return Weights(source, f"sha256:{sha256}", shapes, partial(read_unchanged, path, sha256))


def weights_to_come(pretrained: str | bool, published: Published) -> Weights:
    """The same for a network that gets them from a run's checkpoint: nothing is looked for."""
    fingerprint = published.fingerprint if pretrained is True else str(pretrained)
    return Weights("a checkpoint", fingerprint)


def refuse_unknown(fingerprint: str) -> dict[str, Tensor]:
    """Raises InputError: a fingerprint finds a run that has begun, and begins none."""
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
    return {as_named_now(name): tensor for name, tensor in tensors.items()}


def as_named_now(name: str) -> str:
    """torchvision's DenseNets were saved when `norm1` was still `norm.1`."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)


@lru_cache(maxsize=16)
def looked_at(path: Path, mtime_ns: int, size: int) -> tuple[str, Shapes]:
    """A file's sha256 and its tensors' shapes; a table of arms looks once. Raises InputError."""
    tensors = read_tensors(path)
    return file_sha256(path), {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def read_unchanged(path: Path, sha256: str) -> dict[str, Tensor]:
    """Its tensors. Raises InputError if the file is no longer what the run was planned with."""
    if not path.is_file() or file_sha256(path) != sha256:
        raise InputError(f"{path} has changed since the run was planned: type the line again")
    return read_tensors(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without what wraps them. Raises InputError."""
    try:
        content = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    except InputError:
        raise
    except Exception as error:  # torch and safetensors have many words for it
        raise InputError(
            f"{path} is no file of plain tensors ({reason(error)}): give a .pth, .pt, .ckpt or "
            ".safetensors"
        ) from error
    for key in INSIDE:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = content if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(f"{path} holds no state_dict of tensors: give weights of a network")
    named = {as_named_now(str(name)): tensor for name, tensor in tensors.items()}
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in named):
            named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return named


def read_torch(path: Path) -> object:
    """What torch.save wrote."""
    content: object = torch.load(path, map_location="cpu", weights_only=True)
    return content


def read_safetensors(path: Path) -> object:
    """Raises InputError where the package is missing."""
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise InputError(
            f"{path} is read by the package safetensors: pip install safetensors"
        ) from None
    return load_file(path)


def reason(error: Exception) -> str:
    """The first line of an error, which may have many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:LONGEST_REASON]


@dataclass(frozen=True)
class Match:
    """Names of the network's tensors: those that are loaded, those that stay as they were drawn."""

    loaded: list[str]
    new: list[str]
    left_out: list[str]  # of the file's

    def report(self, source: str) -> str:
        """`102 of 104 tensors loaded from FILE; new: fc.weight, fc.bias`."""
        words = [f"{len(self.loaded)} of {len(self.loaded) + len(self.new)} tensors loaded"]
        words[0] += f" from {source}"
        words += [f"new: {', '.join(self.new)}"] if self.new else []
        heads = sorted({name.partition(".")[0] for name in self.left_out})
        words += [f"left out: {', '.join(heads)}"] if heads else []
        return "; ".join(words)


def match(network: nn.Module, given: Shapes, source: str, spare: tuple[str, ...]) -> Match:
    """What of the weights goes where; `spare` begins the names of what they may have besides.

    Only the last layer may have another number of classes; BatchNorm's count of batches, which
    old files lack, may be missing. Raises InputError for any other difference.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    head = f"{last_layer(network)}."
    names = dict.fromkeys((*wanted, *given))
    loaded = [name for name in names if wanted.get(name) == given.get(name)]
    new = [name for name in wanted if name.startswith(head) and name not in loaded]
    left_out = [name for name in given if name.startswith(spare) and name not in wanted]
    counts = [name for name in wanted if name.endswith(".num_batches_tracked")]
    for name in names:
        here, there = wanted.get(name), given.get(name)
        other_classes = name in new and here and there and here[1:] == there[1:]
        uncounted = name in counts and there is None
        if name not in (*loaded, *left_out) and not other_classes and not uncounted:
            what = f"{type(network).__name__}: {name[:LONGEST_REASON]!r}"
            raise misfit(what, here, there, source)
    return Match(loaded, new, left_out)


def misfit(what: str, here: object, there: object, source: str) -> InputError:
    """The error for a tensor that the network has in another shape, or not at all."""
    if here is None and ATTEND in what:
        return InputError(
            f"model.pretrained={source} does not fit {what} is of attention, which would not come "
            "along: give weights of a network without, trained with attention=none"
        )
    return InputError(
        f"model.pretrained={source} does not fit {what} is {there or 'missing'} there and "
        f"{here or 'missing'} in the network: choose the model that the weights are of"
    )


def load(network: nn.Module, weights: Weights, spare: tuple[str, ...]) -> None:
    """Put the weights into a network that has no slots yet, and say what was loaded.

    On the meta device they are compared as far as they are known, and not read. Raises InputError.
    """
    if weights.read is None:
        return
    if next(network.parameters()).is_meta:
        if weights.shapes is not None:
            match(network, weights.shapes, weights.source, spare)
        return
    given = weights.read()
    shapes = {name: tuple(tensor.shape) for name, tensor in given.items()}
    found = match(network, shapes, weights.source, spare)
    state = network.state_dict()
    with torch.no_grad():
        for name in found.loaded:
            state[name].copy_(given[name])
    checked = f"; sha256 {weights.sha256}" if weights.sha256 else ""
    log.info(found.report(weights.source) + checked)


def last_layer(network: nn.Module) -> str:
    """The path of the layer that makes the logits: the last one that has parameters."""
    *_, (name, _) = network.named_parameters()
    return name.rpartition(".")[0]
