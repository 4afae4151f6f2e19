"""What senet-compare prints and writes: the data, all of it, and nothing that they do not hold."""

import csv
import dataclasses
import io
import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from senet_train.compare.comparison import Arm, ArmCost, Block, Comparison, LeftOut, Spread
from senet_train.compare.judging import STARTED, without_plan
from senet_train.compare.render.cells import arm_names, shortened
from senet_train.compare.render.exports import plain
from senet_train.compare.render.latex import escaped as latex_escaped
from senet_train.compare.render.report import report_of
from senet_train.compare.render.sheets import VERDICT_NAMES
from senet_train.compare.render.terminal import print_comparison
from senet_train.compare.statistics.contrast import arm_interval
from senet_train.compare.statistics.difference import Difference
from senet_train.compare.statistics.verdict import judge
from senet_train.compare.write_reports import write_reports
from senet_train.figures import OF_PAGE
from senet_train.runs.metrics import TOP1

HOSTILE = r"<b>&_%$x$#{}\ |*[link](x) [red]"
VOID = {"meta", "br", "link", "img", "hr", "input"}


def cost(extra: int = 0, *, shared: bool = False) -> ArmCost:
    return ArmCost(
        parameters=272_474 + extra,
        attention_parameters=extra,
        multiply_adds=40_813_000 + 3 * extra,
        attention_multiply_adds=3 * extra,
        images_per_second=Spread(1234.5 - extra / 50, 1200.25, 1260.0),
        inference_ms={"1": Spread(1.234567, 1.2, 1.3), "128": Spread(61.25, 60.0, 66.5)},
        shared_machine=shared,
    )


def curves(accuracies: dict[int, float], num_epochs: int = 6) -> dict[int, list[float]]:
    return {
        seed: [float(last - 30 * 0.5**epoch) for epoch in range(num_epochs)]
        for seed, last in accuracies.items()
    }


def arm(
    label: str, accuracies: dict[int, float], found: Difference | None, settings: str, extra: int
) -> Arm:
    mean = arm_interval(list(accuracies.values()))
    return Arm(
        label=label,
        folder=f"{label}-folder",
        settings=settings,
        seeds=list(accuracies),
        missing_seeds=[],
        test=mean,
        val=mean._replace(mean=mean.mean + 0.5),
        val_last=mean._replace(mean=mean.mean + 0.4),
        difference=found,
        new_images=(-0.25, 0.75) if found and len(accuracies) > 1 else None,
        cost=cost(extra),
        curves=curves(accuracies),
        paper="",
    )


def block(accuracies: dict[str, dict[int, float]]) -> Block:
    """The first arm is the control; verdicts are the real ones."""
    control, *others = accuracies
    found = {d.arm: d for d in judge(accuracies, control)} if others else {}
    arms = [
        arm(
            label,
            runs,
            found.get(label),
            "",
            64 * i,
        )
        for i, (label, runs) in enumerate(accuracies.items())
    ]
    return Block(
        title="resnet20 on cifar10, 6 epochs",
        score=TOP1,
        common={
            "data": "cifar10",
            "recipe": "sgd, 6 epochs",
            "machine": "16 cores",
            "torch": "2.15",
        },
        differ_in=["attention.name", "attention.ratio"],
        control=f"{control}-folder",
        arms=arms,
        notes=[],
        judged_by=[without_plan([arm.folder for arm in arms[1:]], STARTED)] if others else [],
    )


def accuracies(
    shifts: dict[str, float], num_seeds: int, noise: float
) -> dict[str, dict[int, float]]:
    generator = np.random.default_rng(0)
    seed_effect = generator.normal(0, 0.3, num_seeds)
    return {
        label: {
            seed: float(90 + shift + seed_effect[seed] + generator.normal(0, noise))
            for seed in range(num_seeds)
        }
        for label, shift in shifts.items()
    }


