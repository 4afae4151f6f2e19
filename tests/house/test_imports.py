"""Seven floors: a file imports from its own room, or from a room on a floor below; no circles."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter

import pytest
from support import ROOT

FLOORS = (
    "errors keyed attention backbones",
    "system config",
    "data networks figures",
    "runs",
    "training compare",
    "cli commands",
    "sweeps __main__ __init__",
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}

# What may stand at the top of a module, beyond the standard library.
NO_TORCH = (
    "cli",
    "errors",
    "config.schema",
    "config.read",
    "runs.finished",
    "runs.folder",
    "runs.inputs",
    "runs.record",
    "runs.summary",
    "system.files",
)
ONLY_TORCH = ("attention", "backbones")
WITH_LIGHTNING = ("training",)  # to import it takes 2 s: only those wait who train

PACKAGE = ROOT / "senet_train"
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
}


def imported(module: str, *, top_level: bool = False) -> Iterator[str]:
    """Every module that it imports."""
    tree = ast.parse(MODULES[module].read_text())
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else node.module for name in submodules)


def room(module: str) -> str:
    """The folder or file under senet_train/ that it lies in."""
    return module.split(".")[1] if "." in module else "__init__"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module: str) -> None:
    for name in imported(module):
        if name.startswith("senet_train") and room(name) != room(module):
            assert FLOOR[room(name)] < FLOOR[room(module)], f"{module} imports {name}"


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {module: {n for n in imported(module) if n in MODULES} for module in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("name", NO_TORCH)
def test_light_modules_stay_light(name: str) -> None:
    roots = {n.partition(".")[0] for n in imported(f"senet_train.{name}", top_level=True)}
    assert not roots & {"torch", "torchvision", "pytorch_lightning", "numpy"}


def test_only_training_needs_lightning() -> None:
    needing = {m for m in MODULES if any(n.startswith("pytorch_lightning") for n in imported(m))}
    assert {room(module) for module in needing} == set(WITH_LIGHTNING)


def test_a_tracker_is_imported_by_its_logger_and_late() -> None:
    """What reads runs, and what trains without one, never imports it."""
    trackers = {"wandb", "mlflow"}
    needing = {m for m in MODULES if trackers & {n.partition(".")[0] for n in imported(m)}}
    assert needing == {
        f"senet_train.training.loggers.{name}" for name in ("mlflow_tracker", "weights_and_biases")
    }
    for module in needing:
        at_once = {n.partition(".")[0] for n in imported(module, top_level=True)}
        assert not at_once & {*trackers, "pytorch_lightning"}


@pytest.mark.parametrize("folder", ONLY_TORCH)
def test_building_blocks_need_torch_alone(folder: str) -> None:
    """They are drop-in modules: copy the folder, or import it, without our configuration."""
    for module in MODULES:
        if room(module) == folder:
            foreign = {
                n for n in imported(module) if n.startswith(("senet_train.", "pydantic", "hydra"))
            }
            assert all(n.startswith(f"senet_train.{folder}") for n in foreign), (module, foreign)
