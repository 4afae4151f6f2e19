"""A table of scores, `senet-compare table.csv`: verdicts, fairness, and every way to be wrong."""

import csv
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare_runs import Table, compared, table, write_run

from senet_train.commands.compare import main
from senet_train.compare.score_table import read_scores
from senet_train.compare.statistics.verdict import judge
from senet_train.errors import InputError
from senet_train.system.written_tables import read_lines

pytestmark = pytest.mark.usefixtures("unrendered")  # tests/compare/test_pictures.py is of pictures

Compare = Callable[..., tuple[int, str, str]]
HEADER = "arm,seed,score,lr,dataset"
SETTINGS = "0.1,cifar10"


@pytest.fixture
def compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Compare:
    """`compare(text, "--margin", "1")` on table.csv of this text; code, output, errors."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(content: str | bytes, *arguments: str) -> tuple[int, str, str]:
        whole = content.encode() if isinstance(content, str) else content
        Path("table.csv").write_bytes(whole)
        return compared(capsys, "table.csv", *arguments)

    return run


def text_of(scores: Table, settings: str = SETTINGS) -> str:
    rows = [f"{arm},{s},{v!r},{settings}" for arm, runs in scores.items() for s, v in runs.items()]
    return "\n".join([HEADER, *rows]) + "\n"


def result(folder: str = "out") -> dict[str, Any]:
    return json.loads((Path(folder) / "comparison.json").read_text())


def differences(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Label -> what is said of the arm against its control, but its folder and its images."""
    arms = (arm for block in found["blocks"] for arm in block["arms"] if arm["difference"])
    return {arm["label"]: {**arm["difference"], "arm": "", "dispersion": None} for arm in arms}


