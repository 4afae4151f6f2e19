"""Rules of the house that a grep can keep: safety, pins, nothing of this machine in the files."""

import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from support import ROOT

TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    if (ROOT / name).is_file()
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = [f for f in TRACKED if f.suffix == ".py" and "tests" not in f.parts]


def lines_matching(pattern: str, files: list) -> list[str]:
    return [
        f"{file.name}:{number}: {line.strip()}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if re.search(pattern, line)
    ]


def test_checkpoints_are_loaded_as_weights_only() -> None:
    assert len(SOURCES) > 30
    loads = lines_matching(r"torch\.load\(", SOURCES)
    assert loads
    assert all("weights_only=True" in line for line in loads)
    assert not lines_matching(r"weights_only=False", SOURCES)


def test_no_pickle_no_dynamic_code() -> None:
    banned = r"^\s*(import|from) (pickle|dill|cloudpickle|marshal|shelve)|\beval\(|\bexec\("
    hits = [line for line in lines_matching(banned, SOURCES) if ".eval()" not in line]
    assert not hits
    assert not lines_matching(r"allow_pickle=True|shell=True|instantiate\(", SOURCES)


def test_no_registry_host_is_named() -> None:
    hosts = "|".join(
        ("py" + r"pi\.org", "python" + "hosted", "registry" + r"\.npm", "download" + r"\.pytorch")
    )
    text_files = [f for f in TRACKED if f.suffix not in (".png", ".npz", ".xz")]
    assert not lines_matching(hosts, text_files)
    assert not [file for file in TRACKED if file.name == "uv.lock"]


def test_constraints_are_the_same_for_pip_and_uv() -> None:
    pinned = PROJECT["tool"]["uv"]["constraint-dependencies"]
    assert (ROOT / "constraints.txt").read_text().splitlines() == pinned
    assert len(pinned) > 50
    assert all(re.match(r"[a-z0-9-]+==[^ ]+( ; .+)?$", line) for line in pinned)


@pytest.mark.parametrize("bad", ["2.6.2", "2.6.3"])
def test_compromised_lightning_is_excluded(bad: str) -> None:
    from packaging.requirements import Requirement

    requirements = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    [lightning] = [r for r in requirements if "lightning" in r.name]
    assert bad not in lightning.specifier
    assert "2.6.6" in lightning.specifier
    assert "2.7.0" not in lightning.specifier


def test_every_dependency_is_pinned() -> None:
    from packaging.requirements import Requirement

    pinned = {line.partition("==")[0] for line in PROJECT["tool"]["uv"]["constraint-dependencies"]}
    groups = PROJECT["dependency-groups"]
    asked = [*PROJECT["project"]["dependencies"], *groups["dev"], *groups["docs"]]
    assert {Requirement(text).name for text in asked} <= pinned


def test_nothing_listens_beyond_this_machine() -> None:
    assert not lines_matching(r"\b0\.0\.0\.0\b|--bind_all", SOURCES)


def test_no_file_is_over_300_lines() -> None:
    files = [file for file in SOURCES if "senet_train" in file.parts]
    assert len(files) > 200
    assert [file.name for file in files if len(file.read_text().splitlines()) > 300] == []


def test_every_room_says_what_it_holds() -> None:
    rooms = [file for file in SOURCES if file.name == "__init__.py" and "senet_train" in file.parts]
    assert len(rooms) > 20
    assert [file for file in rooms if not file.read_text().startswith('"""')] == []


def test_the_citation_has_the_version() -> None:
    assert f"\nversion: {PROJECT['project']['version']}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_hooks_do_what_the_gate_does() -> None:
    gate = (ROOT / ".ci/run").read_text().splitlines()
    steps = [line for line in gate if line.startswith("uv run ")]
    [local] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert len(steps) >= 5
    assert [hook["entry"] for hook in local["hooks"]] == steps


def test_the_workflow_is_the_gate_on_every_python() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    job = jobs["gate"]
    wanted = PROJECT["project"]["requires-python"]
    versions = [f"3.{minor}" for minor in range(30) if SpecifierSet(wanted).contains(f"3.{minor}")]
    assert job["strategy"]["matrix"]["python"] == versions == ["3.11", "3.12", "3.13"]
    assert job["env"]["UV_PYTHON"] == "${{ matrix.python }}"
    assert job["steps"][-1] == {"run": ".ci/run"}
    elsewhere = jobs["every-command"]
    assert elsewhere["strategy"]["matrix"]["system"] == ["windows-latest", "macos-latest"]
    assert set(elsewhere["strategy"]["matrix"]["python"]) < set(versions)
    assert elsewhere["steps"][-1]["run"].endswith("python tests/windows/every_command.py runs")
    assert (ROOT / "tests/windows/every_command.py").is_file()