@cache
def normal() -> Comparison:
    """Three arms of five seeds: one better, one equivalent."""
    shifts = {"resnet20": 0.0, "se_resnet20-r4": 2.0, "eca_resnet20": 0.02}
    found = block(accuracies(shifts, 5, 0.02))
    control, se, eca = found.arms
    se = dataclasses.replace(
        se, paper="22.28 % error (ImageNet, ResNet-50)", cost=cost(64, shared=True)
    )
    eca = dataclasses.replace(eca, missing_seeds=[5, 6])
    return Comparison(
        [dataclasses.replace(found, arms=[control, se, eca], notes=["sk was skipped: no room"])],
        [LeftOut(Path("outputs/a/b/seed7"), "diverged at epoch 3")],
        0.3,
        ["optim.lr"],
    )


@cache
def hostile() -> Comparison:
    return Comparison([block(accuracies({"resnet20": 0, HOSTILE: 0.1}, 5, 0.3))], [], 0.3, [])


@cache
def one_seed() -> Comparison:
    return Comparison([block(accuracies({"resnet20": 0, "se": 1, "eca": 2}, 1, 0.3))], [], 0.3, [])


@cache
def twelve() -> Comparison:
    """Many arms, long names, one of two seeds; a second block with the control alone."""
    shifts = {f"se_resnet20-r{i}-squeeze_max-pre-stages_34": 0.1 * (i % 7) for i in range(12)}
    runs = accuracies(shifts, 5, 0.2)
    last = list(runs)[-1]
    runs[last] = {seed: runs[last][seed] for seed in (0, 1)}
    alone = block(accuracies({"resnet20": 0.0}, 5, 0.1))
    return Comparison([block(runs), alone], [], 0.3, [])


CASES = {"normal": normal, "hostile": hostile, "one_seed": one_seed, "twelve": twelve}


@dataclasses.dataclass
class Written:
    comparison: Comparison
    folder: Path
    paths: list[Path]

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture(scope="module", params=CASES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    comparison = CASES[request.param]()
    folder = tmp_path_factory.mktemp("reports") / "new" / request.param
    return Written(comparison, folder, write_reports(comparison, folder))


def printed(comparison: Comparison, width: int = 100) -> str:
    file = io.StringIO()
    print_comparison(comparison, Console(file=file, width=width))
    return file.getvalue()


def arms_of(comparison: Comparison) -> Iterator[tuple[Block, Arm]]:
    return ((block, arm) for block in comparison.blocks for arm in block.arms)


def test_all_files_are_there_and_returned(written: Written) -> None:
    names = {path.name for path in written.paths}
    assert names == {path.name for path in written.folder.iterdir()}
    assert len(names) == len(written.paths)
    kinds = ("index.html", "comparison.md", "comparison.csv", "comparison.tex", "comparison.json")
    assert {
        *kinds,
        "methods.md",
        "checklist.md",
        "forest-1.png",
        "curves-1.svg",
        "parameters-1.svg",
    } <= names
    assert written.paths[0].name == "index.html"


def test_csv_has_every_number_unrounded(written: Written) -> None:
    rows = list(csv.DictReader(io.StringIO(written.text("comparison.csv"))))
    arms = list(arms_of(written.comparison))
    assert len(rows) == len(arms)
    for row, (block, arm) in zip(rows, arms, strict=True):
        assert (row["block"], row["arm"], row["paper"]) == (block.title, arm.label, arm.paper)
        expected = {
            "test_mean": arm.test.mean,
            "test_sd": arm.test.sd,
            "val_last_high": arm.val_last.high,
            "difference": arm.difference and arm.difference.difference,
            "difference_low": arm.difference and arm.difference.low,
            "holm_p": arm.difference and arm.difference.p,
            "paired_p": arm.difference and arm.difference.paired_p,
            "new_images_high": arm.new_images and arm.new_images[1],
            "parameters": arm.cost.parameters,
            "images_per_second_low": arm.cost.images_per_second.low,
            "inference_ms_128_median": arm.cost.inference_ms["128"].median,
        }
        for column, value in expected.items():
            assert (float(row[column]) if row[column] else None) == value, column
        assert row["is_control"] == str(arm.difference is None)
        assert row["verdict"] == (arm.difference.verdict if arm.difference else "")


def test_json_is_the_comparison(written: Written) -> None:
    text = written.text("comparison.json")
    assert json.loads(text, parse_constant=pytest.fail) == plain(written.comparison)
    block = json.loads(text)["blocks"][0]
    assert block["arms"][0]["test"]["mean"] == written.comparison.blocks[0].arms[0].test.mean
    assert block["arms"][0]["curves"]["0"] == written.comparison.blocks[0].arms[0].curves[0]


def test_json_has_no_nan() -> None:
    assert plain({"a": [float("nan"), float("inf"), 1.5]}) == {"a": [None, None, 1.5]}


def test_markdown_tables_have_a_row_for_every_arm(written: Written) -> None:
    lines = written.text("comparison.md").splitlines()
    tables = [i for i, line in enumerate(lines) if line.startswith("| :--")]
    counts = []
    for start in tables:
        rows = []
        for line in lines[start + 1 :]:
            if not line.startswith("|"):
                break
            rows.append(line)
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in [lines[start - 1], *rows]}
        assert len(cells) == 1
        counts.append(len(rows))
    expected = []
    for block in written.comparison.blocks:
        compared = sum(arm.difference is not None for arm in block.arms)
        judged = [compared] if compared else []
        expected += [*judged, *3 * [len(block.arms)], *judged]
    assert counts == expected


