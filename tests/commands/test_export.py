"""senet-export: what is written says what the run says, and needs none of our code to say it."""

import copy
import json
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from compare_runs import write_run
from hydra import compose, initialize_config_dir
from PIL import Image
from stored_pictures import SHOWN
from support import CONF, ROOT, Result
from torch import Tensor, nn

from senet_train import load_run, load_safetensors
from senet_train.attention import ATTENTIONS
from senet_train.backbones.cifar_resnet import CifarResNet
from senet_train.backbones.slots import Backbone
from senet_train.commands.export import check
from senet_train.commands.export.card import card, reader
from senet_train.commands.export.check import largest_difference, trial_images
from senet_train.commands.export.cli import main
from senet_train.commands.export.encoders import ENCODERS, Safetensors
from senet_train.commands.export.metadata import metadata_of
from senet_train.commands.export.pipeline import folded_pipeline
from senet_train.commands.export.verdict import verdict_of
from senet_train.config.options import bind
from senet_train.config.read import read_config
from senet_train.config.resolvers import register_resolvers
from senet_train.config.schema import Config
from senet_train.data.framing import Fit
from senet_train.errors import InputError
from senet_train.networks.insertion import insert
from senet_train.runs.network import NetworkBuilder
from senet_train.runs.record import read_record
from senet_train.runs.trained.load import Trained
from senet_train.runs.trained.preprocess import Preprocess

ATTENTION_NAMES = sorted(file.stem for file in (CONF / "attention").glob("*.yaml"))
MODEL_NAMES = sorted(file.stem for file in (CONF / "model").glob("*.yaml"))
QUICK_MODELS = {"resnet20", "se_resnet18", "se_preact_resnet20"}
SIZE = 8
SE = {"attention.name": "se", "attention.ratio": 4}
NORMS = nn.BatchNorm1d | nn.BatchNorm2d

Export = Callable[..., Result]


@pytest.fixture
def export(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Export:
    """`export("--format", "onnx")` exports that run, into the folder `out` of an empty one."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        code = main([str(tiny_run), "--out", "out", *arguments])
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


def settings(*overrides: str) -> Config:
    """Those of a run of small images."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = ["data=fake", "data.num_classes=3", f"data.image_size={SIZE}", "ratio=4"]
        return read_config(compose("config", [*words, *overrides]))


def untrained(*overrides: str) -> Trained:
    """A run without a folder."""
    config = settings(*overrides)
    model, slots = NetworkBuilder.of(config).build(3)
    names = ("a", "b", "c")
    preprocess = Preprocess.of(config.data)
    return Trained(Path(), "x", config, as_trained(model), slots, preprocess, names, None)


def as_trained(model: Backbone) -> Backbone:
    """Its BatchNorms far from the identity, with the statistics of a batch."""
    for module in model.modules():
        if isinstance(module, NORMS):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.randn(64, 3, SIZE, SIZE))
    return model.eval()


def folded_difference(run: Trained) -> tuple[float, int]:
    """Between the run and its folded network, and the BatchNorms that are left."""
    model, _ = folded_pipeline(run)
    left = [m for m in model.modules() if isinstance(m, NORMS)]
    return relative(run, lambda images: model(images)[0].detach()), len(left)


def relative(run: Trained, logits_of: Callable[[Tensor], Tensor]) -> float:
    """The largest difference, where the run's own logits are of size 1."""
    [images, *_] = trial_images(SIZE)
    with torch.no_grad():
        size = run.model(run.preprocess.normalise(images)).abs().max()
    return largest_difference(run, logits_of) / max(1.0, float(size))


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK_MODELS else pytest.param(name, marks=pytest.mark.slow)
        for name in MODEL_NAMES
    ],
)
def test_folding_adds_no_error(name: str) -> None:
    """Against float64, from which a deep net is itself as far in float32."""
    run = untrained(f"model={name}")
    model, _ = folded_pipeline(run)
    pixels = run.preprocess.normalise(next(trial_images(SIZE)))
    with torch.no_grad():
        exact = copy.deepcopy(run.model).double()(pixels.double())
        own = float((run.model(pixels) - exact).abs().max())
        folded = float((model.network(pixels) - exact).abs().max())
    assert folded < 4 * own + 1e-6
    assert own < 1e-3
    left = [m for m in model.modules() if isinstance(m, NORMS)]
    # One in front of a convolution stays, and one behind two whose maps are joined.
    assert bool(left) == any(kind in name for kind in ("preact", "wrn", "shakeshake"))


