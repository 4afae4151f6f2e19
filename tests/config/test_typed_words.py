"""A path or a class name on the command line means itself, whatever Hydra's grammar makes of it."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from support import Senet, own_presets, write_image

from senet_train.config.hydra_arguments import flags_first
from senet_train.config.read import expand_home
from senet_train.config.typed_words import as_meant, quoted_where_needed

PATHS = [
    "odd/photos (1)",
    "year=2024",
    "50%",
    "a#b",
    "set[2]",
    "it's",
    'say "x"',
    "both ' and \"",
    "me@lab",
    "naïve ünï",
    "トラ",
    "x{y}",
    "a&b",
    "~/x",
    "a;b",
    "a!b",
    "a^b",
    "2024_11",
    "1e3",
    "007",
    "null",
    "true",
    "nan",
    " x ",
    "epoch=9-step=100.pth",
    "a: b",
    "C:\\x",
    "C:\\photos (1)\\[new]",
    "C:\\",
    "\\\\server\\share",
    "\\\\server\\share\\",
    "\\\\192.168.0.1\\data\\a b\\$c",
    "\\\\?\\C:\\long",
    "plain",
]


def read(word: str) -> object:
    return OverridesParser.create().parse_override(word).value()


@pytest.mark.parametrize("key", ["data.root", "data.exclude", "output_dir", "+data.root"])
@pytest.mark.parametrize("path", PATHS)
def test_a_path_means_itself(key: str, path: str) -> None:
    word = quoted_where_needed(f"{key}={path}")
    assert read(word) == path
    assert quoted_where_needed(word) == word  # a sweep reads it twice


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        (r"\\srv\a,\\srv\b", [r"\\srv\a", r"\\srv\b"]),
        (r"C:\a,plain, D:\new", [r"C:\a", "plain", r"D:\new"]),
        ("1_1,1e3", ["1_1", "1e3"]),
        ("choice(a,b)", ["a", "b"]),
        ("'a,1',b", ["a,1", "b"]),
    ],
)
def test_each_of_several_values_means_itself(typed: str, values: list[str]) -> None:
    """Hydra alone reads one backslash of the two before a server, and 11 for 1_1."""
    [word] = as_meant([f"data.root={typed}"])
    found = OverridesParser.create().parse_override(word)
    each = [read(f"data.root={value}") for value in found.sweep_string_iterator()]
    assert each == values


def test_hydra_alone_eats_a_backslash_of_a_share() -> None:
    """The control."""
    assert read("data.root=\\\\server\\share") == "\\server\\share"


def test_what_hydra_reads_right_is_left_as_it_was_typed() -> None:
    """Records keep the words: those of runs made before must not change."""
    for word in (
        "data.root=/data/imagenet-1k",
        "data.root=${oc.env:DATA}/x",
        "data.root=a,b",
        "data.root=choice(a,b)",
        'data.root="odd (1)"',
        "data.root='it is'",
        "data.root=a\\ b",
        "model.pretrained=true",
        "data.classes=all",
        "data.classes=[cat,dog]",
        "data.classes=[1,2]",
        'data.classes=["1_1",x]',
        "data.classes=[]",
        "optim.lr=(1)",
        "ratio",
        "~data.root",
    ):
        assert quoted_where_needed(word) == word


@pytest.mark.parametrize(
    "names",
    [
        ["false", "true"],
        ["1_1", "1_2"],
        ["001", "002"],
        ["1e3", "2e3"],
        ["null", "nan"],
        ["2.0", "inf"],
        ["golden (old)", "it's", "a&b", "golden retriever"],
    ],
)
def test_class_names_mean_themselves(names: list[str]) -> None:
    word = quoted_where_needed(f"data.classes=[{','.join(names)}]")
    assert read(word) == names
    assert quoted_where_needed(word) == word


def test_a_table_may_lose_its_quotes_in_a_shell(senet: Senet, tmp_path: Path) -> None:
    """bash takes those of `arms=[["ratio=4"]]` away, and cmd.exe those of every word."""
    assert as_meant(["arms=[[attention=none],[attention=se,ratio=4]]"]) == [
        'arms=[["attention=none"],["attention=se","ratio=4"]]'
    ]
    for whole in ('arms=[["ratio=4"]]', "arms=[[placement.stages=[1],ratio=4]]", "arms=[]"):
        assert as_meant([whole]) == [whole]
    result = senet("arms=[[placement.stages=[1],ratio=4]]", "seeds=1")
    assert result.code == 2
    example = """'arms=[["attention=none"],["attention=se","ratio=4"]]'"""
    assert f"each setting is a text in quotes, as in {example}" in result.err


def test_a_sweep_over_lists_of_names() -> None:
    assert quoted_where_needed("data.classes=[a,1_1],[b]") == 'data.classes=[a,"1_1"],[b]'


def test_home_is_expanded_wherever_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    tree = {
        "data": {"root": "~/pictures", "exclude": "none", "batch_size": 4},
        "model": {"pretrained": True},
        "output_dir": "~",
    }
    expand_home(tree)
    assert tree["data"] == {"root": "/home/me/pictures", "exclude": "none", "batch_size": 4}
    assert (tree["model"], tree["output_dir"]) == ({"pretrained": True}, "/home/me")


def test_odd_folders_from_end_to_end(senet: Senet, tmp_path: Path) -> None:
    """The path, the class names, and a sweep whose runs read the words once more."""
    tree = tmp_path / "photos (1), year=2024"
    for part in ("train", "val"):
        for name in ("1_1", "false", "left out"):
            for i in range(4):
                write_image(tree / part / name / f"{i}.png", i)
    words = ["data=imagenet_subset", "data.classes=[1_1,false]", "model=resnet8", "dry_run=true"]
    words += ["data.image_size=8", "data.batch_size=4", "data.workers=0", "output_dir=o (1)"]
    one = senet(*words, f"data.root={tree.name}")
    assert (one.code, one.err.count("is to do")) == (0, 1)
    assert "o (1)/imagenet_subset/" in one.err
    several = senet("-m", *words, f"data.root={tree.name}", "seed=0,1")
    assert (several.code, "left to train: 2 of 2" in several.out) == (0, True)
    comma = tmp_path / "a,b"
    comma.symlink_to(tree)
    refused = senet(*words, "data.root=a,b")
    assert refused.code == 2
    assert """'data.root="a,b"' for one text with commas""" in refused.err
    assert senet(*words, 'data.root="a,b"').code == 0


def test_names_in_a_users_file_that_yaml_reads_otherwise(senet: Senet, tmp_path_factory) -> None:
    own = tmp_path_factory.mktemp("own")
    (own / "data").mkdir()
    for names in ("[false, true]", "[1e+3, x]", "[null, x]"):
        (own / "data" / "mine.yaml").write_text(
            f"defaults: [imagenet_subset]\nname: imagenet_subset\nclasses: {names}\n"
        )
        result = senet("--config-dir", str(own), "data=mine", "dry_run=true")
        assert result.code == 2
        assert "in a file put names that read as numbers or truth values in quotes" in result.err


HABITS = ["run: {dir: logs}", "sweep: {dir: logs}", "job: {chdir: true}", "output_subdir: .hydra"]


@pytest.mark.parametrize("habit", HABITS)
def test_habits_in_a_users_file_are_refused_too(
    senet: Senet, tmp_path: Path, tmp_path_factory, habit: str
) -> None:
    own = own_presets(tmp_path_factory.mktemp("own"), f"hydra: {{{habit}}}")
    result = senet("--config-dir", str(own), "experiment=own", "dry_run=true")
    assert result.code == 2
    assert "is set by a file of a configuration folder" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_preset_without_its_first_line(senet: Senet, tmp_path_factory) -> None:
    own = tmp_path_factory.mktemp("own")
    (own / "experiment").mkdir()
    (own / "experiment" / "mine.yaml").write_text("defaults:\n  - override /model: resnet20\n")
    result = senet("--config-dir", str(own), "experiment=mine", "dry_run=true")
    assert result.code == 2
    assert "experiment/mine.yaml changes model, which is not below it: its first line must be " in (
        result.err
    )
    assert "# @package _global_" in result.err


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("a=1 -m b=1,2", "-m a=1 b=1,2"),
        ("-m a=1", "-m a=1"),
        ("a=1 --config-dir x=y b=2 -m", "--config-dir x=y -m a=1 b=2"),
        ("a=1 --cfg job b=2", "--cfg job a=1 b=2"),
        ("a=1 a=1", "a=1 a=1"),
    ],
)
def test_a_flag_may_stand_anywhere(typed: str, read: str) -> None:
    """Hydra itself refuses a setting behind a flag that stands behind a setting."""
    assert flags_first(typed.split()) == read.split()
