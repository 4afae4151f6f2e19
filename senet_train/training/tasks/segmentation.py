"""task=segmentation: the class of every pixel of an image.

Shapes: B batch, N images, H height, W width, K classes, the background included.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from senet_train.config.schema import Config
from senet_train.data.loaders import Batch
from senet_train.data.scenes import SceneImages, Target
from senet_train.networks.bind import bind_with_head
from senet_train.networks.heads.segmenters import segmenter_on, torchvision_segmenter
from senet_train.runs.metrics import SegmentationMetrics
from senet_train.runs.predictions import write_overlaps, write_pixel_predictions
from senet_train.training.callbacks.journal import Journal
from senet_train.training.learner import Learner
from senet_train.training.progress import BatchSums, MetricSums, batch_sums
from senet_train.training.tasks.task import SCENE_PACKAGES, SCENE_SOURCES, Task, refuse_settings


class SegmentationLearner(Learner):
    """Its network maps images (B, 3, H, W) to logits (B, K, H, W)."""

    kind = SegmentationMetrics
    final_metrics = ("val_miou", "test_miou", "test_loss")

    def new_sums(self, part: str) -> MetricSums:
        num_classes = int(self.network.num_classes)
        sums = torch.zeros(num_classes**2 + 2, dtype=torch.float64)
        return MetricSums(sums, partial(pixel_means, num_classes))

    def training_loss(self, batch: Batch) -> Tensor:
        images, targets, _ = batch
        logits, classes = self.in_training(images).float(), stacked(targets)
        loss = mean_loss(logits, classes, self.optim.label_smoothing)
        self.progress.train.update(pixel_counts(loss.detach(), logits.detach(), classes))
        return loss

    def evaluate(self, batch: Batch, part: str) -> None:
        """The loss is without label smoothing."""
        images, targets, indices = batch
        logits, classes = self.network(images).float(), stacked(targets)
        loss = mean_loss(logits, classes)
        self.sums[part].update(pixel_counts(loss, logits, classes))
        if part == "test":
            self.test_batches.append((indices, logits.argmax(1).short().cpu()))

    def epoch_rank(self, means: dict[str, float], num_images: int) -> tuple[float, float]:
        return means["val_miou"], -means["val_loss"]


def mean_loss(logits: Tensor, classes: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The cross-entropy of logits (B, K, H, W) and classes (B, H, W), ().

    Pixel by pixel: over maps a GPU has no deterministic one.
    """
    pixels = logits.movedim(1, -1).flatten(0, 2)  # (B, K, H, W) -> (B * H * W, K)
    return F.cross_entropy(pixels, classes.flatten(), label_smoothing=label_smoothing)


def stacked(targets: Sequence[Target]) -> Tensor:
    """The class of every pixel, (B, H, W)."""
    return torch.stack([target["classes"] for target in targets])


def pixel_counts(loss: Tensor, logits: Tensor, classes: Tensor) -> BatchSums:
    """The sums of a batch from its mean loss (), logits (B, K, H, W) and classes (B, H, W).

    They are the loss, the confusion matrix and the number of images.
    """
    num_images, num_classes = logits.shape[:2]
    table = confusion(logits.argmax(1), classes, num_classes)
    return batch_sums(loss * num_images, num_images, table)


def confusion(predicted: Tensor, true: Tensor, num_classes: int) -> Tensor:
    """The number of pixels by true and by predicted class, of classes of any shape -> (K * K,).

    Integers are added in any order to the same sum. `bincount` would make the host wait for a GPU.
    """
    pairs = (num_classes * true + predicted).flatten()
    return pairs.new_zeros(num_classes**2).scatter_add_(0, pairs, torch.ones_like(pairs))


def pixel_means(num_classes: int, sums: Tensor) -> dict[str, float]:
    """The loss, the mean over classes of intersection over union, and the share of correct pixels.

    A class without a true and without a predicted pixel has no part in the mean.
    """
    table = sums[1:-1].view(num_classes, num_classes)  # true classes in rows
    hits = table.diagonal()
    unions = table.sum(0) + table.sum(1) - hits
    present = unions > 0
    return {
        "loss": float(sums[0] / sums[-1]),
        "miou": float((hits[present] / unions[present]).mean()),
        "pixels": float(hits.sum() / table.sum()),
    }


def refuse(config: Config) -> None:
    """Raises InputError for settings that segmentation cannot follow."""
    refuse_settings(config, {})


def write_predictions(learner: SegmentationLearner, folder: Path, test: SceneImages) -> None:
    """Write the class of every pixel, and the overlaps with the truth."""
    predicted, truth = learner.test_predictions(), stacked(test.truth)
    write_pixel_predictions(folder, predicted, test.ids)
    write_overlaps(folder, *overlaps(predicted, truth, int(learner.network.num_classes)))


def draw(
    learner: SegmentationLearner,
    journal: Journal,
    test: SceneImages,
    class_names: Sequence[str],
    epoch: int,
) -> None:
    """Draw some images with the truth and what was predicted."""
    from senet_train.training.pictures.scenes import draw_segmentation

    predicted, truth = learner.test_predictions(), stacked(test.truth)
    arrays = test.pixels.numpy(), truth.numpy(), predicted.numpy()
    journal.save_figure("predictions", partial(draw_segmentation, *arrays, class_names), epoch)


def overlaps(predicted: Tensor, truth: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Pixels in both and in either, for each image and class: (N, H, W) twice -> (N, K) twice."""
    classes = torch.arange(num_classes)[:, None, None, None]
    a, b = predicted == classes, truth == classes  # (K, N, H, W)
    return (a & b).sum((2, 3)).T.int(), (a | b).sum((2, 3)).T.int()


SEGMENTATION = Task(
    name="segmentation",
    bind_network=partial(bind_with_head, segmenter_on, {"torchvision": torchvision_segmenter}),
    sources=SCENE_SOURCES,
    learner=SegmentationLearner,
    refuse=refuse,
    write_predictions=write_predictions,
    draw=draw,
    packages=SCENE_PACKAGES,
)
