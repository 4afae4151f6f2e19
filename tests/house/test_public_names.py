"""`from senet_train import ...`: every name is there, and is imported when it is asked for."""

import ast
import subprocess
import sys

import pytest
from support import ROOT

import senet_train


@pytest.mark.parametrize("name", senet_train.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(senet_train, name).__name__ == name


def test_type_checkers_and_python_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "senet_train/__init__.py").read_text())
    [for_checkers] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in for_checkers.body if isinstance(node, ast.ImportFrom)]
    names = sorted(alias.name for node in imports for alias in node.names)
    assert names == sorted(senet_train.__all__) == sorted(senet_train.MODULES)


@pytest.mark.parametrize(
    ("line", "expected"),
    [("import senet_train", "[]"), ("from senet_train import insert", "['torch', 'torchvision']")],
)
def test_torch_is_imported_with_the_first_name_that_needs_it(line: str, expected: str) -> None:
    heavy = "{'torch', 'torchvision', 'pytorch_lightning', 'hydra'}"
    program = f"import sys; {line}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr
