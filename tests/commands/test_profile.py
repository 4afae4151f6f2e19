"""senet-profile: counts and bytes against closed forms, times in turn, words as senet-train's."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from support import TINY, Result, run_folders

from senet_train.commands.profile.cli import main
from senet_train.commands.profile.counts import saved_bytes_per_image
from senet_train.commands.profile.measure import Quartiles, activation_bytes
from senet_train.commands.profile.networks import Built, build, spec_of
from senet_train.commands.profile.requested import group_settings, requested_networks
from senet_train.networks import stopwatch
from senet_train.networks.stopwatch import added_time, compare_times, milliseconds
from senet_train.runs.record import read_record

CPU = torch.device("cpu")
SMALL = ["data=fake", "data.image_size=8", "data.num_classes=10"]

Profile = Callable[..., Result]


@pytest.fixture
def profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Profile:
    """`profile("model=resnet20")` at one image, timed briefly, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stopwatch, "SECONDS", 0.0)

    def run(*arguments: str) -> Result:
        code = main([*arguments, "--batch-sizes", "1"])
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


def built(*words: str, kernel: str = "composed") -> Built:
    [asked] = requested_networks([*words, f"trainer.kernel={kernel}"])
    return build(spec_of(asked.config, CPU), CPU)


def test_the_paper_counts() -> None:
    """SE-ResNet-50 at 224: 28,071,976 parameters, 2,514,944 of them SE's (table 10, section 4)."""
    found = built("model=se_resnet50", "data.image_size=224", "data.num_classes=1000")
    assert found.cost.parameters == 28_071_976
    assert found.cost.attention_parameters == 2_514_944
    assert found.operations.layers == 2_514_944  # without biases one product for each weight
    maps = 3 * 256 * 56**2 + 4 * 512 * 28**2 + 6 * 1024 * 14**2 + 3 * 2048 * 7**2
    assert (found.operations.pool, found.operations.scale) == (maps, maps)
    parts = found.operations.pool + found.operations.layers + found.operations.scale
    assert parts == found.cost.attention_multiply_adds


@pytest.mark.parametrize("number", [4, 2])
@pytest.mark.parametrize("words", [(), ("attention=se", "ratio=4")])
def test_bytes_kept_for_backward_by_hand(words: tuple[str, ...], number: int) -> None:
    """What every layer of ResNet-20 must remember of an image of 8x8, in numbers of 4 or 2 bytes.

    Of each block both convolutions' outputs and both ReLUs'; SE adds the map that it scales, z, the
    hidden channels and the gate.
    """
    maps = {16: (64, 14), 32: (16, 13), 64: (4, 13)}  # channels: pixels, maps
    expected = sum(channels * pixels * num for channels, (pixels, num) in maps.items())
    expected += 3 * 64 + 64  # the image, the features
    if words:
        for channels, (pixels, _) in maps.items():
            expected += 3 * (channels * pixels + 2 * channels + channels // 4)
    found = built("model=resnet20", *SMALL, *words)
    precision = 32 if number == 4 else "bf16-mixed"
    assert activation_bytes(found, CPU, precision) == number * expected


def test_weights_and_repetitions_are_not_counted() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Sigmoid())
    images = torch.randn(4, 5)
    context = torch.enable_grad
    expected = 4 * (5 + 7)  # x for W, sigmoid for itself
    assert saved_bytes_per_image(network, images, context) == expected
    twice = torch.nn.Sequential(network, torch.nn.Unflatten(1, (7,)), torch.nn.Flatten())
    assert saved_bytes_per_image(twice, images, context) == expected


def test_networks_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopwatch, "SECONDS", 0.0)
    calls: list[str] = []

    def append(name: str) -> float:
        return milliseconds(partial(calls.append, name), CPU)

    times = compare_times([lambda: append("a"), lambda: append("b")])
    assert calls[:6] == ["a", "b", "a", "b", "b", "a"]  # one round warms up
    assert [len(own) for own in times] == [stopwatch.LEAST_ROUNDS] * 2
    # A machine that slows down to a third while it measures: the share does not see it.
    drift = [1.0, 1.5, 2.0, 2.5, 3.0]
    added = added_time([1.25 * t for t in drift], drift)
    assert Quartiles.of(added) == Quartiles(0.25, 0.25, 0.25, 5)


def test_words_make_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=run").mkdir()
    assert group_settings(["data=fake", "model=a", "ratio=4", "model=b"]) == [
        ["data=fake", "model=a", "ratio=4"],
        ["data=fake", "model=b"],
    ]
    assert group_settings(["model=a", "ratio=4 model=b", "ratio=8"]) == [
        ["model=a", "ratio=8"],
        ["ratio=4", "model=b"],
    ]
    assert group_settings(["model=a", "model=b", "data=x", "data.image_size=64"]) == [
        ["data=x", "data.image_size=64", "model=a"],
        ["data=x", "data.image_size=64", "model=b"],
    ]
    own = ["model=a", "data.image_size=32", "model=b", "data.image_size=64"]
    assert group_settings(own) == [own[:2], own[2:]]  # as asked
    assert group_settings([]) == [[]]
    assert group_settings(["ratio=8"]) == [["ratio=8"]]
    assert group_settings(["a=run"]) == [Path("a=run")]
    assert group_settings(["a=run", "ratio=8"]) == [Path("a=run"), ["ratio=8"]]


