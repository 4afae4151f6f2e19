"""task=detection: the boxes of the objects in an image, and their classes.

Shapes: B batch, N boxes, H height, W width.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from senet_train.config.image_size import height_width
from senet_train.config.schema import Config
from senet_train.data.loaders import Batch
from senet_train.data.scenes import SceneImages, Target
from senet_train.errors import InputError
from senet_train.networks.bind import bind_with_head
from senet_train.networks.heads.detectors import detector_on, torchvision_detector
from senet_train.runs.metrics import DetectionMetrics
from senet_train.runs.predictions import write_box_predictions
from senet_train.training.callbacks.journal import Journal
from senet_train.training.learner import Learner
from senet_train.training.progress import MetricSums, batch_sums
from senet_train.training.tasks.task import SCENE_PACKAGES, SCENE_SOURCES, Task, refuse_settings

DIVISOR = 32  # of the sides of images that torchvision's detectors take as they are
MOST_BOXES = 100  # of an image, as COCO counts them


class DetectionLearner(Learner):
    """Its network is a Detector."""

    kind = DetectionMetrics
    final_metrics = ("val_map", "test_map", "test_map50")

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.precision_of = {part: average_precision() for part in ("val", "test")}
        super().__init__(*arguments, **settings)
        self.test_found: dict[int, Target] = {}  # by the index of the image

    def new_sums(self, part: str) -> MetricSums:
        """Of evaluation only the number of images: torchmetrics has the boxes."""
        to_metrics = mean_loss if part == "train" else partial(box_means, self.precision_of[part])
        return MetricSums(torch.zeros(2, dtype=torch.float64), to_metrics)

    def training_loss(self, batch: Batch) -> Tensor:
        images, targets, _ = batch
        loss: Tensor = self.network.loss(images, targets)
        self.progress.train.update(batch_sums(loss.detach() * len(images), len(images)))
        return loss

    def evaluate(self, batch: Batch, part: str) -> None:
        images, targets, indices = batch
        found = [on_cpu(boxes) for boxes in self.network(images)]
        self.precision_of[part].update(found, [on_cpu(target) for target in targets])
        self.sums[part].update(batch_sums(images.new_zeros(()), len(images)))
        if part == "test":
            self.test_found.update(zip(indices.tolist(), found, strict=True))

    def epoch_rank(self, means: dict[str, float], num_images: int) -> tuple[float, float]:
        return means["val_map"], means["val_map50"]


def average_precision() -> Any:
    """torchmetrics' mean over classes and overlaps from 0.5 to 0.95, computed by pycocotools.

    Raises InputError if pycocotools is not installed.
    """
    from torchmetrics.detection import MeanAveragePrecision

    try:
        metric = MeanAveragePrecision(max_detection_thresholds=[1, 10, MOST_BOXES])
    except ModuleNotFoundError:
        raise InputError(
            "task=detection counts boxes by the package pycocotools: "
            "pip install 'senet-train[detection]'"
        ) from None
    metric.warn_on_many_detections = False  # SSD finds up to 300, of which the surest count
    return metric


def mean_loss(sums: Tensor) -> dict[str, float]:
    """The mean over images."""
    return {"loss": float(sums[0] / sums[1])}


def box_means(precision: Any, sums: Tensor) -> dict[str, float]:
    """Average precision over the images since the last call; torchmetrics starts again."""
    found = precision.compute()
    precision.reset()
    return {
        "map": float(found["map"]),
        "map50": float(found["map_50"]),
        "map75": float(found["map_75"]),
    }


def on_cpu(tensors: Target) -> Target:
    """The tensors on the CPU, detached."""
    return {name: tensor.detach().cpu() for name, tensor in tensors.items()}


def refuse(config: Config) -> None:
    """Raises InputError for settings that detection cannot follow."""
    refuse_settings(config, {"optim.label_smoothing": 0.0, "trainer.precision": 32})
    if any(side % DIVISOR for side in height_width(config.data.image_size)):
        raise InputError(
            f"data.image_size={config.data.image_size}: a detector would pad it with zeros to a "
            f"multiple of {DIVISOR}, and attention see them: choose a multiple of {DIVISOR}"
        )
    average_precision()


def predictions_in_order(learner: DetectionLearner, test: SceneImages) -> list[Any]:
    """The predicted boxes of every image."""
    return [learner.test_found[number] for number in range(len(test.ids))]


def write_predictions(learner: DetectionLearner, folder: Path, test: SceneImages) -> None:
    """Write every predicted box."""
    found = predictions_in_order(learner, test)
    counts = torch.tensor([len(boxes["labels"]) for boxes in found])
    write_box_predictions(
        folder,
        image=torch.arange(len(found)).repeat_interleave(counts),
        boxes=torch.cat([boxes["boxes"] for boxes in found]),
        labels=torch.cat([boxes["labels"] for boxes in found]),
        scores=torch.cat([boxes["scores"] for boxes in found]),
        image_ids=test.ids,
    )


def draw(
    learner: DetectionLearner,
    journal: Journal,
    test: SceneImages,
    class_names: Sequence[str],
    epoch: int,
) -> None:
    """Draw some images with their boxes, the true and the predicted ones."""
    from senet_train.training.pictures.scenes import draw_detection

    found = predictions_in_order(learner, test)
    figure = partial(draw_detection, test.pixels.numpy(), test.truth, found, class_names)
    journal.save_figure("predictions", figure, epoch)


DETECTION = Task(
    name="detection",
    bind_network=partial(bind_with_head, detector_on, {"torchvision": torchvision_detector}),
    sources=SCENE_SOURCES,
    learner=DetectionLearner,
    refuse=refuse,
    write_predictions=write_predictions,
    draw=draw,
    packages=(*SCENE_PACKAGES, "torchmetrics", "pycocotools"),
    compiles=False,  # an image has any number of boxes
)
