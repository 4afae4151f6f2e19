"""The terminal at every width: the verdict first, no name broken, and what is left out is said."""

import dataclasses
import re
from functools import cache

import pytest
from markupsafe import escape
from rich.cells import cell_len
from test_reports import accuracies, block, normal, printed, twelve

from senet_train.commands.export.verdict import sentence
from senet_train.compare.comparison import Block, Comparison
from senet_train.compare.render.columns import fitted
from senet_train.compare.render.page import page
from senet_train.compare.render.report import report_of
from senet_train.compare.render.sheets import LEAVING, Sheet, difference_sheet
from senet_train.compare.render.terminal import print_comparison
from senet_train.compare.render.verdicts import answer
from senet_train.figures import Picture

WIDTHS = (60, 80, 100, 140)
P_VALUES = {"Holm p", "TOST p", "p at most", "paired p", "pooled p"}
LETTERS = {"latin": "se_resnet20-r4_", "chinese": "挤压激励网络", "mixed": "größe-残差-"}


@cache
def judged(num_arms: int) -> Block:
    """A control and arms: better, worse, equivalent, undecided and so on."""
    names = [f"a{i}" for i in range(num_arms + 1)]
    runs = accuracies(
        {name: (0.01, 2.0, -2.0, 0.01)[i % 4] for i, name in enumerate(names)}, 5, 0.02
    )
    for name in names[4::4]:
        runs[name] = {seed: top1 + (-1) ** seed for seed, top1 in runs[name].items()}
    return block(runs)


def on_many_images(found: Block) -> Block:
    """The block with no arm whose difference new images may take back."""
    arms = [dataclasses.replace(arm, new_images=(0.01, 4.0)) for arm in found.arms]
    return dataclasses.replace(found, arms=arms)


def name_of(letters: str, width: int, number: int) -> str:
    """A name as wide in a terminal as this, or a cell less; it ends in two figures."""
    text = letters * width
    while cell_len(text) > width - 2:
        text = text[:-1]
    return f"{text}{number:02}"


def with_names(found: Block, letters: str, width: int) -> tuple[Comparison, list[str]]:
    """The block with names of this width, and these names; its first arm lacks two seeds."""
    names = [name_of(letters, width, number) for number in range(len(found.arms))]
    arms = [
        dataclasses.replace(arm, label=name, missing_seeds=[7, 9] if number == 1 else [])
        for number, (arm, name) in enumerate(zip(found.arms, names, strict=True))
    ]
    return Comparison([dataclasses.replace(found, arms=arms)], [], 0.3, []), names


