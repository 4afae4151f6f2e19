"""The page of the record's schema, from the dataclasses that write and read `result.json`."""

import ast
import inspect
from types import ModuleType

from reference.commented import commented_keys
from reference.markdown import page, table
from senet_train.runs import metrics, origin, record

CLASSES = (
    (record, "RunRecord"),
    (metrics, "Metrics"),
    (metrics, "SegmentationMetrics"),
    (metrics, "DetectionMetrics"),
    (record, "Cost"),
    (record, "Latency"),
    (record, "AttentionSlot"),
    (record, "Environment"),
    (record, "DataFacts"),
    (record, "Ended"),
    (origin, "Origin"),
)


def record_page() -> str:
    """The whole page."""
    introduction = (
        f"The fields of `result.json`, schema {record.SCHEMA}, as `senet_train/runs/record.py` "
        "writes and reads them. `RunRecord` is the whole file; the other tables are its parts. "
        "`metrics` is the table of the run's task. [A run's folder](run_folder.md) says in words "
        "what they mean."
    )
    parts: list[str] = []
    for module, name in CLASSES:
        parts += class_parts(module, name)
    return page("The record's schema", introduction, *parts)


def class_parts(module: ModuleType, name: str) -> list[str]:
    """A heading, the docstring and a table of the fields."""
    owner = getattr(module, name)
    comments = commented_keys(inspect.getsource(owner))
    rows = [(f"`{key}`", f"`{kind}`", comments.get(key, "")) for key, kind in fields_of(owner)]
    return [f"## {name}", inspect.getdoc(owner) or "", table(("field", "type", "note"), rows)]


def fields_of(owner: type) -> list[tuple[str, str]]:
    """Names and annotations as the source has them."""
    [tree] = ast.parse(inspect.getsource(owner)).body
    assert isinstance(tree, ast.ClassDef)
    declared = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    named = [(ast.unparse(node.target), ast.unparse(node.annotation)) for node in declared]
    return [(name, kind) for name, kind in named if not kind.startswith("ClassVar")]
