"""Files of weights: plain tensors by name, and nothing else."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from senet_train.errors import InputError
from senet_train.system.download import file_sha256

Shapes = Mapping[str, tuple[int, ...]]  # of tensors, by name

INSIDE = ("state_dict", "model")  # under which other programs' checkpoints keep the tensors
PREFIXES = ("network.", "module.")  # of our checkpoints, and of a network trained by DDP
LONGEST_REASON = 200  # characters of another's error, in a line of ours


def current_name(name: str) -> str:
    """Of a tensor in a file: torchvision's DenseNets were saved when `norm1` was still `norm.1`."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)


@lru_cache(maxsize=16)
def sha256_and_shapes(path: Path, mtime_ns: int, size: int) -> tuple[str, Shapes]:
    """Of a file and its tensors; cached, for all arms of a table may name it. Raises InputError."""
    tensors = read_tensors(path)
    return file_sha256(path), {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without what wraps them. Raises InputError."""
    try:
        content = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    except InputError:
        raise
    except Exception as error:  # torch and safetensors raise many kinds
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
    named = {current_name(str(name)): tensor for name, tensor in tensors.items()}
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
