"""What loggers are told of a run: its name, the group it stands in, and which run it is."""

from senet_train.runs.study_plan import PlanReference, read_reference
from senet_train.training.loggers.sink import LoggedRun
from senet_train.training.plan import Plan


def logged_run(plan: Plan) -> LoggedRun:
    """The run of this plan, whose folder has begun. Raises InputError for a damaged plan.json."""
    folder, identity = plan.folder, plan.identity
    reference = read_reference(folder.path)
    return LoggedRun(
        folder=folder.path,
        output_dir=folder.output_dir,
        name=f"{identity.label}-seed{folder.seed}",
        group=group_of(plan, reference),
        hyperparameters=plan.hyperparameters(),
        marks={
            "folder": folder.place.as_posix(),
            "identity": identity.sha256,
            "plan": reference.sha256 or "none",
        },
        # For TensorBoard's HPARAMS tab; the tag of a curve must not be among them.
        final={f"final/{name}": name for name in plan.task.learner.final_metrics},
    )


def group_of(plan: Plan, reference: PlanReference) -> str:
    """The study: `digits-plan-e764f6ba`; of a run that no plan counts `digits-resnet20`."""
    what = f"plan-{reference.name}" if reference.name else plan.config.model.title
    return f"{plan.folder.data}-{what}"