def test_a_convolution_that_is_also_a_shortcut_stays() -> None:
    """The stem of a pre-activation net feeds a BatchNorm, and the first block's shortcut."""
    run = untrained("model=preact_resnet20")
    model, said = folded_pipeline(run)
    names = {name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert "network.layer1.0.bn1" in names
    assert "network.layer1.0.bn2" not in names
    assert said == "9 of 19 BatchNorms folded"
    by_hand = nn.utils.fuse_conv_bn_eval(run.model.conv1, run.model.layer1[0].bn1)
    model.network.conv1, model.network.layer1[0].bn1 = by_hand, nn.Identity()
    assert relative(run, lambda images: model(images)[0].detach()) > 1e-2  # what it would do


def every_attention() -> Trained:
    """A net of 20 blocks with another attention in each: one graph instead of 20."""
    run = untrained("model=resnet32", "attention=none")
    kinds = iter(settings("model=resnet20", f"attention={n}") for n in ATTENTION_NAMES)
    model = CifarResNet(3, blocks_per_stage=7)

    def attention(channels: int) -> nn.Module:
        config = next(kinds, run.config)
        return bind(config.attention, ATTENTIONS, "attention", "")[0](channels)

    slots = insert(model, attention)
    return replace(run, model=as_trained(model), slots=slots)


def test_every_attention_folded() -> None:
    run = every_attention()
    filled = {type(run.model.get_submodule(slot.name)) for slot in run.slots}
    assert filled >= {kind for kind in ATTENTIONS.values() if isinstance(kind, type)}
    model, _ = folded_pipeline(run)
    left = [name for name, m in model.named_modules() if isinstance(m, NORMS)]
    assert len(left) == 1  # srm's reads no layer's output
    assert relative(run, lambda images: model(images)[0].detach()) < 1e-5


@pytest.mark.slow
def test_every_attention_in_onnx() -> None:
    run, onnx = every_attention(), ENCODERS["onnx"]
    model, _ = folded_pipeline(run)
    assert relative(run, onnx.reader(onnx.encode(model, run, metadata_of(run)))) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTENTION_NAMES)
def test_an_attention_in_resnet20(name: str) -> None:
    run = untrained("model=resnet20", f"attention={name}")
    difference, left = folded_difference(run)
    # nonlocal multiplies features with features: 1.16e-5 on a CPU with AMX, less on others.
    bound = 2e-5 if name == "nonlocal" else 1e-5
    assert difference < bound
    assert left == (9 if name == "srm" else 0)
    for encoder in (ENCODERS["onnx"], ENCODERS["torch-export"]):
        content = encoder.encode(folded_pipeline(run)[0], run, metadata_of(run))
        assert relative(run, encoder.reader(content)) < bound


