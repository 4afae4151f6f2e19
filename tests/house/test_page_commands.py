"""Every command and every Python block of README and the guide runs, in the order of its page."""

import os
import re
import tomllib
from pathlib import Path

import pytest
import torch
from page_commands import (
    BLOCK,
    IN_CELLS,
    IN_PLACE_OF,
    IN_PYTHON,
    MAINS,
    NOT_RUN,
    PAGES,
    cells_of,
    commands_of,
    replaced,
    run_line,
    run_page,
    without_comment,
)
from support import ROOT, Senet, draw_tree, write_image
from test_readmes import MyNetwork

TEXTS = {page.name: page.read_text() for page in PAGES}
LINES = [line for text in TEXTS.values() for line in commands_of(text)]
CELLS = list(dict.fromkeys(cell for text in TEXTS.values() for cell in cells_of(text)))
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def scratch(
    senet: Senet, tmp_path: Path, warm_fork_server: None, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty working folder, with tiny folders where a page names a user's."""
    draw_tree(tmp_path / "DIR")
    draw_cifar(tmp_path)
    draw_digits(tmp_path / "FOLDER")
    for name in ("sbatch", "squeue"):  # looked for; dry_run=true sends nothing
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text("#!/bin/false\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    (tmp_path / "mynet").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "mynet")  # where networks.md writes a package
    return tmp_path


def draw_cifar(folder: Path) -> None:
    """Noise in the ten classes of CIFAR-10, and a picture of each."""
    for number, name in enumerate(CIFAR):
        for part, images in (("train", range(10)), ("test", range(10, 12))):
            for image in images:
                write_image(
                    folder / f"cifar/{part}/{name}/{image}.png", 100 * number + image, (32, 32)
                )
        write_image(folder / f"pictures/{name}.png", number)


def draw_digits(folder: Path) -> None:
    """Noise in a folder for each digit."""
    for digit in range(10):
        write_image(folder / str(digit) / "0.png", digit, (8, 8))


def published_weights() -> None:
    """The files that a user of networks.md has downloaded, here with random weights."""
    import timm
    from torchvision.models import resnet50

    torch.save(timm.create_model("seresnet50").state_dict(), "seresnet50.pth")
    torch.save(resnet50().state_dict(), "FILE")


@pytest.mark.slow
@pytest.mark.parametrize("page", TEXTS)
def test_a_page_runs(page: str, scratch: Path) -> None:
    if page == "networks.md":
        published_weights()
    run_page(TEXTS[page], {"MyNetwork": MyNetwork, "__name__": page})


@pytest.mark.slow
def test_the_commands_in_tables_run(scratch: Path) -> None:
    run_line("senet-train model=resnet8", {})
    run_line("senet-train model=se_resnet8 ratio=4", {})
    assert [cell for cell in CELLS if not runs(replaced(cell, IN_CELLS))] == []


def runs(line: str) -> bool:
    """Whether a command line ends well."""
    try:
        run_line(line, {})
    except AssertionError:
        return False
    return True


def test_every_shell_block_is_marked_as_one() -> None:
    """What is not marked is output and does not run: it begins with no command."""
    assert len(LINES) > 40
    assert len(CELLS) > 30
    programs = "|".join((*MAINS, "senet-board", "uv", "pip", "git", "python", "ssh"))
    unmarked = [
        code.splitlines()[0]
        for text in TEXTS.values()
        for language, code in BLOCK.findall(text)
        if not language and re.match(rf"({programs}) ", code)
    ]
    assert unmarked == []
    languages = {language for text in TEXTS.values() for language, _ in BLOCK.findall(text)}
    assert languages == {"", "bash", "python", "toml", "yaml"}


def test_the_extras_that_are_installed_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {extra for line in LINES for extra in re.findall(r"\.\[(\w+)\]|--extra (\w+)", line)}
    extras = {first or second for first, second in named}
    assert len(extras) >= 4
    assert extras <= set(project["optional-dependencies"])


@pytest.mark.parametrize("beginning", NOT_RUN)
def test_what_is_not_run_is_still_there(beginning: str) -> None:
    assert [line for line in LINES if line.startswith(beginning)]


@pytest.mark.parametrize("pattern", [*IN_PLACE_OF, *IN_CELLS])
def test_what_is_replaced_is_still_there(pattern: str) -> None:
    lines = CELLS if pattern in IN_CELLS else map(without_comment, LINES)
    assert [line for line in lines if re.search(pattern, line)]


def test_what_is_replaced_in_python_is_still_there() -> None:
    codes = [code for text in TEXTS.values() for _, code in BLOCK.findall(text)]
    assert [p for p in IN_PYTHON if not any(re.search(p, code) for code in codes)] == []


RIGHT = "senet-train model=resnet8 dry_run=true"


@pytest.mark.parametrize(
    "wrong",
    [
        "senet-train model=resnet8 optim.learning_speed=1 dry_run=true",
        "senet-train model=resnet9 dry_run=true",
        "senet-train --no-such-flag",
        "senet-compare outputs --no-such-option",
        "senet-compere outputs",
    ],
)
def test_a_page_with_a_wrong_command_fails(wrong: str, senet: Senet) -> None:
    run_page(f"```bash\n{RIGHT}\n```\n", {})
    with pytest.raises(AssertionError):
        run_page(f"```bash\n{RIGHT}\n{wrong}\n```\n", {})
