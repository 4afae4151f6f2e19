"""Train, and make the record: what was trained, how well, at what cost and where."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from senet_train.runs.environment import describe_environment
from senet_train.runs.identity import as_tree
from senet_train.runs.inputs import write_class_names, write_config, write_weights_origin
from senet_train.runs.origin import read_origin
from senet_train.runs.record import (
    SCHEMA,
    AttentionSlot,
    Cost,
    Environment,
    RunRecord,
    median_and_quartiles,
)
from senet_train.runs.status import count_running
from senet_train.runs.study_plan import read_reference
from senet_train.training.ends import explain_errors
from senet_train.training.fit import Fitted, fit_and_test
from senet_train.training.plan import Plan

OPTIONAL_LIBRARIES = ("timm",)  # the record has the version if the network is from there


def environment_of(plan: Plan) -> Environment:
    """This machine and this code, with the versions of what the network and the task need."""
    config = plan.config
    library = [name for name in OPTIONAL_LIBRARIES if name == config.model.library]
    return describe_environment(plan.hardware, [*library, *plan.task.packages])


def make_record(
    plan: Plan,
    overrides: list[str],
    environment: Environment,
    start: Path | None,
    provenance: dict[str, str],
) -> tuple[RunRecord, Callable[[], None]]:
    """Train from the checkpoint `start`, or from zero, and test.

    Returns the record of it all, and what draws its pictures once the record is written.
    """
    config, path = plan.config, plan.folder.path
    started, clock = datetime.now(UTC), time.perf_counter()
    write_config(path, config)
    write_class_names(path, plan.source.class_names)
    counted_by = read_reference(path)
    if start is None and plan.weights and plan.weights.sha256:
        write_weights_origin(path, file=plan.weights.source, sha256=plan.weights.sha256)
    others = count_running(plan.folder.output_dir, but=path)
    with explain_errors(config.data):
        fitted = fit_and_test(plan, start, provenance)
    others = max(others, count_running(plan.folder.output_dir, but=path))
    record = RunRecord(
        schema=SCHEMA,
        label=plan.identity.label,
        identity=plan.identity.sha256,
        arm=plan.identity.arm,
        seed=config.seed,
        factor=config.factor,
        overrides=overrides,
        config=as_tree(config),
        data_fingerprint=plan.source.fingerprint,
        split_seed=config.data.split_seed,
        metrics=fitted.metrics,
        cost=cost_of(plan, fitted, fitted.earlier_seconds + time.perf_counter() - clock, others),
        attention=[AttentionSlot(**vars(slot)) for slot in plan.slots],
        environment=environment,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        data=fitted.data,
        plan=counted_by,
        origin=read_origin(path),
        ended=fitted.ended,
    )
    return record, fitted.draw


def cost_of(plan: Plan, fitted: Fitted, seconds: float, concurrent_runs: int) -> Cost:
    """The counted and the measured cost."""
    rate, quartiles = median_and_quartiles(fitted.rates)
    return Cost(
        **vars(plan.cost),
        images_per_second=rate,
        images_per_second_quartiles=quartiles,
        inference_ms=fitted.latency,
        peak_memory_bytes=fitted.peak_memory_bytes,
        seconds=seconds,
        concurrent_runs=concurrent_runs,
    )
