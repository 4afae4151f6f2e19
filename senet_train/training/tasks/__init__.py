"""Tasks: what is learnt of an image. `config.task` names one of the table."""

from senet_train.training.tasks.classification import CLASSIFICATION
from senet_train.training.tasks.detection import DETECTION
from senet_train.training.tasks.segmentation import SEGMENTATION

TASKS = {task.name: task for task in (CLASSIFICATION, SEGMENTATION, DETECTION)}