def same(one: object, other: object) -> bool:
    """Whether two trees are equal, figures up to rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-6, abs=1e-9)
    return one == other


def scores_of(key: int, num_seeds: int) -> Table:
    """Arms of which one is far above the control, one far below, and one lacks a seed."""
    found = table(3, num_seeds, key=key)
    found["a1"] = {seed: value + 2 for seed, value in found["a1"].items()}
    found["a2"] = {seed: value - 2 for seed, value in found["a2"].items()}
    del found["a3"][1]
    return found


CASES = [(0, 3), (1, 5), (2, 8), (3, 12), (4, 2)]


@pytest.mark.parametrize(("key", "num_seeds"), CASES)
def test_the_verdicts_are_those_of_the_rule_on_these_numbers(
    compare: Compare, key: int, num_seeds: int
) -> None:
    scores = scores_of(key, num_seeds)
    code, _, err = compare(text_of(scores), "--out", "out")
    assert (code, err) == (0, "")
    expected = {found.arm: found for found in judge(scores, "none")}
    found = differences(result())
    assert found.keys() == expected.keys()
    for arm, difference in expected.items():
        own = {key: getattr(difference, key) for key in found[arm]}
        assert same(found[arm], {**own, "arm": "", "advice": list(own["advice"])})
    if num_seeds >= 5:
        assert [found[arm]["verdict"] for arm in ("a1", "a2")] == ["better", "worse"]


@pytest.mark.parametrize(("key", "num_seeds"), CASES)
def test_run_folders_of_the_same_scores_say_the_same(
    compare: Compare, tmp_path: Path, key: int, num_seeds: int
) -> None:
    scores = scores_of(key, num_seeds)
    assert compare(text_of(scores), "--out", "out")[0] == 0
    for arm, runs in scores.items():
        for seed, value in runs.items():
            write_run(tmp_path / "runs", arm, seed, value / 100, changes={"attention.name": arm})
    assert main(["runs", "--out", "of_runs"]) == 0
    assert same(differences(result()), differences(result("of_runs")))
    scores["a1"][0] += 0.1  # what is not the same is told apart
    assert compare(text_of(scores), "--out", "out")[0] == 0
    assert not same(differences(result()), differences(result("of_runs")))


def test_margin_and_baseline_are_used(compare: Compare) -> None:
    scores = scores_of(1, 5)
    compare(text_of(scores), "--out", "out", "--baseline", "a1", "--margin", "5")
    expected = {found.arm: found.words for found in judge(scores, "a1", margin=5)}
    assert {arm: found["words"] for arm, found in differences(result()).items()} == expected
    assert "equivalent" in " ".join(expected.values()) or "worse" in " ".join(expected.values())
    assert result()["margin"] == 5


def test_looks_take_seeds_in_the_order_of_the_rows(compare: Compare) -> None:
    """A row at the end never changes what an earlier look has shown."""
    control = {seed: 90.0 + seed / 10 for seed in (7, 3, 9, 1)}
    arm = {7: 91.0, 3: 90.5, 9: 91.2, 1: 99.0}
    first = {"none": control, "a": {seed: arm[seed] for seed in (7, 3, 9)}}
    compare(text_of(first), "--out", "out")
    before = differences(result())["a"]
    compare(text_of({"none": control, "a": arm}), "--out", "out")
    after = differences(result())["a"]
    assert (before["look"], after["look"], after["num_seeds"]) == (3, 3, 4)
    assert after["p"] == before["p"]
    by_number = {"none": dict(sorted(control.items())), "a": dict(sorted(arm.items()))}
    compare(text_of(by_number), "--out", "out")
    assert differences(result())["a"]["p"] != before["p"]


def test_what_is_not_known_is_said_once_and_first(compare: Compare) -> None:
    _, out, _ = compare(text_of(scores_of(1, 5)), "--out", "out")
    assert out.startswith("A table cannot prove")
    for words in ("test images", "equal seeds pair", "data, code", "a plan came first"):
        assert words in " ".join(out.split())
    assert out.count("cannot prove") == 1
    for name in ("comparison.md", "comparison.tex", "methods.md", "index.html"):
        assert "cannot prove" in (Path("out") / name).read_text()
    assert "no plan: tested at 3, 5, 8, 12, 20 seeds" in " ".join(out.split())
    assert "lr 0.1; dataset cifar10" in out


NOT_RECORDED = ("params", "mult", "images/s", "inference", "val score", "best - last", "epoch")


def test_pages_show_nothing_that_a_table_has_not(compare: Compare) -> None:
    """No cost, no speed, no validation and no curve, neither as a figure nor as a zero."""
    code, out, _ = compare(text_of(scores_of(1, 5)), "--out", "out")
    assert code == 0
    names = {path.name for path in Path("out").iterdir()}
    pages = {"index.html", "comparison.md", "comparison.csv", "comparison.tex", "comparison.json"}
    assert names >= {*pages, "methods.md", "forest-1.png", "forest-1.svg"}
    assert {name for name in names if name.endswith(".svg")} == {"forest-1.svg"}
    texts = [(Path("out") / name).read_text() for name in names if name.endswith((".md", ".tex"))]
    texts += [(Path("out") / "index.html").read_text().partition("</style>")[2], out]
    assert [w for w in NOT_RECORDED for text in texts if w in text.replace("checklist", "")] == []
    [block] = result()["blocks"]
    assert [arm["cost"] for arm in block["arms"]] == [None] * 4
    header = (Path("out") / "comparison.csv").read_text().splitlines()[0]
    assert "parameters" not in header
    assert "val_" not in header


def test_run_folders_show_what_a_table_has_not(tmp_path: Path) -> None:
    """So the words that are looked for above are those of the pages."""
    for arm in ("none", "se"):
        for seed in range(3):
            top1 = 0.7 + seed / 100
            write_run(tmp_path / "runs", arm, seed, top1, changes={"attention.name": arm})
    out = tmp_path / "out"
    assert main([str(tmp_path / "runs"), "--out", str(out)]) == 0
    text = (out / "comparison.md").read_text().replace("top-1", "score")
    assert [word for word in NOT_RECORDED if word not in text] == []
    assert (out / "parameters-1.svg").exists()


PLAIN = [
    ["arm", "seed", "score", "lr"],
    *[["none", str(seed), f"{90 + seed}.5", "0.1"] for seed in range(3)],
    *[["s e", str(seed), f"{92 + seed}.25", "0.1"] for seed in range(3)],
]


def joined(separator: str = ",", end: str = "\n", rows: Iterable[list[str]] = PLAIN) -> str:
    return end.join(separator.join(row) for row in rows) + end


COMMAS = [[cell.replace(".", ",") for cell in row] for row in PLAIN]
WRITTEN = {
    "byte order mark": b"\xef\xbb\xbf" + joined().encode(),
    "semicolons": joined(";"),
    "tabs": joined("\t"),
    "decimal commas": joined(";", rows=COMMAS).replace("0,1", "0.1"),
    "decimal commas in quotes": joined(rows=[[f'"{c}"' for c in r] for r in COMMAS]).replace(
        "0,1", "0.1"
    ),
    "CRLF": joined(end="\r\n"),
    "CR": joined(end="\r"),
    "quotes": joined(rows=[[f'"{cell}"' for cell in row] for row in PLAIN]),
    "spaces": joined(" , "),
    "no end": joined().rstrip(),
    "empty lines": "\n" + joined().replace("\n", "\n\n"),
    "comments above": '# of our cluster, "2026\n\n# seeds 0 to 2\n' + joined(),
    "empty rows and columns": joined(rows=[[*row, "", ""] for row in [*PLAIN, [""] * 4]]),
    "columns in another order": joined(rows=[row[::-1] for row in PLAIN]),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_spreadsheets_write_is_read(compare: Compare, name: str) -> None:
    assert compare(joined(), "--out", "plain")[0] == 0
    code, _, err = compare(WRITTEN[name], "--out", "out")
    assert (code, err) == (0, "")
    assert result() == result("plain")
    assert result()["blocks"][0]["arms"][1]["test"]["mean"] == pytest.approx(93.25)


GOOD = joined()


def changed(row: int, column: int, cell: str) -> str:
    rows = [list(each) for each in PLAIN]
    rows[row][column] = cell
    return joined(rows=rows)


BAD = {
    "empty": ("", "table.csv is empty: its first line names the columns arm, seed, score"),
    "blank": ("\n \n", "table.csv is empty"),
    "header only": ("arm,seed,score\n", "table.csv has no row below its header"),
    "no column": (
        GOOD.replace("score", "top1"),
        "table.csv line 1: it has no column score, and has arm, seed, top1, lr: name it there",
    ),
    "no header": (joined(rows=PLAIN[1:]), "line 1: it has no column arm"),
    "a column twice": (GOOD.replace("lr", "arm"), "line 1: it has the column arm twice"),
    "no name": (
        joined(rows=[["", *PLAIN[0]], *[[str(n), *row] for n, row in enumerate(PLAIN[1:])]]),
        "line 2: column 1 has no name: name it in line 1, or remove it",
    ),
    "text": (changed(2, 2, "good"), "line 3: a score is a number, in percent: got good"),
    "nan": (changed(2, 2, "nan"), "line 3: a score is a number, in percent: got nan"),
    "infinite": (changed(2, 2, "inf"), "line 3: a score is a number"),
    "no score": (changed(2, 2, ""), "line 3: a score is a number, in percent: got ;"),
    "percent sign": (changed(2, 2, "91 %"), "line 3: a score is a number"),
    "thousands": (changed(2, 2, '"1,091.5"'), "line 3: a score is a number"),
    "above 100": (changed(2, 2, "100.01"), "line 3: scores are percent, 0 to 100: got 100.01"),
    "below 0": (changed(2, 2, "-0.5"), "line 3: scores are percent, 0 to 100: got -0.5"),
    "fractions": (
        joined(
            rows=[
                [a, s, f"0.{v.replace('.', '')}" if n else v, lr]
                for n, (a, s, v, lr) in enumerate(PLAIN)
            ]
        ),
        "table.csv: scores are percent, 0 to 100, and the highest is 0.9425: if they are "
        "fractions, multiply them by 100",
    ),
    "no arm": (changed(4, 0, " "), "line 5: it has no arm"),
    "no block": (joined(rows=[[*PLAIN[0], "block"], [*PLAIN[1], ""]]), "line 2: it has no block"),
    "seed of text": (changed(4, 1, "one"), "line 5: a seed is a whole number, 0 or more: got one"),
    "seed with decimals": (changed(4, 1, "1.0"), "line 5: a seed is a whole number"),
    "seed below 0": (changed(4, 1, "-1"), "line 5: a seed is a whole number"),
    "seed in other digits": (changed(4, 1, "\u0661"), "line 5: a seed is a whole number"),
    "repeated": (
        changed(6, 1, "01"),
        "line 7: s e has seed 1 in line 6 already: keep one of them",
    ),
    "too few cells": (GOOD + "se,9,91\n", "line 8: it has 3 cells and the header 4"),
    "a decimal comma": (
        changed(2, 2, "91,5"),
        "line 3: it has 5 cells and the header 4: write every cell, an empty one too; a cell with "
        "the separator in it, such as 91,5, needs quotes",
    ),
    "Latin-1": (changed(2, 0, "n\u00e9").encode("latin-1"), "line 3: it is not in UTF-8: save it"),
    "UTF-16": (GOOD.encode("utf-16"), "line 1: it is UTF-16, or no text: save it anew as CSV"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "line 1: it is UTF-16, or no text"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", "no text"),
    "an open quote": (changed(2, 0, '"none'), "line 3: unexpected end of data: mend the quotes"),
    "an endless cell": (changed(2, 0, "n" * 200_000), "line 3: field larger than field limit"),
    "many arms": (
        "arm,seed,score\n" + "".join(f"a{n},0,91\n" for n in range(201)),
        "has 201 arms, and a table at most 200: divide it into several files",
    ),
    "no control": (
        GOOD.replace("none", "plain"),
        "table.csv has no arm with a name of a control: name the control with --baseline ARM, one "
        "of plain, s e",
    ),
    "two controls": (GOOD.replace("s e", "control"), "has the arms none, control: name the contr"),
    "one arm": (joined(rows=PLAIN[:4]), "table.csv has the arm none alone: add an arm"),
    "no shared seed": (
        joined(rows=[*PLAIN[:2], *PLAIN[5:]]),
        "none has a seed of none: add rows of equal seeds",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables(compare: Compare, tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    code, out, err = compare(content, "--out", "out")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv"}


OPTIONS = {
    "baseline": (
        ["--baseline", "nothing"],
        "table.csv has no arm nothing: choose --baseline among",
    ),
    "attention": (["--baseline", "attention=none"], "has no arm attention=none"),
    "allow": (["--allow", "rate"], "--allow rate: table.csv has no such setting, there are: lr"),
    "allow seed": (["--allow", "seed"], "has no such setting"),
    "margin": (["--margin", "0"], "the margin is points of accuracy above 0"),
    "tensorboard": (["--tensorboard", "board"], "--tensorboard shows curves, and a table has none"),
    "plan": (["--plan"], "--plan writes lines of senet-train"),
    "two tables": (["table.csv"], "a table is compared alone, got table.csv, table.csv"),
    "runs too": (["runs"], "a table is compared alone, got table.csv, runs"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_options(compare: Compare, tmp_path: Path, name: str) -> None:
    arguments, message = OPTIONS[name]
    code, out, err = compare(GOOD, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv"}
    assert compare(GOOD)[0] == 0


@pytest.mark.parametrize("name", ["none", "baseline", "control", "attention=none"])
def test_a_control_is_known_by_its_name(compare: Compare, name: str) -> None:
    assert compare(GOOD.replace("none", name), "--out", "out")[0] == 0
    assert result()["blocks"][0]["control"] == name


def test_of_two_controls_one_is_named(compare: Compare) -> None:
    both = GOOD.replace("none", "attention=none").replace("s e", "none")
    assert compare(both)[0] == 2
    assert compare(both, "--baseline", "attention=none", "--out", "out")[0] == 0
    assert result()["blocks"][0]["control"] == "attention=none"


def rows_of(arm: str, *settings: str, block: str = "b") -> list[list[str]]:
    return [[block, arm, str(n), f"{90 + n}.{len(arm)}", *settings] for n in range(3)]


NAMES = ["block", "arm", "seed", "score", "lr", "max epochs"]
UNFAIR = {
    "arms": (
        [NAMES, *rows_of("none", "0.1", "9"), *rows_of("se", "0.2", "9")],
        "block b of table.csv: the arms differ in lr (0.1, 0.2): ",
        ["--allow", "lr"],
    ),
    "two settings": (
        [NAMES, *rows_of("none", "0.1", "9"), *rows_of("se", "0.2", "")],
        "differ in lr (0.1, 0.2); max epochs (9, not set): ",
        ["--allow", "lr", "--allow", "max epochs"],
    ),
    "seeds of an arm": (
        [NAMES, *rows_of("none", "0.1", "9"), *rows_of("se", "0.1", "9")[:2],
         ["b", "se", "2", "91", "0.1", "8"]],
        "block b of table.csv: the seeds of se differ in max epochs (9, 8): ",
        ["--allow", "max epochs"],
    ),
    "another block": (
        [NAMES, *rows_of("none", "0.1", "9"), *rows_of("se", "0.1", "9"),
         *rows_of("none", "0.3", "9", block="c"), *rows_of("se", "0.1", "9", block="c")],
        "block c of table.csv: the arms differ in lr (0.3, 0.1): ",
        ["--allow", "lr"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFAIR)
def test_an_unfair_table_is_refused(compare: Compare, tmp_path: Path, name: str) -> None:
    rows, message, allowed = UNFAIR[name]
    code, out, err = compare(joined(rows=rows), "--out", "out")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert message in err
    assert " ".join(allowed).replace("max epochs", "'max epochs'") in err
    assert not (tmp_path / "out").exists()
    code, out, _ = compare(joined(rows=rows), "--out", "out", *allowed)
    assert code == 0
    assert f"Runs may differ in {', '.join(allowed[1::2])}, as asked" in out
    if len(allowed) > 2:  # all of them must be allowed
        assert compare(joined(rows=rows), *allowed[:2])[0] == 3


def test_what_was_allowed_to_differ_is_listed(compare: Compare) -> None:
    rows = [NAMES, *rows_of("none", "0.1", "9"), *rows_of("se", "0.2", "9")]
    rows[-1][-1] = "8"
    allowed = ["--allow", "lr", "--allow", "max epochs"]
    _, out, _ = compare(joined(rows=rows), "--out", "out", *allowed)
    [block] = result()["blocks"]
    assert block["varied"] == {
        "lr": {"0.1": ["none"], "0.2": ["se"]},
        "max epochs": {"9": ["none", "se"], "8": ["se"]},
    }
    assert (block["common"], block["differ_in"]) == ({}, ["arm", "lr", "max epochs"])
    assert block["arms"][1]["settings"] == "lr=0.2"
    assert "runs of se differ among themselves in max epochs" in out


def test_blocks_have_their_own_control_and_verdicts(compare: Compare) -> None:
    first, second = scores_of(1, 5), scores_of(2, 8)
    rows = [["block", "arm", "seed", "score"]]
    for block, scores in (("x", first), ("y", second)):
        rows += [[block, a, str(s), repr(v)] for a, runs in scores.items() for s, v in runs.items()]
    assert compare(joined(rows=rows), "--out", "out")[0] == 0
    found = result()["blocks"]
    assert [block["title"] for block in found] == ["x", "y"]
    for block, scores in zip(found, (first, second), strict=True):
        expected = {each.arm: each.words for each in judge(scores, "none")}
        words = {a["label"]: a["difference"]["words"] for a in block["arms"] if a["difference"]}
        assert words == expected
    lonely = [*rows, ["z", "se", "0", "91"]]
    assert (
        "block z of table.csv has no arm with a name of a contr" in compare(joined(rows=lonely))[2]
    )


HOSTILE = [
    "=HYPERLINK(1)",
    "@sum",
    "-a",
    "+1+cmd",
    "<script>",
    "[link](x)",
    "$x$",
    "\x1b[2Jx",
    "\u202ea",
]


def test_hostile_names_are_obeyed_nowhere(compare: Compare) -> None:
    rows = [["block", *PLAIN[0]]]
    for arm in ["none", *HOSTILE]:
        rows += [[HOSTILE[0], arm, str(n), f"{91 + n}.5", HOSTILE[4]] for n in range(3)]
    code, out, _ = compare(joined(rows=rows), "--out", "out")
    assert code == 0
    assert "\x1b" not in out
    assert "\u202e" not in out
    with open("out/comparison.csv", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=HYPERLINK(1)" in cells
    numbers = [c for c in cells if c.startswith(tuple("=+-@"))]
    assert all(np.isfinite(float(cell)) for cell in numbers)
    page = Path("out/index.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert r"\[link\](x)" in Path("out/comparison.md").read_text()


def test_a_long_table_is_read(compare: Compare) -> None:
    """100,000 rows; what is listed of them stays short."""
    generator = np.random.default_rng(0)
    scores = {arm: generator.normal(80, 1, 10_000) for arm in ["none", *"abcdefghi"]}
    scores["a"] += 7
    rows = [f"{arm},{3 * n},{v:.3f}" for arm, runs in scores.items() for n, v in enumerate(runs)]
    code, out, _ = compare("\n".join(["arm,seed,score", *rows]))
    assert code == 0
    expected = scores["a"].round(3) - scores["none"].round(3)
    assert f"{expected.mean():+.2f}" in out
    assert max(map(len, out.splitlines())) <= 160
    assert len(out) < 10_000


def test_other_files(compare: Compare, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A link that the user names is followed; a pipe is not waited for; a folder is a folder."""
    assert compare(GOOD)[0] == 0
    (tmp_path / "link.csv").symlink_to("table.csv")
    assert main(["link.csv"]) == 0
    os.mkfifo("pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "table.txt").write_text(GOOD)
    capsys.readouterr()
    for name, message in {
        "pipe.csv": "it is no regular file",
        "gone.csv": "gone.csv is not there: name a CSV file, or a folder with runs",
        "loop.csv": "loop.csv",
        "folder.csv": "folder.csv holds no run",
        "table.txt": "table.txt is no folder: give one that holds runs, such as outputs, or a .csv",
    }.items():
        assert main([name]) == 2
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        assert message in printed.err


def test_lines_are_those_of_an_editor(tmp_path: Path) -> None:
    """A cell with a line break in it makes a row of two lines."""
    (tmp_path / "t.csv").write_text('# "\narm,seed\n"a\nb",1\n\nc,2\n')
    lines = read_lines(tmp_path / "t.csv", 1000, ["arm", "seed"])
    assert [(line.number, line.cells) for line in lines] == [
        (2, ["arm", "seed"]),
        (3, ["a\nb", "1"]),
        (6, ["c", "2"]),
    ]


def test_any_damage_is_read_or_refused(tmp_path: Path) -> None:
    """With bytes changed and cut out at random; it ends in no other way."""
    generator = np.random.default_rng(0)
    ends = {"read": 0, "refused": 0}
    odd = [b'"', b",", b";", b"\n", b"\0", b"\xff", b"-", b"e", b"nan", b"9" * 30, b"\xef\xbb\xbf"]
    for _ in range(1500):
        content = bytearray(GOOD.encode())
        for place in generator.integers(0, len(content), generator.integers(1, 4)):
            cut = int(generator.integers(0, 4))
            content[place : place + cut] = odd[generator.integers(len(odd))] * (cut != 3)
        (tmp_path / "t.csv").write_bytes(content)
        try:
            table = read_scores(tmp_path / "t.csv")
        except InputError:  # and nothing else
            ends["refused"] += 1
        else:
            assert all(0 <= row.score <= 100 and row.arm for row in table.rows)
            ends["read"] += 1
    assert min(ends.values()) > 100
