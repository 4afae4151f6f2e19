"""Tasks: what is learnt of an image. `config.task` names one of the table."""

from senet_train.tasks.classification import CLASSIFICATION
from senet_train.tasks.detection import DETECTION
from senet_train.tasks.segmentation import SEGMENTATION

TASKS = {task.name: task for task in (CLASSIFICATION, SEGMENTATION, DETECTION)}
