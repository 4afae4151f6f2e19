"""The HPARAMS tab over runs of several tasks: the columns of all of them.

TensorBoard 2.21 takes the columns that one run tells, of any task, for those of every run: beside
classifiers a segmenter's row had no mIoU.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tensorboard import default
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin


def plugins() -> list[Any]:
    """TensorBoard's own plugins, HPARAMS with the columns of every run."""
    return [EveryRunsColumns if p is HParamsPlugin else p for p in default.get_plugins()]


class EveryRunsColumns(HParamsPlugin):
    """The plugin of the tab."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._context = ContextOfEveryRun(context)


class ContextOfEveryRun(Context):
    """Finds what the runs tell of their columns."""

    def _find_experiment_tag(
        self, by_run: Mapping[str, Mapping[str, bytes]], include_metrics: bool
    ) -> api_pb2.Experiment | None:
        told = [
            metadata.parse_experiment_plugin_data(tags[metadata.EXPERIMENT_TAG])
            for tags in by_run.values()
            if metadata.EXPERIMENT_TAG in tags
        ]
        return merged(told, include_metrics) if told else None


def merged(told: Iterable[api_pb2.Experiment], include_metrics: bool) -> api_pb2.Experiment:
    """One experiment with each column once, in the order in which runs first tell it."""
    first, *others = told
    every = api_pb2.Experiment()
    every.CopyFrom(first)
    for other in others:
        known = {info.name for info in every.hparam_infos}
        every.hparam_infos.extend(i for i in other.hparam_infos if i.name not in known)
        tags = {(info.name.group, info.name.tag) for info in every.metric_infos}
        every.metric_infos.extend(
            i for i in other.metric_infos if (i.name.group, i.name.tag) not in tags
        )
    if not include_metrics:
        every.ClearField("metric_infos")
    return every