@pytest.mark.parametrize("letters", LETTERS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("num_arms", [1, 5, 11])
def test_no_name_is_broken_and_no_line_too_long(num_arms: int, width: int, letters: str) -> None:
    for name_width in (8, 14, 20, 30, 41, 60):
        comparison, names = with_names(judged(num_arms), LETTERS[letters], name_width)
        lines = printed(comparison, width).splitlines()
        assert [line for line in lines if cell_len(line) > width] == []
        for name, arm in zip(names, comparison.blocks[0].arms, strict=True):
            begins = [i for i, line in enumerate(lines) if line.startswith(name)]
            assert len(begins) >= 3  # means, cost, speed
            if found := arm.difference:
                rows = [" ".join(lines[i : i + 2]) for i in begins]
                interval = f"({found.low:+z.2f} to {found.high:+z.2f})"
                said = f"{found.difference:+z.2f} {interval}  {found.verdict}"
                assert any(said in row for row in rows)
        assert all(is_whole(name, lines) for name in names)


def is_whole(name: str, lines: list[str]) -> bool:
    """Whether no occurrence of the name is broken: joined lines would have that one more."""
    joined = "".join(line.strip() for line in lines)
    return joined.count(name) == sum(line.count(name) for line in lines)


def test_a_broken_name_would_be_noticed() -> None:
    assert is_whole("shuffled_resnet20-r4", ["of shuffled_resnet20-r4", "  shuffled_resnet20-r4"])
    assert not is_whole(
        "shuffled_resnet20-r4", ["of shuffled_resnet20-r4", "  shuffled_resnet", "20-r4"]
    )


def test_80_columns_and_5_seeds_show_verdict_and_cost() -> None:
    found = judged(3)
    arms = [
        dataclasses.replace(arm, label="shuffled_resnet20-r4" if i else "resnet20")
        for i, arm in enumerate(found.arms[:2])
    ]
    text = printed(Comparison([dataclasses.replace(found, arms=arms)], [], 0.3, []), 80)
    [line, *_] = [line for line in text.splitlines() if line.startswith("shuffled_resnet20-r4")]
    assert re.search(r"\+1\.9\d \(\+.* to \+.*\)  better +5 of 5 +\+0\.02 % +\+0 %$", line)


@pytest.mark.parametrize("width", [60, 100])
def test_the_order(width: int) -> None:
    """The answer, the verdicts, the means, the costs; p-values behind all other tables."""
    text = printed(normal(), width)
    parts = ["Which of 2 arms beat", "Verdicts", "In words", "How good?", "At what cost?"]
    parts += ["How fast?", "Against the control", "Missing seeds", "Left out"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_p_values_leave_first_and_never_the_difference() -> None:
    sheet = difference_sheet(judged(5))
    shown = [{sheet.columns[i] for i in fitted(sheet, width).shown} for width in range(140, 20, -1)]
    for columns in shown:
        left_out = [name for name in LEAVING if name not in columns]
        assert left_out == list(LEAVING[: len(left_out)])
        assert {"arm", "points"} <= columns
        assert P_VALUES.isdisjoint(columns) or {"n", "95 % interval", "on new images"} <= columns
    assert shown[0] == set(sheet.columns)
    assert shown[-1] < shown[0] - P_VALUES


def test_what_is_left_out_is_said_and_is_on_the_page() -> None:
    text = " ".join(printed(normal(), 60).split())
    said = re.search(r"60 columns have no room for (.*)\. A wider .* page that --out DIR w", text)
    assert said
    tables = dict(re.findall(r"([A-Z][\w ?]+?) \(([^)]*)\)", said[1]))
    assert tables["Verdicts"] == "params; mult-adds; time"
    assert P_VALUES - set(tables["Against the control"].split("; ")) == set()
    assert "have no room" not in printed(normal(), 400)
    forest = Picture("forest-1", "caption", b"", '<svg viewBox="0 0 1 1"></svg>')
    html = page(report_of(normal()), [[forest]], [], title="t")
    for name in [column for columns in tables.values() for column in columns.split("; ")]:
        assert f"{escape(name)}</th>" in html


def test_columns_without_an_order_leave_from_the_right() -> None:
    sheet = Sheet("t", ["layer", "a", "b", "c"], [["layer1", "1" * 9, "2" * 9, "3" * 9]])
    kept = {width: fitted(sheet, width).shown for width in (39, 38, 28, 17, 5)}
    assert kept == {39: [0, 1, 2, 3], 38: [0, 1, 2], 28: [0, 1, 2], 17: [0, 1], 5: [0, 1]}


def test_a_pipe_gets_whole_names_too(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    comparison, names = with_names(judged(11), LETTERS["latin"], 60)
    print_comparison(comparison)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 110
    assert all(out.count(f"\n{name}") >= 3 for name in names)


def test_equal_words_are_said_once() -> None:
    words = [line.words for line in report_of(twelve()).sections[0].in_words]
    text = " ".join(printed(twelve(), 100).split())
    assert len(set(words)) < len(words)
    assert [text.count(f"{each} ") for each in set(words)] == [1] * len(set(words))


def test_the_answer_counts_the_verdicts() -> None:
    found = judged(5)
    given = [arm.difference.verdict for arm in found.arms if arm.difference]
    assert given == ["better", "worse", "equivalent", "undecided", "better"]
    expected = "2 are better, a2 is worse, a3 is equivalent, a4 is undecided"
    assert answer(found) == f"Which of 5 arms beat a0? {expected}, on these test images."
    assert answer(on_many_images(found)) == f"Which of 5 arms beat a0? {expected}."
    assert answer(judged(1)) == "Does a1 beat a0? Yes, it is better on these test images."
    assert answer(on_many_images(judged(1))) == "Does a1 beat a0? Yes, it is better."
    for one, few in ((judged(1), True), (on_many_images(judged(1)), False)):
        card = sentence(one.arms[1], one)  # of an exported file
        assert "**better" in card
        assert ("; this holds for these test images: on new ones" in card) is few
    seed = block({"plain": {0: 90.0}, "se": {0: 91.0}, "eca": {0: 89.0}})
    assert answer(seed) == "Which of 2 arms beat plain? Both have no verdict."
    alone = dataclasses.replace(found, arms=found.arms[:1])
    assert answer(alone) == "There is no arm to compare with a0."
