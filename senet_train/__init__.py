"""senet-train: an ablation bench for channel attention.

from senet_train import Placement, SqueezeExcite, insert, load_run
run = load_run("outputs/digits/se_resnet18-r16-36a65738/seed0")
run.model(run.preprocess("seven.png"))  # (1, num_classes)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from senet_train.attention.squeeze_excite import SqueezeExcite as SqueezeExcite
    from senet_train.config.schema import Placement as Placement
    from senet_train.networks.graph.part import take_out_own_attention as take_out_own_attention
    from senet_train.networks.graph.weave import weave as weave
    from senet_train.networks.insertion import insert as insert
    from senet_train.networks.insertion import insert_into as insert_into
    from senet_train.networks.weights.published import load_published as load_published
    from senet_train.networks.weights.published import timm_state as timm_state
    from senet_train.runs.trained.load import load_run as load_run
    from senet_train.runs.trained.load_safetensors import load_safetensors as load_safetensors

__all__ = [
    "Placement",
    "SqueezeExcite",
    "insert",
    "insert_into",
    "load_published",
    "load_run",
    "load_safetensors",
    "take_out_own_attention",
    "timm_state",
    "weave",
]

# Imported when asked for: help and completion must not wait for torch.
MODULES = {
    "Placement": "senet_train.config.schema",
    "SqueezeExcite": "senet_train.attention",
    "insert": "senet_train.networks.insertion",
    "insert_into": "senet_train.networks.insertion",
    "load_published": "senet_train.networks.weights.published",
    "load_run": "senet_train.runs.trained.load",
    "load_safetensors": "senet_train.runs.trained.load_safetensors",
    "take_out_own_attention": "senet_train.networks.graph.part",
    "timm_state": "senet_train.networks.weights.published",
    "weave": "senet_train.networks.graph.weave",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":  # pyproject.toml has it, and so has what is installed
        return import_module("importlib.metadata").version("senet-train")
    if name not in MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(MODULES[name]), name)
