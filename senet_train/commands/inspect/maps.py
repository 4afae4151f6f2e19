"""Maps over images: the factor of attention for each pixel, and Grad-CAM.

Grad-CAM is captum's: Selvaraju et al., https://arxiv.org/abs/1610.02391.

Shapes: B batch, C channels, H height, W width.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train.commands.inspect.knockout import recorded_outputs, residual_blocks
from senet_train.data.images import Images
from senet_train.networks.insertion import Slot
from senet_train.networks.watch import channel_gates, pixel_gates, unexplained_energy, watched
from senet_train.runs.trained.load import Trained

SPATIAL = 1e-4  # of the output's energy, beyond what a factor a channel explains in float32


@dataclass(frozen=True)
class Overlay:
    """One image, its label and prediction, and a map (H, W) for each named column.

    Grad-CAM is of the predicted class.
    """

    pixels: NDArray[np.uint8]  # (H, W, 3)
    label: str
    prediction: str
    maps: dict[str, NDArray[np.float32]]


def overlays(
    run: Trained, images: Images, classes: Sequence[int], device: torch.device
) -> list[Overlay]:
    """The first image of each class, with the maps that this network has."""
    chosen = torch.cat([(images.labels == index).nonzero()[:1, 0] for index in classes])
    if not len(chosen):
        return []
    [pixels] = images.read([chosen])  # (B, H, W, 3)
    batch = run.preprocess.normalise(pixels).to(device)
    maps: dict[str, Tensor] = {}

    def record(name: str, x: Tensor, y: Tensor) -> None:
        rest, every = unexplained_energy(x, y, channel_gates(x, y)[0])
        if x.shape[2:].numel() > 1 and rest > SPATIAL * every:
            maps[name] = pixel_gates(x, y)

    with watched(run.model, last_of_stages(run), record), torch.inference_mode():
        predictions = run.model(batch).argmax(1)
    columns = {name.partition(".attend.")[0]: found for name, found in maps.items()}
    if has_captum():
        columns["Grad-CAM"] = grad_cam(run, batch, predictions)
    large = {name: enlarged(found, pixels.shape[1:3]) for name, found in columns.items()}
    return [
        Overlay(
            pixels[i].numpy(),
            run.class_names[int(images.labels[chosen[i]])],
            run.class_names[int(predictions[i])],
            {name: found[i] for name, found in large.items()},
        )
        for i in range(len(chosen))
    ]


def last_of_stages(run: Trained) -> list[Slot]:
    """The last filled slot of each stage."""
    return list({slot.stage: slot for slot in run.slots}.values())


def has_captum() -> bool:
    """Whether the extra `maps` is installed."""
    return importlib.util.find_spec("captum") is not None


def grad_cam(run: Trained, batch: Tensor, targets: Tensor) -> Tensor:
    """Grad-CAM of a late block for the target classes (B,): (B, H, W), not negative."""
    from captum.attr import LayerGradCam

    block = last_with_pixels(run, batch[:1])
    with torch.enable_grad():
        found: Tensor = LayerGradCam(run.model, block).attribute(
            batch.detach().requires_grad_(), target=targets.clone(), relu_attributions=True
        )
    return found.detach()[:, 0]


def last_with_pixels(run: Trained, image: Tensor) -> nn.Module:
    """The last block whose maps are more than one pixel: small images end in one.

    In a network without blocks of ours, the last such convolution.
    """
    convolutions = [m for m in run.model.modules() if isinstance(m, nn.Conv2d)]
    candidates = residual_blocks(run.model) or convolutions
    with recorded_outputs(candidates) as outputs, torch.inference_mode():
        run.model(image)
    wide = [block for block, y in outputs.items() if y.shape[2:].numel() > 1]
    return (wide or list(outputs))[-1]


def enlarged(found: Tensor, size: torch.Size) -> NDArray[np.float32]:
    """(B, h, w) -> (B, H, W) of `size`, bilinear."""
    scaled = F.interpolate(found[:, None].float().cpu(), tuple(size), mode="bilinear")
    array: NDArray[np.float32] = scaled[:, 0].numpy()
    return array
