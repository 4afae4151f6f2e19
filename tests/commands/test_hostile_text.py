"""What a stranger wrote is shown and not obeyed: by a terminal, a spreadsheet, a page, LaTeX.

The same strings go through every command and into every file that it writes.
"""

import csv
import io
import json
import logging
import re
import shutil
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from compare_runs import write_run
from PIL import Image
from support import ROOT, Senet
from test_csv_files import checked, evaluated, inspected, is_number, predicted, profiled

from senet_train.commands import compare
from senet_train.commands.command_line import exit_code_of
from senet_train.commands.evaluate import cli as evaluate
from senet_train.commands.export import cli as export
from senet_train.commands.inspect import cli as inspect
from senet_train.commands.predict import cli as predict
from senet_train.errors import InputError
from senet_train.system.console import output_console, say
from senet_train.system.texts import printable
from senet_train.training.ends import log_to_file

HOSTILE = (
    *("\x1b[31mred", "\x1b]0;title\x07", "bell\x07", "back\rover", "\u202eright", "\x9b2J"),
    *("=HYPERLINK(1)", "+1", "-a", "@sum", "\uff1dwide", "<script>alert(1)</script>", "a|b"),
    *("`code`", "\\input{/etc/passwd}", "100 %", "nul\0nul", "half\udc80half", "two\nlines"),
    *("[red]markup[/red]", "[/closed]", ":smile:", "&amp;", "$x$", "tab\tbed"),
)
ALL = " ".join(HOSTILE)
RECORDED = ALL.replace("\udc80", "")  # records with half a character are refused


def steers(text: str) -> list[str]:
    """The characters of a text that a terminal would obey, line feeds aside."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]


def poisoned(node: Any) -> Any:
    """A record with every free text in it hostile."""
    if isinstance(node, dict):
        return {key: poisoned(value) for key, value in node.items()}
    if isinstance(node, list):
        return [poisoned(value) for value in node]
    return f"{node} {RECORDED}" if isinstance(node, str) else node


KEPT = ("schema", "identity", "started", "finished", "config", "data_fingerprint")


def poison(run: Path, label: str) -> None:
    """Make the words of a run's record hostile, those that decide what is compared as in others."""
    record = json.loads((run / "result.json").read_text())
    words = {key: value if key in KEPT else poisoned(value) for key, value in record.items()}
    words["config"]["model"]["name"] = f"resnet20 {RECORDED}"
    words["factor"] = []
    words["environment"]["versions"] = {
        f"torch{RECORDED}": RECORDED,
        "senet-train": RECORDED,
    }
    (run / "result.json").write_text(json.dumps(words | {"label": f"{label} {RECORDED}"}))


@pytest.fixture
def poisoned_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        for label, changes in (("none", {}), ("se", {"attention.name": "se"})):
            run = write_run(tmp_path / "runs", label, seed, 0.7 + seed / 100, changes=changes)
            poison(run, label)
    left = write_run(tmp_path / "runs", "eca", 0, 0.5, state="failed")
    status = json.loads((left / "status.json").read_text()) | {
        "reason": RECORDED,
        "host": RECORDED,
    }
    (left / "status.json").write_text(json.dumps(status))
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    found = capsys.readouterr()
    assert not steers(found.out + found.err)
    return found.out + found.err


