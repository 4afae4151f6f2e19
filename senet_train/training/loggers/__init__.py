"""Where the curves of a run go besides metrics.csv: `logger=NAME`, a file and a line here each."""

from collections.abc import Callable

from senet_train.training.loggers.csv_alone import CsvAlone
from senet_train.training.loggers.mlflow_tracker import MLflow
from senet_train.training.loggers.sink import Logger
from senet_train.training.loggers.tensorboard_file import TensorBoard
from senet_train.training.loggers.weights_and_biases import WeightsAndBiases

# Further names come from the entry points `senet_train.logger`.
LOGGERS: dict[str, Callable[..., Logger]] = {
    "tensorboard": TensorBoard,
    "csv": CsvAlone,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}
PLUGINS = "senet_train.logger"
