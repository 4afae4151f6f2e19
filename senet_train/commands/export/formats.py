"""What a run can be exported as. No torch: it is read before the arguments are."""

from dataclasses import dataclass
from importlib.util import find_spec

from senet_train.errors import InputError


@dataclass(frozen=True)
class Format:
    """A file's suffix, and the packages of the extra `export` that it needs."""

    suffix: str
    needs: tuple[str, ...]


# What `--format` may say; `senet_train.export.encoders` has a function for each.
FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime")),
    "torch-export": Format(".pt2", ()),
    "safetensors": Format(".safetensors", ("safetensors",)),
}


def refuse_missing(name: str) -> None:
    """Raises InputError where a package that the format needs is not installed."""
    missing = [package for package in FORMATS[name].needs if find_spec(package) is None]
    if missing:
        raise InputError(
            f"senet-export --format {name} needs {', '.join(missing)}: "
            "pip install 'senet-train[export]'"
        )
