"""A trained network on the GPU or CPU of this machine, in float32, batch by batch.

Shapes: B batch, H height, W width, K classes.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from senet_train.config.image_size import height_width
from senet_train.errors import OutOfMemory
from senet_train.networks.hardware import choose_accelerator, device_of
from senet_train.networks.mirror import logits_of_test
from senet_train.runs.trained.load import Trained
from senet_train.system.arithmetic import exact_float32
from senet_train.system.memory import explain_out_of_memory
from senet_train.system.resources import available_memory_bytes

log = logging.getLogger("senet_train")


# A forward pass is as fast with 32 images as with more on a CPU (867 images/s with 16, 889 with
# 32, 797 with 256: SE-ResNet-20, 32 x 32, one core of an AMD EPYC); a GPU wants to be filled.
MOST_IMAGES = {"cpu": 32, "cuda": 256}
LIVE_MAPS = 8  # the largest feature map, its copies in a block and the allocator's slack
SHARE = 4  # a batch takes a quarter of the free memory


@dataclass(frozen=True)
class Forward:
    """The network of a run on `device`, for batches of `batch_size` images."""

    run: Trained
    device: torch.device
    batch_size: int

    @classmethod
    def of(cls, run: Trained, batch_size: int | None = None) -> "Forward":
        """On the GPU if there is one. Without a batch size, one that fits into the memory."""
        device = device_of(choose_accelerator("auto"))
        mixes = any(getattr(module, "mixes_images", False) for module in run.model.modules())
        if mixes:
            log.warning(
                "warning: %s uses other images of the batch: the prediction for an image depends "
                "on the images beside it",
                run.label,
            )
        if batch_size is None:
            batch_size = run.config.data.batch_size if mixes else largest_batch(run, device)
        run.model.to(device)
        return cls(run, device, batch_size)

    def __call__(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> logits (B, K) float32 on the CPU. Raises OutOfMemory.

        Of a run that was tested with flips, the mean over each image and its mirror.
        """
        with (
            torch.inference_mode(),
            exact_float32(),
            explain_batch_too_large(self.run, len(pixels)),
        ):
            images = self.run.preprocess.normalise(pixels).to(self.device)
            flips = self.run.config.data.test_flips
            return logits_of_test(self.run.model, images, flips).cpu()


def largest_batch(run: Trained, device: torch.device) -> int:
    """The number of images that fit into the free memory, from 1 to MOST_IMAGES."""
    room = free_bytes(device) // SHARE
    return max(1, min(MOST_IMAGES[device.type], room // (LIVE_MAPS * largest_map_bytes(run))))


def free_bytes(device: torch.device) -> int:
    """Free memory of the GPU, or what this process may have of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_memory_bytes()


def largest_map_bytes(run: Trained) -> int:
    """The size of the largest output of a layer for one image."""
    sizes: list[int] = []

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() * output.element_size())

    hooks = [module.register_forward_hook(note) for module in run.model.modules()]
    shape = height_width(run.preprocess.image_size)
    try:
        with torch.inference_mode(), exact_float32(), explain_batch_too_large(run, 1):
            run.model(torch.zeros(1, 3, *shape))
    finally:
        for hook in hooks:
            hook.remove()
    return max(sizes)


@contextmanager
def explain_batch_too_large(run: Trained, num_images: int) -> Iterator[None]:
    """Raise OutOfMemory, with what to change, if there is no memory for a batch."""
    try:
        with explain_out_of_memory(num_images):
            yield
    except OutOfMemory as error:
        height, width = height_width(run.preprocess.image_size)
        raise OutOfMemory(
            f"there is no memory for {num_images} images of {height} x {width} pixels at once: "
            + ("choose a smaller --batch-size" if num_images > 1 else "use a larger machine")
        ) from error
