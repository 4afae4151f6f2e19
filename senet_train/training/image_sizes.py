"""The sizes of images that a network can take, and what one of the test costs."""

from senet_train.backbones.slots import Backbone
from senet_train.config.image_size import typed_size
from senet_train.config.schema import Data
from senet_train.errors import InputError
from senet_train.networks.cost import NetworkCost, measure_cost
from senet_train.networks.insertion import Slot


def cost_at(network: Backbone, slots: list[Slot], data: Data) -> NetworkCost:
    """The cost of one test image. Raises InputError for a size that the network cannot take."""
    try:
        cost = measure_cost(network, slots, data.image_size)
    except RuntimeError as error:
        raise InputError(
            f"data.image_size={typed_size(data.image_size)} is too small for this network "
            f"({error}): choose a larger one"
        ) from error
    if data.test_size == "auto":
        return cost
    try:
        return measure_cost(network, slots, data.test_size)
    except RuntimeError as error:
        raise InputError(
            f"data.test_size={typed_size(data.test_size)} is not for this network ({error}): "
            f"choose one nearer to data.image_size={typed_size(data.image_size)}, or auto"
        ) from error
