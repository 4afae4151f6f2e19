"""The commands of a page of the documents: found in its blocks, and run in this process."""

import re
import runpy
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, invalidate_caches
from pathlib import Path

from support import ROOT

GUIDE = sorted((ROOT / "docs/guide").glob("*.md"))
PAGES = [ROOT / "README.md", *GUIDE]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CELL = re.compile(r"^\| `(senet-[^`]+)`", re.MULTILINE)
FILE = re.compile(r"# (\S+\.\w+)\n")  # the first line of a block that is a file

# Each command that ends by itself: the module that has its `main`.
MAINS = {
    "senet-train": "senet_train.cli",
    "senet-compare": "senet_train.commands.compare",
    "senet-data": "senet_train.commands.data_check.cli",
    "senet-inspect": "senet_train.commands.inspect.cli",
    "senet-predict": "senet_train.commands.predict.cli",
    "senet-evaluate": "senet_train.commands.evaluate.cli",
    "senet-export": "senet_train.commands.export.cli",
    "senet-profile": "senet_train.commands.profile.cli",
}

# What cannot run in a test, by its beginning, and why.
NOT_RUN = {
    "git clone ": "fetches the repository",
    "pip install uv": "fetches packages",
    "pip install -c ": "fetches packages",
    "pip install mlflow": "fetches packages",
    "uv sync ": "fetches packages",
    "wandb ": "needs an account",
    "mlflow ui ": "is a server of a package that is not here",
    "ssh ": "needs another machine",
    "#!/bin/bash": "is a job of SLURM, which starts torchrun on two nodes",
}

# A pattern in a command, and what stands there in the test: less to train, nothing to download.
IN_PLACE_OF = {
    r"^uv run ": "",
    r" trainer\.max_epochs=\d+": "",
    r" seeds=(5|auto)\b": "",
    r"num_trials=\d+": "num_trials=2",
    r"data\.image_size=(64|128)": "data.image_size=32",
    r"data\.test_resize=160 data\.test_size=144": "data.test_resize=40 data.test_size=36",
    r"^(senet-train .*)$": r"\1 trainer.max_epochs=1",
    r"^(.*(?:experiment|arms)=.*)$": r"\1 seeds=1",
    r"^(senet-train .*data\.root=DIR)(?! data\.image_size)(.*)$": r"\1 data.image_size=32\2",
    r"^(.*(?:pretrained=|=finetune|name=resnext|submitit_slurm).*)$": r"\1 dry_run=true",
    r"^(senet-train (?:task=|experiment=shapes).*)$": r"\1 data.num_images=40",
    r"^(.*http://HOST.*)$": r"\1 dry_run=true",
    r"-[0-9a-f]{8}\b": "-*",  # of a run's folder: shorter runs have other hashes
}
IN_PYTHON = {
    r'resnet18\(weights="DEFAULT"\)': "resnet18(weights=None)",
    r'(resnet50\w*)\(weights="DEFAULT"\)': r"\1(weights=None, weights_backbone=None)",
}

# The same for commands in tables, which stand for many: they are planned, and nothing is trained.
IN_CELLS = {
    r"=search \.\.\.$": "=search model=se_resnet8 ratio=2,4",
    r" \.\.\.(?= |$)": " model=se_resnet8 ratio=4",
    r"^(senet-train (?!--help).*)$": r"\1 dry_run=true",
    r"\bIMAGE\.\.\.": "pictures",
    r"\[(FOLDER)\]": r"\1",
    r"\bRUN\b": "outputs/digits/se_resnet8-r4-*/seed0",
}


def lines_of(block: str) -> list[str]:
    """The command lines of a shell block; a job's script is one."""
    if block.startswith("#!"):
        return [block]
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def commands_of(text: str) -> list[str]:
    """Every command line in the shell blocks of a page."""
    blocks = (code for language, code in BLOCK.findall(text) if language == "bash")
    return [line for block in blocks for line in lines_of(block)]


def cells_of(text: str) -> list[str]:
    """The commands that are the first cells of a page's tables."""
    return CELL.findall(text)


def is_left_out(line: str) -> bool:
    """Whether a command line is of those that cannot run here."""
    return line.startswith(tuple(NOT_RUN))


def replaced(text: str, replacements: Mapping[str, str]) -> str:
    """The text with each pattern replaced."""
    for pattern, replacement in replacements.items():
        text = re.sub(pattern, replacement, text)
    return text


def without_comment(line: str) -> str:
    """The command line without the comment at its end."""
    return shlex.join(shlex.split(line, comments=True))


def run_page(text: str, names: dict[str, object]) -> None:
    """Run or save all blocks of a page that are no output, in order; Python shares these names."""
    variables: dict[str, str] = {}
    for language, code in BLOCK.findall(text):
        if file := FILE.match(code):
            Path(file[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(file[1]).write_text(code)
        elif language == "python":
            exec(replaced(code, IN_PYTHON), names)
        elif language == "bash":
            for line in lines_of(code):
                run_line(line, variables)


def install(folder: Path) -> None:
    """Make the entry points of a package known, which is in a folder of `sys.path`."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    about = folder / f"{project['name']}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    with open(about / "entry_points.txt", "w") as file:
        for group, entries in project["entry-points"].items():
            lines = (f"{name} = {place}\n" for name, place in entries.items())
            file.write(f"[{group}]\n{''.join(lines)}")
    invalidate_caches()


def run_line(line: str, variables: dict[str, str]) -> None:
    """Run one command line, which must end well."""
    if is_left_out(line):
        return
    if line.startswith("pip install ./"):
        install(Path(line.split("/")[-1]))
        return
    words = shlex.split(replaced(without_comment(line), IN_PLACE_OF))
    name, sign, value = words[0].partition("=")
    if sign:
        variables[name] = value
        return
    for variable, value in variables.items():
        words = [word.replace(f"${variable}", value) for word in words]
    run_words([found for word in words for found in globbed(word)], line)


def globbed(word: str) -> Sequence[str]:
    """The paths that a word with `-*` in it stands for, as a shell has it."""
    if "-*" not in word:
        return [word]
    start, _, pattern = word.rpartition("=")
    found = sorted(str(path) for path in Path().glob(pattern))
    assert found, f"nothing is at {word}"
    return [f"{start}={path}" if start else path for path in found]


def run_words(words: Sequence[str], line: str) -> None:
    """Run a command, in this process if it ends by itself."""
    if words[0] == "ls":
        assert all(Path(word).exists() for word in words[1:]), line
    elif words[0] == "python":
        runpy.run_path(words[1])
    elif words[0] == "senet-board":
        serve_and_stop(words[1:])
    else:
        assert words[0] in MAINS, f"the test cannot run this: {line}"
        main: Callable[[Sequence[str]], int] = import_module(MAINS[words[0]]).main
        assert main(words[1:]) == 0, line


def serve_and_stop(words: Sequence[str]) -> None:
    """Start senet-board, and end it as Ctrl-C does when it says its address."""
    program = "from senet_train.commands.board.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", program, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as board:
        assert board.stdout is not None
        assert board.stdout.readline().startswith("http://127.0.0.1:")
        board.send_signal(signal.SIGINT)
        assert board.wait(60) == 130
