"""What a network costs: parameters and multiply-adds, attention's share apart.

Multiply-adds are those of convolutions and matrix products, as the literature counts them; inside
attention modules also one for each element pooled, scaled, added or squared, because there they
are most of the work. SE on C channels of H x W: 2 C R + 2 C H W (R hidden channels).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from senet_train.config.image_size import ImageSize, height_width
from senet_train.networks.graph.trace import is_plain_norm, pass_on
from senet_train.networks.insertion import Slot


@dataclass(frozen=True)
class NetworkCost:
    """Counts for one image."""

    parameters: int
    attention_parameters: int
    multiply_adds: int
    attention_multiply_adds: int


def measure_cost(network: nn.Module, slots: Iterable[Slot], image_size: ImageSize) -> NetworkCost:
    """Count on the meta device: `network` must be there. Nothing is computed."""
    names = [slot.name for slot in slots]
    attention = sum(count_parameters(network.get_submodule(name)) for name in names)
    per_module = count_operations(network, image_size)
    inside = {name: per_module.get(f"{type(network).__name__}.{name}", {}) for name in names}
    attention_operations = sum(sum(ops.values()) for ops in inside.values())
    attention_products = sum(products(ops) for ops in inside.values())
    return NetworkCost(
        count_parameters(network),
        attention,
        products(per_module["Global"]) - attention_products + attention_operations,
        attention_operations,
    )


@contextmanager
def skip_batch_norms(network: nn.Module) -> Iterator[None]:
    """For the block, each BatchNorm2d passes its maps on.

    Nothing of it is counted, and on the meta device it takes up to two thirds of the time.
    """
    skipped = [module for module in network.modules() if is_plain_norm(module)]
    for module in skipped:
        module.forward = pass_on  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        for module in skipped:
            del module.forward


def count_parameters(module: nn.Module) -> int:
    """Elements of all parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_operations(network: nn.Module, image_size: ImageSize) -> dict[str, dict[Any, int]]:
    """Module path -> operator -> multiply-adds for one image; the whole under "Global"."""
    image = torch.empty(1, 3, *height_width(image_size), device="meta")
    training = network.training
    counter = FlopCounterMode(display=False, custom_mapping=ELEMENTWISE)
    with counter, torch.no_grad(), skip_batch_norms(network):
        network.eval()(image)
    network.train(training)
    return {
        module: {operator: flops // 2 for operator, flops in operators.items()}
        for module, operators in counter.get_flop_counts().items()
    }


def products(operators: dict[Any, int]) -> int:
    """The multiply-adds of convolutions and matrix products alone."""
    return sum(count for operator, count in operators.items() if operator not in ELEMENTWISE)


def input_elements(shape: Any, *args: Any, **kwargs: Any) -> int:
    """A reduction reads every element once; two, because the counter counts half operations."""
    return 2 * prod(shape)


def output_elements(*args: Any, out_shape: Any, **kwargs: Any) -> int:
    """A product writes every element once."""
    return 2 * prod(out_shape)


aten = torch.ops.aten
POOLS = (aten.mean, aten.amax, aten.sum, aten.var_mean, aten.avg_pool2d)
SCALES = (aten.mul, aten.div, aten.add, aten.sub, aten.pow, aten.maximum)
ELEMENTWISE = {
    **dict.fromkeys(POOLS, input_elements),
    **dict.fromkeys(SCALES, output_elements),
}
