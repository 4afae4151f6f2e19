"""Lightning's strategy for the processes of a run: how gradients come together."""

from inspect import signature
from typing import Literal

from pytorch_lightning.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from senet_train.training.distributed.world import world

# torch 2.15 has another name for it, and warns of the old one.
NAMES = ("forward_sync_buffers", "broadcast_buffers")
SYNC_BUFFERS = next(name for name in NAMES if name in signature(DistributedDataParallel).parameters)


def strategy() -> Literal["auto"] | DDPStrategy:
    """`auto` for one process, and DistributedDataParallel for several.

    It broadcasts no buffers before a forward pass: every process computes the same running
    statistics, and in an evaluation not all processes have the same number of batches.
    """
    if world().size == 1:
        return "auto"
    no_broadcast: dict[str, bool] = {SYNC_BUFFERS: False}
    return DDPStrategy(**no_broadcast)  # type: ignore[arg-type]