class Page(HTMLParser):
    """What a browser would load, and whether tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.seen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.open += [] if tag in VOID else [tag]
        for name, value in attrs:
            self.ids += [str(value)] if name == "id" else []
            if name in ("src", "href", "xlink:href", "srcset", "data"):
                self.loads.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag) if tag not in VOID else None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen += data


def test_page_is_whole_and_loads_nothing(written: Written) -> None:
    text = written.text("index.html")
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert all(link.startswith("#") for link in page.loads)
    assert {link[1:] for link in page.loads} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "http" not in text.replace("http-equiv", "")
    assert "@import" not in text
    assert not page.tags["script"] + page.tags["b"] + page.tags["img"]
    assert page.tags["svg"] == sum(path.suffix == ".svg" for path in written.paths)
    for colour in OF_PAGE:  # drawn in the page's own, which a dark page changes
        assert f": {colour}" not in re.sub(r"(?s)<style>.*?</style>", "", text)
    for block in written.comparison.blocks:
        assert all(name in page.seen for name in arm_names(block))


def test_pictures_are_pictures(written: Written) -> None:
    pictures = [path for path in written.paths if path.suffix in (".png", ".svg")]
    assert len(pictures) >= 10
    for path in pictures:
        content = path.read_bytes()
        if path.suffix == ".png":
            assert content.startswith(b"\x89PNG")
            assert struct.unpack(">I", content[16:20])[0] == 1600
            assert len(content) > 8_000
        else:
            assert len(ElementTree.fromstring(content).findall(".//{*}text")) > 5


def test_forest_writes_the_verdicts_and_no_other(written: Written) -> None:
    tree = ElementTree.fromstring(written.text("forest-1.svg"))
    seen = Counter(
        "".join(text.itertext()) for text in tree.iter("{http://www.w3.org/2000/svg}text")
    )
    found = [arm.difference for arm in written.comparison.blocks[0].arms if arm.difference]
    expected = Counter(VERDICT_NAMES[difference.verdict] for difference in found)
    assert {word: seen[word] for word in VERDICT_NAMES.values()} == {
        word: expected[word] for word in VERDICT_NAMES.values()
    }
    names = arm_names(written.comparison.blocks[0])[1:]
    assert all(seen[shortened(name, 42)] == 1 for name in names)


@pytest.mark.parametrize(
    "name", ["terminal", "index.html", "comparison.md", "comparison.tex", "methods.md"]
)
def test_no_verdict_is_said_that_was_not_given(written: Written, name: str) -> None:
    text = printed(written.comparison, 400) if name == "terminal" else written.text(name)
    text = re.sub(r"(?s)<style>.*?</style>|class=\"\w+\"", "", text)
    for line in report_of(written.comparison).opening:
        text = text.replace(line, "").replace(line.replace("'", "&#39;"), "")
    found = [arm.difference for _, arm in arms_of(written.comparison) if arm.difference]
    said = " ".join(difference.words for difference in found)
    for word in ("better", "worse", "equivalent", "undecided"):
        given = sum(difference.words.startswith(word) for difference in found)
        assert bool(re.search(rf"\b{word}\b", text)) == (given > 0 and name != "methods.md"), word
    if name != "methods.md":
        plain_text = re.sub(r"\s+", " ", text)
        assert all(f"{d.words.partition('+-')[0].strip()}" in plain_text for d in found), said


def test_the_normal_case_holds_the_verdicts_it_is_meant_to() -> None:
    found = [a.difference.verdict for _, a in arms_of(normal()) if a.difference]
    assert found == ["better", "equivalent"]


def test_few_seeds_are_spoken_of_first() -> None:
    assert "3 seeds or fewer" in printed(one_seed()).splitlines()[0]
    assert "3 seeds or fewer" not in printed(hostile())


def test_terminal_fits_100_columns(written: Written) -> None:
    text = printed(written.comparison)
    assert max(map(len, text.splitlines())) <= 100
    words = " ".join(text.split())
    for block in written.comparison.blocks:
        assert "arms differ only in: attention.name, attention.ratio" in words
        for arm in block.arms:
            assert f"{arm.test.mean:.2f}" in text
            assert f"{arm.cost.parameters:,}" in text


def test_terminal_lists_what_is_missing_noted_and_left_out() -> None:
    text = printed(normal())
    for line in (
        "eca_resnet20: 5, 6",
        "sk was skipped: no room",
        "outputs/a/b/seed7: diverged at epoch 3",
        "se_resnet20-r4: 22.28 % error (ImageNet, ResNet-50)",
        "optim.lr",
        "1,233* (1,200 to 1,260)",
    ):
        assert line in text
    assert HOSTILE in printed(hostile(), 200)  # no markup


def test_latex_escapes() -> None:
    assert latex_escaped(r"<b>&_%$#{}\~^") == (
        r"\textless{}b\textgreater{}\&\_\%\$\#\{\}\textbackslash{}"
        r"\textasciitilde{}\textasciicircum{}"
    )
    assert latex_escaped("-0.10 to +0.94") == "$-$0.10 to +0.94"
    assert latex_escaped("90 +- 1, p <= 0.1") == r"90 $\pm$ 1, p $\le$ 0.1"


def test_latex_tables_are_whole(written: Written) -> None:
    text = written.text("comparison.tex")
    for rule in ("toprule", "midrule", "bottomrule", "end{table}", "end{tabular}"):
        assert text.count(rf"\{rule}") == text.count(r"\begin{table}")
    tabulars = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    for columns, body in tabulars:
        for row in re.findall(r"^    \{\}.*$", body, re.MULTILINE):
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(labels) == len(set(labels))


def test_methods_say_how(written: Written) -> None:
    text = written.text("methods.md")
    for words in ("paired t", "Holm", "TOST", "0.3 points", "3 (0.005)", "2,000", "16 cores"):
        assert words in text
    assert ("1 run was left out" in text) == bool(written.comparison.left_out)


def test_same_labels_are_told_apart() -> None:
    found = normal().blocks[0]
    same = [
        dataclasses.replace(arm, label="se", folder=f"f{i}", settings=f"optim.lr={i}")
        for i, arm in enumerate(found.arms)
    ]
    names = arm_names(dataclasses.replace(found, arms=same))
    assert names[1] == "se (optim.lr=1)"
    bare = [dataclasses.replace(arm, settings="") for arm in same]
    assert arm_names(dataclasses.replace(found, arms=bare)) == ["se (f0)", "se (f1)", "se (f2)"]
    assert shortened("a" * 10 + "b" * 10, 11) == "aaaa...bbbb"
