"""Which file may import which: the order of the straight line, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "senet_train"
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
}

READ_AND_JUDGED = (
    *("looks", "contrast", "adjusted", "verdict", "bootstrap"),
    *("excitations", "comparison", "collect", "blocks", "paper"),
)

# From the ground up: a module imports only from lines above its own (or its own line's package).
LAYERS = [
    ("senet_train", "senet_train.errors", "senet_train.atomic", "senet_train.crew"),
    ("senet_train.rows", "senet_train.scores"),
    ("senet_train.signals", "senet_train.config", "senet_train.agreement"),
    ("senet_train.several", "senet_train.command_line", "senet_train.drawing"),
    ("senet_train.progress_bar", "senet_train.composition"),
    ("senet_train.keyed", "senet_train.lock", "senet_train.schedule", "senet_train.arms"),
    ("senet_train.class_folders", "senet_train.pictures", "senet_train.exclusion"),
    ("senet_train.attention", "senet_train.backbones", "senet_train.data", "senet_train.check"),
    ("senet_train.fold", "senet_train.shared_layers", "senet_train.onednn"),
    ("senet_train.weave",),
    ("senet_train.options", "senet_train.identity", "senet_train.insertion", "senet_train.metrics"),
    ("senet_train.record",),
    ("senet_train.networks", "senet_train.larger_networks"),
    ("senet_train.finetune", "senet_train.larger"),
    ("senet_train.environment", "senet_train.run_folder", "senet_train.cost"),
    ("senet_train.memory", "senet_train.tally", "senet_train.checkpoint_io"),
    ("senet_train.speed", "senet_train.predictions", "senet_train.summary"),
    ("senet_train.progress", "senet_train.optimizer", "senet_train.factors"),
    ("senet_train.learner",),
    ("senet_train.journal", "senet_train.checkpoints", "senet_train.classifier"),
    ("senet_train.heartbeat", "senet_train.gates", "senet_train.mistakes", "senet_train.resume"),
    ("senet_train.tasks",),
    ("senet_train.plan",),
    ("senet_train.trained",),
    ("senet_train.predict",),
    ("senet_train.evaluate",),
    ("senet_train.stop_request",),
    ("senet_train.fit",),
    tuple(f"senet_train.compare.{name}" for name in READ_AND_JUDGED),
    ("senet_train.compare.assemble", "senet_train.compare.next_runs"),
    ("senet_train.compare.next_step",),
    ("senet_train.compare.render",),
    ("senet_train.compare.arm_runs",),
    ("senet_train.compare",),  # its command
    ("senet_train.inspect",),
    ("senet_train.board",),
    ("senet_train.export",),
    ("senet_train.forecast",),
    ("senet_train.sweep_view",),
    ("senet_train.sweep_report",),
    ("senet_train.auto_seeds",),
    ("senet_train.run",),
    ("senet_train.sweep",),
    ("senet_train.search",),
    ("senet_train.cli",),
    ("senet_train.profile",),
    ("senet_train.local_launcher", "senet_train.cluster_job"),  # they start the command again
    ("senet_train.cluster_launcher",),
    ("senet_train._plugins",),
    ("senet_train.__main__", "senet_train.member"),
]

# What may stand at the top of a module, beyond the standard library.
LIGHT = {"senet_train", "pydantic", "omegaconf", "hydra", "rich"}
NO_TORCH = ("cli", "config", "errors", "atomic", "lock", "identity", "record", "run_folder")
ONLY_TORCH = ("attention", "backbones")


def imports(file: Path, *, top_level: bool = False) -> Iterator[str]:
    tree = ast.parse(file.read_text())
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def layer(module: str) -> int:
    for number, names in enumerate(LAYERS):
        for name in names:
            if module == name or (name != "senet_train" and module.startswith(f"{name}.")):
                return number
    raise AssertionError(f"{module} has no layer: give it one in LAYERS")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module: str) -> None:
    ours = [name for name in imports(MODULES[module]) if name.startswith("senet_train")]
    same_package = module.rpartition(".")[0] if module.count(".") > 1 else module
    for name in ours:
        within = name.startswith(f"{same_package}.") or name == same_package
        assert within or layer(name) < layer(module), f"{module} imports {name}"


@pytest.mark.parametrize("name", NO_TORCH)
def test_light_modules_stay_light(name: str) -> None:
    roots = {n.partition(".")[0] for n in imports(MODULES[f"senet_train.{name}"], top_level=True)}
    assert not roots & {"torch", "torchvision", "pytorch_lightning", "numpy"}


@pytest.mark.parametrize("package", ONLY_TORCH)
def test_building_blocks_need_torch_alone(package: str) -> None:
    """They are drop-in modules: copy the folder, or import it, without our configuration."""
    for module, file in MODULES.items():
        if module.startswith(f"senet_train.{package}"):
            foreign = {n for n in imports(file) if n.partition(".")[0] in LIGHT}
            assert all(n.startswith(f"senet_train.{package}") for n in foreign), (module, foreign)
            inner = {n for n in imports(file) if n.startswith("senet_train.")}
            assert all(n.startswith(f"senet_train.{package}") for n in inner)
