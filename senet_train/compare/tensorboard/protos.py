"""Summaries and events in TensorBoard's protocol buffers, without torch and TensorFlow.

Equal content gives equal bytes.
"""

import io
from collections.abc import Iterable, Mapping, Sequence

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

Cell = str | float


def scalar(tag: str, value: float) -> Summary:
    """One point of a curve."""
    summary: Summary = scalar_pb(tag, value)
    return summary


def experiment(columns: Mapping[str, Sequence[Cell]], metrics: Mapping[str, str]) -> Summary:
    """The columns of the HPARAMS tab: hyperparameters by name, metrics by tag with their names."""
    told = api_pb2.Experiment(
        hparam_infos=[column(name, values) for name, values in columns.items()],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name)
            for tag, name in metrics.items()
        ],
    )
    return hparams_summary(hparams.EXPERIMENT_TAG, HParamsPluginData(experiment=told))


def column(name: str, values: Sequence[Cell]) -> api_pb2.HParamInfo:
    """A column of text, or of numbers."""
    info = api_pb2.HParamInfo(name=name)
    words = [value for value in values if isinstance(value, str)]
    info.type = api_pb2.DATA_TYPE_STRING if words else api_pb2.DATA_TYPE_FLOAT64
    info.domain_discrete.extend(dict.fromkeys(values))
    return info


def row(name: str, cells: Mapping[str, Cell], seconds: float) -> Summary:
    """An arm's own row of the HPARAMS tab."""
    start = SessionStartInfo(group_name=name, start_time_secs=seconds)
    for key, value in cells.items():
        if isinstance(value, str):
            start.hparams[key].string_value = value
        else:
            start.hparams[key].number_value = value
    return hparams_summary(
        hparams.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)
    )


def row_end(seconds: float) -> Summary:
    """The end of an arm's session; without it the tab shows the arm as running."""
    end = SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=seconds)
    return hparams_summary(hparams.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))


def hparams_summary(tag: str, content: HParamsPluginData) -> Summary:
    """A summary whose content is in its metadata."""
    content.version = hparams.PLUGIN_DATA_VERSION
    plugin = SummaryMetadata.PluginData(
        plugin_name=hparams.PLUGIN_NAME, content=content.SerializeToString(deterministic=True)
    )
    metadata = SummaryMetadata(plugin_data=plugin)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=hparams.NULL_TENSOR)])


def margin_charts(title: str, charts: Mapping[str, tuple[str, str, str]]) -> Summary:
    """The layout of the custom scalars tab: each chart's tags, of the value and of both margins."""
    layout = layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title=title, chart=[margin_chart(*chart) for chart in charts.items()]
            )
        ]
    )
    value = Summary.Value(
        tag=custom_scalar.CONFIG_SUMMARY_TAG,
        metadata=custom_scalar.create_summary_metadata(),
        tensor=make_tensor_proto(layout.SerializeToString(deterministic=True)),
    )
    return Summary(value=[value])


def margin_chart(title: str, tags: tuple[str, str, str]) -> layout_pb2.Chart:
    """A chart of one value between its margins, a line for every run."""
    value, lower, upper = tags
    series = layout_pb2.MarginChartContent.Series(value=value, lower=lower, upper=upper)
    return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=[series]))


def event_file(steps: Iterable[tuple[int, Summary]], seconds: float) -> bytes:
    """An event file's content: the summaries at their steps, all written at one time."""
    file = io.BytesIO()
    writer = RecordWriter(file)
    events = [Event(wall_time=seconds, file_version="brain.Event:2")]
    events += [Event(wall_time=seconds, step=step, summary=summary) for step, summary in steps]
    for event in events:
        writer.write(event.SerializeToString(deterministic=True))
    return file.getvalue()
