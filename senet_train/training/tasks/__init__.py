"""Tasks: what a network learns to predict from an image. `config.task` is a key of `TASKS`."""

from senet_train.training.tasks.classification import CLASSIFICATION
from senet_train.training.tasks.detection import DETECTION
from senet_train.training.tasks.segmentation import SEGMENTATION

TASKS = {task.name: task for task in (CLASSIFICATION, SEGMENTATION, DETECTION)}