def test_three_files_and_a_card(
    export: Export, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats = [
        word for name in ("onnx", "torch-export", "safetensors") for word in ("--format", name)
    ]
    result = export(*formats)
    assert (result.code, result.err) == (0, "")
    said = re.findall(r"^(\S+): logits differ from the run's by (\S+) at most$", result.out, re.M)
    assert [name for name, _ in said] == ["onnx", "torch-export", "safetensors"]
    assert all(float(difference) < 1e-5 for _, difference in said)
    assert "9 of 9 BatchNorms folded" in result.out
    assert sorted(file.suffix for file in Path("out").iterdir()) == [
        *(".md", ".onnx", ".pt2", ".safetensors")
    ]
    run = load_run(tiny_run)
    pixels = next(trial_images(SIZE))
    expected = run.model(run.preprocess.normalise(pixels)).detach()
    nothing_of_this_machine(tmp_path)
    monkeypatch.chdir("out")
    use_as_the_card_says(run, pixels[0].numpy(), expected)


def use_as_the_card_says(run: Trained, pixels: np.ndarray, logits: Tensor) -> None:
    """Run every block of code of the card, in the folder of the files."""
    text = Path("se_resnet8-r4.md").read_text()
    Image.fromarray(pixels).save("image.png")
    blocks = re.findall(r"```python\n(.+?)```", text, re.S)
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    exec(blocks[0], names)
    for block in blocks[1:]:
        exec(block, names)
        found = torch.as_tensor(names["probabilities"]).detach()
        torch.testing.assert_close(found, logits.softmax(1), atol=1e-5, rtol=0)
    session = onnxruntime.InferenceSession("se_resnet8-r4.onnx")
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["class_names"]) == ["class0", "class1"]
    assert run.record is not None
    assert json.loads(facts["metrics"])["test_top1"] == run.record.metrics.test_top1
    assert facts["arm"] == run.record.arm
    assert [i.shape for i in session.get_inputs()] == [["batch", SIZE, SIZE, 3]]
    assert "no comparison" in text


def nothing_of_this_machine(folder: Path) -> None:
    """Exporters note where each line of a network's code lies."""
    for file in (folder / "out").iterdir():
        contents = [file.read_bytes()]
        if file.suffix == ".pt2":
            with zipfile.ZipFile(file) as parts:
                contents = [parts.read(name) for name in parts.namelist()]
        for place in (ROOT, folder):
            assert not any(str(place).encode() in content for content in contents), file


def test_safetensors_is_the_run(export: Export, tiny_run: Path) -> None:
    result = export("--format", "safetensors")
    assert (result.code, "folded" in result.out) == (0, False)  # nor is it traced, which takes time
    run, loaded = load_run(tiny_run), load_safetensors("out/se_resnet8-r4.safetensors")
    assert (loaded.label, loaded.class_names) == (run.label, run.class_names)
    assert loaded.preprocess == run.preprocess
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name


def test_the_card_has_the_verdict(tmp_path: Path) -> None:
    for seed, (plain, se) in enumerate([(0.70, 0.75), (0.71, 0.77), (0.69, 0.74), (0.72, 0.77)]):
        control = write_run(tmp_path, "resnet20", seed, plain)
        path = write_run(tmp_path, "se_resnet20-r4", seed, se, changes=SE)
    run = untrained("model=se_resnet20")

    def card_of(path: Path) -> str:
        there = replace(run, path=path, record=read_record(path / "result.json"))
        return card(there, verdict_of(there), [("onnx", "x.onnx")])

    text = card_of(path)
    assert "4 seeds, test top-1 75.75 +- 1.50 %; +5.25 points" in text
    assert "against resnet20 (70.50 +- 1.29 %), paired over 4 seeds: **better**" in text
    assert "this arm is the control of its table" in card_of(control)
    moved = path.rename(tmp_path / "seed3")  # beside what may be anything
    assert "no comparison: the run is not in a table's folder" in card_of(moved)
    (path.parent / "seed0" / "result.json").write_text("damaged")
    moved.rename(path)
    assert "no comparison: `senet-compare` finds nothing" in card_of(path)


def test_the_card_of_an_unfinished_run() -> None:
    run = untrained("model=resnet20", "attention=shuffled")
    text = card(run, verdict_of(run), [("torch-export", "x.pt2")])
    assert "it was never tested" in text
    assert "What it costs" not in text
    assert "**not for use**" in text


def read_by_the_card(run: Trained, path: Path) -> np.ndarray:
    """What the card's own code makes of a file."""
    names: dict[str, Any] = {}
    exec(reader(run).removeprefix("```python\n").removesuffix("```"), names)
    return np.asarray(names["read"](path))


