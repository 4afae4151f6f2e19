"""What README, CONTRIBUTING and docs/ name is there: files, modules, functions and tests."""

import re
from importlib import import_module
from importlib.util import find_spec

import pytest
from support import ROOT

from senet_train.runs.metrics import DetectionMetrics, Metrics, SegmentationMetrics

DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(file for file in ROOT.glob("docs/**/*.md") if "_build" not in file.parts),
]
BUILT = "docs/_build"  # not in a fresh clone
TESTS = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("*.py"))
OF_RECORDS = {  # `test_top1` is no test
    name
    for kind in (Metrics, SegmentationMetrics, DetectionMetrics)
    for name in kind.__dataclass_fields__
}
GROUPS = tuple(  # of entry points: a user's package puts its own attention or data set there
    f"senet_train.{name}"
    for name in (
        *("attention", "augmentation", "backbone", "data", "library", "larger"),
        *("logger", "optimizer", "schedule"),
    )
)


def is_there(path: str) -> bool:
    """Whether a path, or a pattern of paths, is in the repository or built there."""
    return path == BUILT or any(ROOT.glob(path.rstrip("/")))


def resolves(name: str) -> bool:
    """Whether a dotted name is a module of ours or something in one."""
    module, _, attribute = name.rpartition(".")
    if find_spec(name.partition(".")[0]) is None:
        return False
    try:
        return hasattr(import_module(module), attribute) or find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_named_files_are_there(document) -> None:
    text = document.read_text()
    paths = re.findall(r"\b(?:senet_train|tests|conf|scripts|docs)/[\w./<>*{},-]*[\w>}*/]", text)
    exact = [path for path in paths if not set(path) & set("<*{")]
    assert [path for path in exact if not is_there(path)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_named_modules_and_functions_are_there(document) -> None:
    names = set(re.findall(r"\bsenet_train(?:\.[A-Za-z_]\w*)+", document.read_text()))
    assert [name for name in sorted(names) if name not in GROUPS and not resolves(name)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_named_tests_are_there(document) -> None:
    names = set(re.findall(r"`(test_\w+)(?:\.\.\.)?`", document.read_text()))
    names -= OF_RECORDS
    assert [
        name for name in sorted(names) if f"def {name}" not in TESTS and f"{name}.py" not in TESTS
    ] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(document) -> None:
    """To a file of the repository, and to a heading of it where the link names one."""
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text()), target


def anchors(text: str) -> set[str]:
    """What a link may name: each heading in small letters, with hyphens for its spaces."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_walks_of_contributing_are_there() -> None:
    """`senet_train/cli.py`: `main`, `run_job`. Each name is defined in that file."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    stops = re.findall(r"`(senet_train/[\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", text)
    assert len(stops) >= 21
    for file, names in stops:
        source = (ROOT / file).read_text()
        for name in re.findall(r"(\w+)`", names):
            assert re.search(rf"(def|class) {name}\b|^{name}\b", source, re.M), (file, name)


def test_a_name_that_is_not_there_is_noticed() -> None:
    assert is_there("senet_train/cli.py")
    assert not is_there("senet_train/classifier.py")
    assert resolves("senet_train.cli.main")
    assert not resolves("senet_train.weave.network")
