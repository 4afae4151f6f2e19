"""A longer run goes on from a finished shorter one, where it would come to the same bits anyway.

Order, augmentation and first weights do not depend on the length of a run; the learning rate may.
So the shorter run must be this one but for its length and schedule, its rates must be this run's at
every step that it took and at the next one, and it must have been made by the same code and device.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from senet_train.config.options import bind
from senet_train.config.read import as_choice
from senet_train.config.schema import Choice
from senet_train.errors import InputError
from senet_train.runs.checkpoint_files import (
    DamagedCheckpoint,
    newest_readable,
    read_checkpoint,
    write_checkpoint,
)
from senet_train.runs.folder import BEST, LAST, RunFolder
from senet_train.runs.inputs import write_weights_origin
from senet_train.runs.origin import Origin, write_origin
from senet_train.system.foreign_files import TREE, read_json
from senet_train.system.listing import folders_in
from senet_train.training.plan import Plan
from senet_train.training.schedule import SCHEDULES, Schedule, with_warmup


@dataclass(frozen=True)
class Shorter:
    """A finished run that differs from a longer one in its length and its schedule alone."""

    folder: RunFolder
    origin: Origin
    schedule: Choice


def go_on_from_shorter(plan: Plan, now: dict[str, str]) -> str:
    """Put the checkpoints of a finished shorter run into the folder of this one, which is new.

    `now` is the provenance of this process. Returns a log line: from which run, or why not from the
    longest that there is; "" where there is none.
    """
    notices = []
    for shorter in sorted(shorter_runs(plan), key=lambda run: -run.origin.epochs):
        epochs = f"{shorter.origin.epochs} of these {plan.config.trainer.max_epochs} epochs"
        reason = go_on_or_why_not(plan, shorter, now)
        if not reason:
            return f"going on from {shorter.folder.path}, which has finished {epochs}"
        if shorter.schedule == plan.config.optim.schedule:  # else nobody would expect it
            notices.append(
                f"{shorter.folder.path} has finished {epochs}, and is not gone on from: {reason}"
            )
    return next(iter(notices), "")


def go_on_or_why_not(plan: Plan, shorter: Shorter, now: dict[str, str]) -> str:
    """Take the checkpoints of a shorter run over; or why they are left, in words."""
    found = newest_readable(shorter.folder.checkpoints)
    if found is None:
        return "it has no last checkpoint"
    last = found[1]
    if reason := why_not(plan, shorter, last, now):
        return reason
    try:
        best = read_checkpoint(shorter.folder.checkpoints / BEST)
    except (OSError, DamagedCheckpoint) as error:
        return f"the checkpoint of its best epoch cannot be read ({error})"
    if not isinstance(best, dict) or best.get("made_by") != last["made_by"]:
        return "the checkpoint of its best epoch is of another run"
    take_over(plan, shorter, last, best)
    return ""


def shorter_runs(plan: Plan) -> Iterator[Shorter]:
    """The finished runs of the same seed that differ in length and schedule alone.

    What cannot be read is none: others may write to the folder.
    """
    wanted = as_written(plan.identity.content)
    wanted_optim, wanted_trainer = wanted.pop("optim"), wanted.pop("trainer")
    length = wanted_trainer.pop("max_epochs")
    wanted_optim.pop("schedule")
    data = plan.folder.path.parents[1]
    for arm in folders_in(data) if data.is_dir() else ():
        try:
            content = read_json(arm / "identity.json", TREE)
            sha256, optim, trainer = (content.pop(key) for key in ("sha256", "optim", "trainer"))
            epochs, schedule = int(trainer.pop("max_epochs")), optim.pop("schedule")
            shape = as_choice(schedule, "optim.schedule")
            chosen = Choice(shape["name"], shape["options"])
        except (InputError, OSError, KeyError, TypeError, ValueError, AttributeError):
            continue
        same = (content, optim, trainer) == (wanted, wanted_optim, wanted_trainer)
        folder = replace(plan.folder, arm=arm.name)
        if same and 0 < epochs < length and folder.settled:
            yield Shorter(folder, Origin(arm.name, str(sha256), epochs), chosen)


def as_written(content: dict[str, Any]) -> dict[str, Any]:
    """An identity as identity.json holds it."""
    written: dict[str, Any] = json.loads(json.dumps(content))
    return written


def why_not(plan: Plan, shorter: Shorter, checkpoint: dict[str, Any], now: dict[str, str]) -> str:
    """Why the longer run would not have come to this checkpoint; "" if it would."""
    origin, then = shorter.origin, checkpoint["made_by"]
    if stopped := checkpoint["progress"].get("stopped"):
        return f"it was stopped by trainer.{stopped}"
    if checkpoint["progress"]["epoch"] != origin.epochs or then.get("identity") != origin.identity:
        return "its last checkpoint is of another run"
    for key in {**then, **now}:
        if key != "identity" and then.get(key) != now.get(key):
            return f"{key} was {str(then.get(key))[:12]} and is {str(now.get(key))[:12]}"
    try:
        make, _ = bind(shorter.schedule, SCHEDULES, "optim.schedule", "senet_train.schedule")
    except InputError as error:
        return f"its schedule cannot be read ({error})"
    steps = int(checkpoint["global_step"])
    theirs = rates(plan, make(), origin.epochs, steps, origin.epochs)
    ours = rates(plan, plan.schedule, plan.config.trainer.max_epochs, steps, origin.epochs)
    if all(a == b for a, b in zip(ours, theirs, strict=True)):
        return ""
    name = plan.config.optim.schedule.name
    return f"optim/schedule={name} depends on the end of training, and its rates were others"


def rates(plan: Plan, schedule: Schedule, length: int, steps: int, epochs: int) -> Iterator[float]:
    """The factor of the learning rate at each of `steps` steps, of `epochs` epochs, and the next.

    `length` is the number of epochs of the whole run.
    """
    per_epoch = steps // epochs
    warmup = round(per_epoch * plan.config.optim.warmup_epochs)
    factor = with_warmup(schedule, warmup, per_epoch * length)
    return map(factor, range(steps + 1))


def take_over(plan: Plan, shorter: Shorter, last: dict[str, Any], best: dict[str, Any]) -> None:
    """Write the checkpoints to the folder of the run as its own, the last one last.

    A kill before that leaves a folder without one: such a run starts from zero.
    """
    folder, weights = plan.folder, plan.weights
    folder.checkpoints.mkdir(parents=True)
    if weights and weights.sha256:
        write_weights_origin(folder.path, file=weights.source, sha256=weights.sha256)
    write_origin(folder.path, shorter.origin)
    for checkpoint, name in ((best, BEST), (last, LAST)):
        made_by = {**checkpoint["made_by"], "identity": plan.identity.sha256}
        write_checkpoint({**checkpoint, "made_by": made_by}, folder.checkpoints / name)
