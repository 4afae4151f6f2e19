"""Files of weights: plain tensors by name, and nothing else; whatever program wrapped them.

A file is read by `weights_only=True` alone: no code in it runs. Of what torch does not allow by
itself `argparse.Namespace` is let through, in which torchvision's and timm's scripts keep their
arguments. It is safe: its constructor takes no positional arguments, and a pickle can only set
attributes of the new object, which is thrown away. A NumPy number is not: it is made of raw bytes.
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from senet_train.errors import InputError
from senet_train.networks.weights.refused import refusal
from senet_train.system.download import file_sha256

Shapes = Mapping[str, tuple[int, ...]]  # of tensors, by name

# Under which programs keep the tensors of a network, those that come first before the others.
INSIDE = (
    *("state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights"),
    *("params", "state", "module", "state_dict_ema", "model_ema", "ema_state_dict", "ema"),
)
# torch.compile, FSDP and activation checkpointing of a part put these in the middle of names.
INNER_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
OF_OPTIMIZERS = "param_groups"
DEEPEST = 3  # levels of dicts that are searched


def current_name(name: str) -> str:
    """Of a tensor in a file: torchvision's DenseNets were saved when `norm1` was still `norm.1`."""
    for wrapper in INNER_WRAPPERS:
        name = name.replace(wrapper, "")
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)


@lru_cache(maxsize=16)
def sha256_and_shapes(path: Path, mtime_ns: int, size: int) -> tuple[str, Shapes]:
    """Of a file and its tensors; cached, for all arms of a table may name it. Raises InputError."""
    tensors = read_tensors(path)
    return file_sha256(path), {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without what wraps them. Raises InputError."""
    try:
        content = read_safetensors(path) if is_safetensors(path) else read_torch(path)
    except InputError:
        raise
    except Exception as error:  # torch and safetensors raise many kinds
        raise InputError(refusal(path, error)) from error
    tensors = chosen(path, dict(state_dicts(content, "")))
    for name, tensor in tensors.items():
        if tensor.is_quantized or tensor.layout != torch.strided:
            raise InputError(
                f"{path} has {name} as a quantized or sparse tensor: give weights in float32, "
                "float16 or bfloat16"
            )
    return {current_name(name): tensor for name, tensor in tensors.items()}


def state_dicts(
    content: object, path: str, depth: int = 0
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The dicts of named tensors in a file's content, under their keys; none of an optimizer."""
    if not isinstance(content, Mapping) or OF_OPTIMIZERS in content or depth > DEEPEST:
        return
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    within = [
        found
        for key, value in named.items()
        for found in state_dicts(value, f"{path}.{key}" if path else key, depth + 1)
    ]
    # A number beside the networks, such as the best accuracy, may be a tensor too.
    is_state = any("." in key for key in tensors) or (tensors and len(tensors) == len(content))
    if is_state and len(named) == len(content):
        yield path, tensors
    yield from within


def chosen(path: Path, found: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """The one state dict to take. Raises InputError for none, and for several of unknown names."""
    if not found:
        raise InputError(
            f"{path} holds no state_dict of tensors: save network.state_dict() and give that file"
        )
    dotted = {key: state for key, state in found.items() if any("." in name for name in state)}
    ranks = {key: [rank_of(part) for part in key.split(".")] for key in dotted or found}
    first, *others = sorted(ranks, key=ranks.__getitem__)
    if others and ranks[others[0]] == ranks[first]:
        raise InputError(
            f"{path} holds several state dicts ({', '.join(ranks)}): save one of them alone, and "
            "give that file"
        )
    return found[first]


def rank_of(key: str) -> int:
    """Where the key stands among those under which programs keep a network; "" is the file."""
    return INSIDE.index(key) if key in INSIDE else len(INSIDE) + bool(key)


def read_torch(path: Path) -> object:
    """What torch.save wrote; given a path instead of a file, torch would go by its ending."""
    with torch.serialization.safe_globals([argparse.Namespace]), path.open("rb") as file:
        content: object = torch.load(file, map_location="cpu", weights_only=True)
    return content


def is_safetensors(path: Path) -> bool:
    """Whether it begins as such a file does, whatever it is called: a length, and then JSON."""
    with path.open("rb") as file:
        begin = file.read(9)
    return begin[8:] == b"{" and int.from_bytes(begin[:8], "little") < path.stat().st_size


def read_safetensors(path: Path) -> object:
    """Raises InputError where the package is missing."""
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise InputError(
            f"{path} is read by the package safetensors: pip install safetensors"
        ) from None
    return load_file(path)