def test_a_test_size_is_what_is_counted_and_a_training_size_what_is_kept() -> None:
    words = ("data=imagenet_subset", "data.num_classes=10", "model=resnet8")
    both, small, large = (
        built(*words, *sizes)
        for sizes in (
            ("data.image_size=8", "data.test_size=16"),
            ("data.image_size=8",),
            ("data.image_size=16",),
        )
    )
    assert both.cost == large.cost != small.cost
    kept = [activation_bytes(each, CPU, 32) for each in (both, small, large)]
    assert kept[0] == kept[1] < kept[2]


def test_images_of_two_sizes_are_pointed_out(profile: Profile) -> None:
    fake = ["data=fake", "data.num_classes=10", "model=resnet8"]
    same = profile(*fake, "model=resnet8", "attention=se", "ratio=4", "data.image_size=16")
    assert (same.code, "different sizes" in same.out) == (0, False)
    assert "images of 16 px" in " ".join(same.out.split())
    other = profile(*fake, "data.image_size=8", "model=resnet8", "data.image_size=16")
    said = " ".join(other.out.split())
    assert "images of different sizes, which their costs follow: resnet8" in said
    assert "8 px, " in said


def test_values_and_tables_make_several() -> None:
    assert [a.words for a in requested_networks(["model=se_resnet20", "ratio=4,8"])] == [
        "model=se_resnet20 ratio=4",
        "model=se_resnet20 ratio=8",
    ]
    table = list(requested_networks(["model=resnet20", "experiment=se_ratio"]))
    assert [a.config.attention.options.get("ratio") for a in table] == [None, 2, 4, 8, 16, 32]


def test_a_run_and_its_record_agree(
    senet: Callable[..., Result], profile: Profile, tmp_path: Path
) -> None:
    assert senet(*TINY, "trainer.max_epochs=1").code == 0
    [folder] = run_folders(tmp_path)
    cost = read_record(folder / "result.json").cost
    result = profile(
        str(folder), "model=se_resnet20 ratio=8,99 data.num_classes=2", "--out", "x.json"
    )
    assert result.code == 0
    assert "skipped: model=se_resnet20 ratio=99" in result.err
    content = json.loads(Path("x.json").read_text())
    run, other = content["networks"]
    assert run["label"] == "se_resnet8-r4"
    for key in ("parameters", "attention_parameters", "multiply_adds", "attention_multiply_adds"):
        assert run["cost"][key] == getattr(cost, key)
    assert [(p["stage"], p["channels"], p["hidden"]) for p in other["points"]] == [
        *((1, 16, 2), (2, 32, 4), (3, 64, 8))
    ]
    assert [name for p in other["points"] for name in p["names"]] == [
        f"layer{stage}.{block}.attend.standard" for stage in (1, 2, 3) for block in (0, 1, 2)
    ]
    assert run["timings"][0]["share"]["num"] == stopwatch.LEAST_ROUNDS
    for line in ("parameters", "attention's pools", "kept for backward", "float32, 1 image"):
        assert line in result.out


def test_a_row_for_each_timing(profile: Profile) -> None:
    assert profile("data=fake", "model=resnet20", "model=se_resnet20", "--out", "x.csv").code == 0
    with open("x.csv", newline="") as file:
        plain, *_, se = csv.DictReader(file)
    assert (plain["label"], se["label"]) == ("resnet20", "se_resnet20-r16")
    assert plain["attention_share"] == ""
    assert float(se["attention_share_lower"]) <= float(se["attention_share"])
    assert (plain["precision"], plain["batch_size"], plain["rounds"]) == ("float32", "1", "8")
    again = profile("model=resnet20", "--out", "x.csv")
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "is there and is not replaced" in again.err


BAD = [
    (["modle=resnet20"], "there is no key modle: did you mean model=NAME?"),
    (["model=resnet2"], "model=resnet2 is none of the options: "),
    (["model=resnet20", "ratio=4"], "ratio=4 changes nothing"),
    (["model=se_resnet20", "ratio=32"], "choose ratio <= 16"),
    (["model=resnet20", "data.batch_size=4"], "is chosen by --batch-sizes"),
    (["nowhere"], "nowhere is no run's folder and no setting: write key=value"),
    (["model=resnet20", "--out", "x.txt"], "name it .csv or .json"),
    (["model=resnet20", "--out", "none/x.csv"], "there is no folder none"),
    (["."], "is no run: give the folder that holds config.yaml"),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_bad_input_is_one_line(profile: Profile, words: list[str], message: str) -> None:
    result = profile(*words)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err


def test_a_batch_that_does_not_fit_is_said(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr("senet_train.commands.profile.measure.compare_times", full)
    result = profile(*SMALL, "model=resnet20")
    assert result.code == 0
    assert "1 image: too much for the memory, left out" in result.err
    assert "float32, 1 image " not in result.out


def test_equal_networks_are_one() -> None:
    plain = built("model=resnet20", *SMALL).spec
    se = built("model=se_resnet20", *SMALL).spec
    assert se.without_attention() == plain
    assert replace(se, image_size=9).without_attention() != plain