@pytest.mark.parametrize("fit", ["crop", "resize", "pad"])
@pytest.mark.parametrize("margin", [1.0, 256 / 224])
def test_the_card_cuts_images_as_the_run_did(margin: float, fit: Fit, tmp_path: Path) -> None:
    run = untrained("model=resnet8")
    run = replace(run, preprocess=replace(run.preprocess, margin=margin, fit=fit))
    pixels = np.random.default_rng(0).integers(0, 256, (60, 41, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    seen = run.preprocess.pixels(str(tmp_path / "image.png"))
    np.testing.assert_array_equal(read_by_the_card(run, tmp_path / "image.png"), seen)


@pytest.mark.parametrize("shape", [(60, 41), (41, 60), (20, 20), (90, 20)])
def test_the_card_scales_and_cuts_as_the_run_did(shape: tuple[int, int], tmp_path: Path) -> None:
    """Also a picture that has the network's size already: it is scaled, as any other."""
    run = untrained("model=resnet8")
    run = replace(run, preprocess=replace(run.preprocess, image_size=20, resize=23))
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    seen = run.preprocess.pixels(str(tmp_path / "image.png"))
    assert seen.shape == (20, 20, 3)
    np.testing.assert_array_equal(read_by_the_card(run, tmp_path / "image.png"), seen)
    assert "is taken whole" not in card(run, "", [])


@pytest.mark.parametrize("kind", SHOWN)
def test_the_card_reads_every_kind_of_file(kind: str, tmp_path: Path) -> None:
    name, bits, save, *_ = SHOWN[kind]
    save(tmp_path / name)
    run = untrained("model=resnet8")
    run = replace(run, preprocess=replace(run.preprocess, bit_depth=bits))
    seen = run.preprocess.pixels(str(tmp_path / name))
    np.testing.assert_array_equal(read_by_the_card(run, tmp_path / name), seen)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\x02\0\0\0\0\0\0\0{}"])
def test_other_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="is no run as safetensors"):
        load_safetensors(tmp_path / "x.safetensors")


def test_what_differs_is_not_written(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    true = Safetensors.reader
    monkeypatch.setattr(
        Safetensors, "reader", lambda s, c: lambda images: true(s, c)(images) + 2e-4
    )
    result = export("--format", "safetensors")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "differ from the run's by 0.0002, above --tolerance 0.0001: nothing was w" in result.err
    assert not Path("out").exists()
    check.refuse_unequal(2e-4, 1e-3, "onnx")
    with pytest.raises(check.Unequal):
        check.refuse_unequal(float("nan"), 1e-3, "onnx")


def test_nothing_is_replaced(export: Export) -> None:
    Path("out").mkdir()
    Path("out/se_resnet8-r4.md").write_text("mine")
    result = export("--format", "safetensors")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "is there and is not replaced" in result.err
    assert [file.read_text() for file in Path("out").iterdir()] == ["mine"]
    assert export("--format", "safetensors", "--out", "out/other.safetensors").code == 0


BAD = [
    (["--format", "pickle"], "invalid choice: 'pickle'"),
    ([], "required: --format"),
    (["--format", "onnx", "--tolerance", "0"], "0 is no tolerance: choose a number above 0"),
    (["--format", "onnx", "--out", "x.pt2"], "is not named .onnx: give a folder"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_arguments(export: Export, arguments: list[str], message: str) -> None:
    result = export(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
    assert not Path("out").exists()


def test_without_the_extra(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as if it were not installed
    result = export("--format", "onnx")
    line = "needs onnxscript: pip install 'senet-train[export]'"
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert line in result.err


class Undecided(nn.Module):
    """An attention whose way depends on what it sees: no graph has that."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0 else -x


def test_what_cannot_be_traced_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = untrained("model=resnet20", "attention=simam")
    run.model.layer3[0].attend["standard"] = Undecided(64)
    with pytest.raises(InputError, match="x cannot be exported by torch: Could not guard"):
        folded_pipeline(run)
    assert capfd.readouterr() == ("", "")


def test_trial_images_are_many_sided() -> None:
    batches = list(trial_images(32))
    assert [len(images) for images in batches] == [1, 1, 3, 3]
    steps = [float(b.float().diff(dim=2).abs().mean()) for b in batches]
    assert max(steps[1], steps[3]) < 20 < 60 < min(steps[0], steps[2])
    assert check.BATCH_SIZES == (1, 3)
