"""The two READMEs are one page in two languages, and its snippets run."""

import re

import pytest
import torch
from support import ROOT
from torch import Tensor, nn

ENGLISH = (ROOT / "README.md").read_text()
CHINESE = (ROOT / "README.zh-CN.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SNIPPETS = [code for language, code in BLOCK.findall(ENGLISH) if language == "python"]


def headings(text: str) -> list[int]:
    """The level of each heading; lines of code that begin with `#` are none."""
    return [len(marks) for marks in re.findall(r"^(#+) ", BLOCK.sub("", text), re.MULTILINE)]


def first_cells(text: str) -> list[str]:
    """The commands of the table: what stands in code at the beginning of a row."""
    return re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)


def links(text: str) -> list[str]:
    """Where it leads, without the link to the other language."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return sorted(target for target in targets if not target.startswith("README"))


def test_both_have_the_same_commands() -> None:
    assert len(BLOCK.findall(ENGLISH)) >= 7
    assert BLOCK.findall(ENGLISH) == BLOCK.findall(CHINESE)
    assert len(first_cells(ENGLISH)) >= 10
    assert first_cells(ENGLISH) == first_cells(CHINESE)


def test_both_have_the_same_headings_and_links() -> None:
    assert len(headings(ENGLISH)) >= 8
    assert headings(ENGLISH) == headings(CHINESE)
    assert links(ENGLISH) == links(CHINESE)


def test_each_first_line_leads_to_the_other() -> None:
    assert "(README.zh-CN.md)" in ENGLISH.splitlines()[0]
    assert "(README.md)" in CHINESE.splitlines()[0]


class MyNetwork(nn.Module):
    """A network of somebody else's, with one residual branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.branch = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 10)."""
        x = self.stem(x)
        return self.head(torch.relu(x + self.branch(x)).mean((2, 3)))


@pytest.mark.parametrize("code", SNIPPETS)
def test_the_snippets_run(code: str) -> None:
    """Without the download: the third then has weights that are drawn."""
    names: dict[str, object] = {"MyNetwork": MyNetwork}
    exec(code.replace('weights="DEFAULT"', "weights=None"), names)
    modules = [value for value in names.values() if isinstance(value, nn.Module)]
    assert len(modules) == 1
    assert any("SqueezeExcite" in type(module).__name__ for module in modules[0].modules())