def test_a_comparison_of_strangers_runs(
    poisoned_table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main(["runs", "--out", "out", "--plan", "--tensorboard", "arms"]) == 0
    shown = printed(capsys)
    assert "\\x1b[31mred" in shown
    files = [file for file in (poisoned_table / "out").iterdir() if file.suffix != ".png"]
    assert {file.suffix for file in files} == {".html", ".md", ".csv", ".tex", ".json", ".svg"}
    for file in files:
        text = file.read_bytes().decode()
        assert not steers(text), file.name
        CHECKS[file.suffix](text)


def check_csv(text: str) -> None:
    cells = [cell for row in csv.reader(io.StringIO(text, "")) for cell in row]
    assert not [c for c in cells if c.startswith(tuple("=+-@\t\r")) and not is_number(c)]


def check_html(text: str) -> None:
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(text)
    assert "script" not in tags
    assert "html" in tags


def check_markdown(text: str) -> None:
    assert "<script" not in re.sub(r"\\.", "", text)
    assert not re.search(r"(?<!\\)`code", text)


def check_latex(text: str) -> None:
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    assert "\\input" not in "".join(lines)  # in a comment it does nothing
    assert not [line for line in lines if re.search(r"(?<!\\)%", line)]


CHECKS: dict[str, Callable[[str], object]] = {
    ".csv": check_csv,
    ".html": check_html,
    ".md": check_markdown,
    ".tex": check_latex,
    ".svg": ElementTree.fromstring,
    ".json": json.loads,
}


def test_errors_and_lists_of_what_is_left_out(
    poisoned_table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--baseline", ALL.replace("\0", "")], ["--allow", ALL.replace("\0", "")]):
        assert compare.main(["runs", *words]) in (2, 3)
        assert printed(capsys).count("\nerror: ") <= 1


@pytest.fixture
def stranger(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose classes and record are hostile."""
    monkeypatch.chdir(tmp_path)
    run = Path(shutil.copytree(tiny_run, tmp_path / "arm" / "seed0"))
    (run / "classes.json").write_text(json.dumps([ALL, f"b {ALL}"]))
    record = json.loads((run / "result.json").read_text())
    record["environment"] = poisoned(record["environment"])
    words = {"label": RECORDED, "arm": RECORDED}
    (run / "result.json").write_text(json.dumps(record | words))
    Image.new("RGB", (8, 8), "white").save(tmp_path / "a\x1b[31m=1\u202e.png")
    return run


COMMANDS: dict[str, Callable[[Path], int]] = {
    "predict": lambda run: predict.main([str(run), "."]),
    "predict .csv": lambda run: predict.main([str(run), ".", "--out", "out.csv"]),
    "predict .json": lambda run: predict.main([str(run), ".", "--out", "out.json"]),
    "evaluate": lambda run: evaluate.main([str(run), "--out", "out"]),
    "export": lambda run: export.main([str(run), "--format", "safetensors", "--out", "out/"]),
    "inspect": lambda run: inspect.main([str(run), "--no-knockout", "--out", "out"]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_said_of_a_strangers_run(
    command: str, stranger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {*tmp_path.rglob("*")}
    assert COMMANDS[command](stranger) == 0
    printed(capsys)
    texts = [f for f in {*tmp_path.rglob("*")} - before if f.suffix in CHECKS]
    assert bool(texts) == (command != "predict")
    for file in texts:
        text = file.read_bytes().decode()
        assert not steers(text), file.name
        CHECKS[file.suffix](text) if file.suffix != ".md" else check_markdown(text)


@pytest.mark.parametrize(
    "write", [checked, predicted, evaluated, inspected, profiled], ids=lambda f: f.__name__
)
def test_no_table_steers(write: Callable[[str, Path], list[str]], tmp_path: Path) -> None:
    for text in HOSTILE:
        for written in write(text, tmp_path):
            assert not steers(written)
            check_csv(written)


def test_lines_of_senet_train(senet: Senet, tmp_path: Path) -> None:
    """Of its errors, of its log, and of the log in the run's folder."""
    for word in HOSTILE:
        if "\0" in word:  # no argument of a process has one
            continue
        result = senet("data=fake", f"output_dir='{word}'", "model=nothing", f"+x={word}")
        assert result.code == 2
        assert not steers(result.out + result.err)
        assert len(result.err.splitlines()) == 1


def test_log_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("senet_train")
    monkeypatch.setattr(log, "propagate", False)  # pytest would keep the text, and not as UTF-8

    def warn() -> int:
        log.warning("warning: %s", ALL)
        raise InputError(ALL)

    with log_to_file(tmp_path / "run.log"):
        assert exit_code_of(warn) == 2
        log.warning("warning: %s", ALL)
    assert printed(capsys).count("\n") == 2
    text = (tmp_path / "run.log").read_text()
    assert not steers(text)
    assert text.count("\n") == 2


def test_a_console_prints_no_escape_but_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    output_console(width=1000).print(ALL, style="bold")
    shown = printed(capsys)
    assert "[red]markup[/red]" in shown
    assert ":smile:" in shown


@pytest.mark.parametrize(
    "word",
    ["剪纸", "Ärger", "a\u3000b", "a\u00a0b", "\u0645\u06cc\u200c\u062e", "👩\u200d🔬", "=1", ""],
)
def test_other_scripts_are_left_as_they_are(word: str) -> None:
    """The control: what steers nothing is no escape."""
    assert printable(word) == word


def test_without_this_they_would_steer(capsys: pytest.CaptureFixture[str]) -> None:
    """The control: the strings do hold what is looked for."""
    print(ALL.replace("\udc80", ""))
    assert len(steers(capsys.readouterr().out)) >= 7
    say(ALL)
    assert not steers(capsys.readouterr().out)


def test_who_else_prints() -> None:
    """`say` and the consoles of system/console.py are the border."""
    prints = re.compile(r"(?<![\w.])(print\(|Console\()|sys\.std(out|err)\.write")
    files = (ROOT / "senet_train").rglob("*.py")
    found = {f.relative_to(ROOT / "senet_train") for f in files if prints.search(f.read_text())}
    assert {str(file) for file in found} == {
        "system/console.py",
        "system/download.py",  # a bar
        "commands/progress_bar.py",  # likewise
        "training/fit.py",  # likewise
    }
