"""senet-inspect: gates, their statistics, alarms and knock-outs against independent truths."""

import csv
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from support import CONF, TINY, brief_runs_in, pictures_unrendered, run_folders
from torch import nn

from senet_train import load_run
from senet_train.attention import ATTENTIONS
from senet_train.attention.convolutional_block import ConvolutionalBlockAttention
from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones.cifar_resnet import CifarResNet, resnet20
from senet_train.cli import main as train
from senet_train.commands.compare import main as compare
from senet_train.commands.inspect.alarms import Layer, alarms_of
from senet_train.commands.inspect.cli import main
from senet_train.commands.inspect.gates import inspect_gates
from senet_train.commands.inspect.knockout import (
    Changes,
    knock_out,
    recorded_outputs,
    replaced,
    residual_blocks,
    skipping_earlier_blocks,
)
from senet_train.commands.inspect.maps import SPATIAL
from senet_train.commands.inspect.statistics import EDGES, GateStatistics
from senet_train.commands.inspect.timing import added_times
from senet_train.commands.profile.measure import measure
from senet_train.commands.profile.networks import request_run, spec_of
from senet_train.data.loaders import EvaluationBatches
from senet_train.networks import stopwatch
from senet_train.networks.insertion import insert
from senet_train.networks.watch import channel_gates, pixel_gates, unexplained_energy, watched
from senet_train.runs.checkpoint_files import read_checkpoint
from senet_train.runs.trained.own_data import own_splits

PLAIN = [word for word in TINY if not word.startswith("ratio")]
# Three blocks in a stage: some of them lie behind others.
DEEPER = [word.replace("se_resnet8", "se_resnet20") for word in TINY]


def trained(folder: Path, *arguments: str) -> Path:
    """A tiny run made in `folder`."""
    with brief_runs_in(folder):
        assert train([*DEEPER, *arguments]) == 0
    [run] = run_folders(folder)
    return run


@pytest.fixture(scope="module")
def se_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("se"), "ratio=16", "data.num_classes=4")


@pytest.fixture
def run(se_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(se_run, tmp_path / "seed0"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopwatch, "LEAST_ROUNDS", 2)
    monkeypatch.setattr(stopwatch, "SECONDS", 0.0)


def test_factors_of_a_gate_are_the_gate() -> None:
    x, se = torch.randn(5, 32, 7, 6), SqueezeExcite(32, ratio=4, bias=True)
    x[2, 3] = 0
    with torch.no_grad():
        s, seen = channel_gates(x, se(x))
        rest, every = unexplained_energy(x, se(x), s)
        gate = se.excite(x.mean((2, 3)))
    assert seen.sum() == 5 * 32 - 1
    assert not seen[2, 3]
    np.testing.assert_allclose(s[seen > 0], gate[seen > 0], rtol=1e-5)
    assert rest < 1e-10 * every


def test_what_a_gate_of_pixels_leaves_unexplained() -> None:
    x = torch.randn(5, 32, 7, 6)
    module = ConvolutionalBlockAttention(32, ratio=4)
    with torch.no_grad():
        rest, every = unexplained_energy(x, module(x), channel_gates(x, module(x))[0])
        assert rest > SPATIAL * every
        channel_gated = x * module.channel_gate(x)
        gate = module.spatial_gate(channel_gated)
        y = channel_gated * gate
    np.testing.assert_allclose(pixel_gates(channel_gated, y), gate[:, 0], rtol=1e-5)


@pytest.mark.parametrize("name", sorted(file.stem for file in CONF.glob("attention/*.yaml")))
def test_every_attention_can_be_watched(name: str) -> None:
    if name == "none":
        return
    network = resnet20(10)
    options = {"sge": {"groups": 4}, "gc": {"ratio": 4}}.get(name, {})
    slots = insert(network, partial(ATTENTIONS[name], **options))
    found = {}
    with watched(network.eval(), slots, lambda n, x, y: found.update({n: channel_gates(x, y)})):
        network(torch.randn(3, 3, 16, 16))
    assert list(found) == [slot.name for slot in slots]
    assert all(torch.isfinite(s).all() and s.shape == seen.shape for s, seen in found.values())
    network(torch.randn(3, 3, 16, 16))
    assert len(found) == len(slots)  # watched no longer


def gathered(gates: np.ndarray, seen: np.ndarray, labels: np.ndarray, cuts: list[int]):
    statistics = GateStatistics(gates.shape[1], 6)
    for part in np.split(np.arange(len(gates)), cuts):
        rows = [torch.from_numpy(array[part]) for array in (gates, seen, labels)]
        statistics.add(*rows)
    return statistics


def test_statistics_are_numpys() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 300)  # the sixth class has no image
    gates = random.uniform(0, 1, (300, 8)) + 0.2 * labels[:, None] * (np.arange(8) > 3)
    seen = (random.uniform(size=gates.shape) > 0.2).astype(float)
    seen[:, 7] = 0
    statistics = gathered(gates, seen, labels, [1, 50, 51, 200])
    found = statistics.result()
    masked = np.ma.masked_array(gates, seen == 0)
    for k in range(5):
        of_class = masked[labels == k]
        np.testing.assert_allclose(found.mean[k], of_class.mean(0).filled(np.nan), rtol=1e-12)
        np.testing.assert_allclose(found.std[k], of_class.std(0).filled(np.nan), rtol=1e-9)
    assert np.isnan(found.mean[5]).all()
    np.testing.assert_allclose(found.all_mean, masked.mean(0).filled(np.nan), rtol=1e-12)
    np.testing.assert_allclose(found.all_std, masked.std(0).filled(np.nan), rtol=1e-9)
    assert found.saturated == pytest.approx((masked > 0.95).mean())
    assert found.closed == pytest.approx((masked < 0.05).mean())
    assert found.histogram.tolist() == np.histogram(masked.compressed(), EDGES)[0].tolist()
    sizes = [t.numel() for t in (statistics.count, statistics.mean, statistics.squares)]
    assert sizes == [48, 48, 48]  # whatever the number of images


def test_between_share_is_epsilon_squared() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 6, 400)
    gates = random.normal(size=(400, 1)) + 0.7 * labels[:, None]
    found = gathered(gates, np.ones_like(gates), labels, [100]).result().between
    f = stats.f_oneway(*(gates[labels == k, 0] for k in range(6))).statistic
    assert found == pytest.approx(5 * (f - 1) / (5 * f + 394), rel=1e-9)


def test_between_share_of_nothing_is_nothing() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 6, 60)
    gates = random.normal(size=(60, 400))
    assert gathered(gates, np.ones_like(gates), labels, []).result().between < 0.02
    within = sum(((gates[labels == k] - gates[labels == k].mean(0)) ** 2).sum() for k in range(6))
    assert 1 - within / ((gates - gates.mean(0)) ** 2).sum() > 0.06  # the plain share is fooled
    still = np.full_like(gates, 0.5)
    assert np.isnan(gathered(still, np.ones_like(gates), labels, [7]).result().between)


def planted(run: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    file = run / "checkpoints" / "best.ckpt"
    checkpoint = read_checkpoint(file)
    change(checkpoint["state_dict"])
    torch.save(checkpoint, file)


def alarms(folder: Path) -> list[str]:
    run = load_run(folder)
    layers = inspect_gates(run, own_splits(run).test, torch.device("cpu")).layers
    return [line for layer in layers for line in alarms_of(layer)]


def test_a_planted_constant_gate_is_named(run: Path) -> None:
    expand = "network.layer1.1.attend.standard.expand.weight"
    reduce = "network.layer2.2.attend.standard.reduce.weight"
    apart = "network.layer3.1.attend.standard.expand.weight"

    def change(state: dict[str, torch.Tensor]) -> None:
        state[expand].fill_(8.0)[:10] = 0  # 10 of 16 channels hang on nothing
        state[reduce].zero_()
        state[apart].mul_(50)
        state["network.layer3.2.attend.standard.expand.weight"].mul_(1e-4)

    before = [line for line in alarms(run) if "constant" in line]
    assert not [line for line in before if "62 %" in line or "dead" in line or "layer3" in line]
    planted(run, change)
    found = alarms(run)
    assert "layer1.1: 62 % of gates constant at 0.50: one hidden unit and no bias" in found
    assert "layer2.2: 100 % of gates constant at 0.50: all 2 hidden units dead and no bias" in found
    assert "layer3.2: 100 % of gates constant at 0.50: its weights are all but zero" in found
    assert not [line for line in found if "constant" in line and "layer3.1" in line]


def test_other_alarms(run: Path) -> None:
    def change(state: dict[str, torch.Tensor]) -> None:
        for block, sign in (("layer3.0", 1.0), ("layer3.2", -1.0)):
            prefix = f"network.{block}.attend.standard."
            state[prefix + "reduce.weight"].zero_()
            norm = state[f"network.{block}.bn2.bias"]
            norm.fill_(1.0)  # the squeeze is then about 1 in every channel
            state[prefix + "reduce.weight"][:2] = 1.0
            state[prefix + "expand.weight"].fill_(sign)

    planted(run, change)
    found = alarms(run)
    assert "layer3.0: 2 of 4 hidden units are zero for every image" in found
    assert any(line.startswith("layer3.0: 100 % of gates over 0.95") for line in found)
    assert any(line.startswith("layer3.2: 100 % of gates under 0.05") for line in found)
    started = "every gate within 0.02 of 0.50, where it started: hardly trained"
    assert [line for line in found if line.endswith(started)]


@pytest.mark.parametrize("identity", [True, False])
def test_gates_that_may_go_to_two(identity: bool) -> None:
    """Over 0.95 is then no end of their range, and where they started is 1."""
    noise = 0.005 * np.random.default_rng(0).standard_normal((40, 8))
    labels = np.arange(40) % 4
    alarms = []
    for level in (1.6, 1.0, 0.5):
        layer = Layer(
            *("layer1.0.attend.standard", 1, 8, 2, "se"),
            bias=False,
            identity=identity,
            num_dead=0,
            beyond=0.0,
            strength=1.0,
            gates=gathered(level + noise, np.ones_like(noise), labels, [40]).result(),
        )
        alarms += [f"{level}: {line}" for line in alarms_of(layer)]
    started = "layer1.0: every gate within 0.02 of {}, where it started: hardly trained"
    if identity:
        assert alarms == ["1.0: " + started.format("1.00")]
    else:
        open_ = (
            "layer1.0: 100 % of gates over 0.95: close to the identity, see what removing it costs"
        )
        assert alarms == [
            f"1.6: {open_}",
            f"1.0: {open_}",
            "0.5: " + started.format("0.50"),
        ]


def test_knock_outs_are_what_the_changed_network_says(se_run: Path) -> None:
    run = load_run(se_run)
    images = own_splits(run).test
    seen = inspect_gates(run, images, torch.device("cpu"))
    with torch.inference_mode():
        found = {k.name: k for k in knock_out(run, seen.layers, images, lambda text: None)}
    assert list(found) == [
        *(f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3)),
        *("stage 1", "stage 2", "stage 3", "all"),
    ]
    batches = list(EvaluationBatches(images, run.config.data))

    def right(network: nn.Module) -> np.ndarray:
        with torch.inference_mode():
            parts = [(network(batch).argmax(1) == labels).numpy() for batch, labels, _ in batches]
        return np.concatenate(parts)

    before = right(run.model)
    for name in ("layer2.1", "stage 3", "all"):
        other = load_run(se_run).model
        for layer in found[name].layers:
            other.set_submodule(layer, nn.Identity())
        points = 100 * (before.mean() - right(other).mean())
        assert found[name].removed.points == pytest.approx(points)
        means = {layer.name: layer.gates.all_mean for layer in seen.layers}
        other = load_run(se_run).model
        for layer in found[name].layers:
            held = nn.BatchNorm2d(len(means[layer]), eps=0)  # a fixed factor, written another way
            held.weight.data = torch.from_numpy(means[layer]).float()
            other.set_submodule(layer, held.eval())
        points = 100 * (before.mean() - right(other).mean())
        assert found[name].held.points == pytest.approx(points)
    assert any(k.removed.points for k in found.values())
    assert (right(run.model) == before).all()  # left as it was
    total = sum(p.numel() for n, p in run.model.named_parameters() if "attend" in n)
    assert found["all"].parameters == total == run.record.cost.attention_parameters


def test_skipping_what_lies_before_changes_no_bit(se_run: Path) -> None:
    run = load_run(se_run)
    layers = inspect_gates(run, own_splits(run).test, torch.device("cpu")).layers
    x = torch.randn(4, 3, 8, 8)
    with torch.inference_mode():
        with recorded_outputs(residual_blocks(run.model)) as outputs:
            run.model(x)
        with replaced(run.model, [layers[4]], lambda layer: nn.Identity()):
            whole = run.model(x)
            with skipping_earlier_blocks(run.model, [layers[4]], outputs):
                assert torch.equal(run.model(x), whole)
                outputs.update({block: y + 1 for block, y in outputs.items()})
            with skipping_earlier_blocks(run.model, [layers[4]], outputs):
                assert not torch.equal(run.model(x), whole)


def test_the_interval_covers() -> None:
    random, truth = np.random.default_rng(3), 100 * (0.10 - 0.04)
    hits = 0
    for _ in range(2000):
        worse, better, _ = random.multinomial(200, (0.10, 0.04, 0.86))
        loss = Changes(worse, better).loss(200)
        hits += loss.low <= truth <= loss.high
    assert 0.935 < hits / 2000 < 0.975
    still = Changes().loss(1000)
    assert still.low < 0 < still.high  # no change is no certainty
    assert Changes(worse=4).loss(4).high == 100.0  # 116.6 by the formula


def test_files(run: Path, tmp_path: Path, capsys) -> None:
    assert main([str(run), "--graph", "--classes", "class3,class1"]) == 0
    out = run / "inspect"
    printed = capsys.readouterr().out
    assert f"page: {out / 'index.html'}" in printed
    assert "one hidden unit and no bias" in printed.partition("\nAlarms\n")[2]
    page = (out / "index.html").read_text()
    assert "Excitations" in page
    assert "class3" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    names = {file.name for file in out.iterdir()}
    pictures = ("classes", "spread", "depth", "heat", "losses", "maps")
    assert {f"{p}.{kind}" for p in pictures for kind in ("png", "svg")} <= names
    with open(out / "layers.csv", newline="") as file:
        layers = list(csv.DictReader(file))
    assert len(layers) == 9
    with np.load(out / "gates.npz", allow_pickle=False) as gates:
        assert gates["classes"].tolist() == [f"class{i}" for i in range(4)]
        mean = gates["layer2.1.attend.standard.mean"]
    assert mean.shape == (4, 32)
    with open(out / "channels.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["layer"].startswith("layer2.1")]
    # Four classes of five test images each: the mean of all is the mean of the classes.
    np.testing.assert_allclose([float(row["mean"]) for row in rows], mean.mean(0), atol=1e-6)
    tags = events(out)
    assert "gates/layer1.0" in tags["histograms"]
    assert "excitations/classes" in tags["images"]
    assert tags["graph"]
    with pictures_unrendered():
        assert main([str(run), "--no-knockout"]) == 0
    assert not events(out)["graph"]  # in place of the ones before
    assert not (out / "losses.png").exists()


def test_senet_profile_and_senet_inspect_report_the_same_added_time(
    se_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that advances 10 ms in each forward pass, and 1 ms for each of 9 SE layers."""
    run, cpu, now = load_run(se_run), torch.device("cpu"), 0.0
    layers = inspect_gates(run, own_splits(run, None).test, cpu).layers
    forward = CifarResNet.forward

    def counted(network: CifarResNet, images: torch.Tensor) -> torch.Tensor:
        nonlocal now
        now += 0.010 + 0.001 * sum(isinstance(m, SqueezeExcite) for m in network.modules())
        return forward(network, images)

    monkeypatch.setattr(CifarResNet, "forward", counted)
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: now))
    with torch.inference_mode():
        inspected = {
            added.batch_size: [percent / 100 for percent in added.percent]
            for added in added_times(run, layers, cpu)
            if added.name == "all"
        }
    [profile] = measure([("a run", spec_of(request_run(se_run).config, cpu))], cpu, [32], [1, 128])
    shares = {timing.batch_size: timing.share for timing in profile.timings}
    profiled = {size: [s.lower, s.median, s.upper] for size, s in shares.items() if s}
    assert list(inspected) == list(profiled) == [1, 128]
    for batch_size, added in inspected.items():
        assert added == pytest.approx([0.9] * 3)  # 19 ms with, 10 ms without
        assert added == pytest.approx(profiled[batch_size])


def events(folder: Path) -> dict:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [file] = folder.glob("events.out.tfevents.*")
    accumulator = EventAccumulator(str(file))
    accumulator.Reload()
    return accumulator.Tags()


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("attention", ["none", "cbam", "nonlocal"])
def test_other_networks(attention: str, tmp_path: Path, capsys) -> None:
    """One without attention, one over pixels, one that adds: each says where it looks."""
    more = [] if attention == "none" else ["ratio=4"]
    folder = tmp_path / "work"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = [*PLAIN, "data.image_size=16", f"attention={attention}", "trainer.max_epochs=1"]
        assert train([*words, *more]) == 0
    [run] = run_folders(folder)
    if attention == "nonlocal":  # at first it adds nothing
        planted(run, lambda state: [v.fill_(1) for n, v in state.items() if "norm.weight" in n])
    assert main([str(run), "--no-knockout", "--out", str(tmp_path / "out")]) == 0
    svg = (tmp_path / "out" / "maps.svg").read_text()
    assert "Grad-CAM" in svg
    assert ("layer3.0" in svg) == (attention != "none")


BAD = {
    "no run": (["nowhere"], "nowhere is no run: give the folder that holds config.yaml"),
    "no class": (["RUN", "--classes", "class9"], "has no class class9: did you mean class"),
    "classes": (["RUN", "--classes", "class0,class1,class2,class3,class0"], "choose up to 4"),
    "part": (["RUN", "--part", "train"], "invalid choice: 'train'"),
    "root": (["RUN", "data.root=x"], "data.root=x: data=fake lies in no folder, leave it out"),
    "only a root": (["data.root=x"], "required: RUN: see senet-inspect --help"),
    "nothing": ([], "required: RUN: see senet-inspect --help"),
    "out": (["RUN", "--out", "RUN/config.yaml/x"], "is no folder to write to"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str, se_run: Path, capsys) -> None:
    arguments, message = BAD[case]
    files = sorted(se_run.rglob("*"))
    assert main([word.replace("RUN", str(se_run)) for word in arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert sorted(se_run.rglob("*")) == files


@pytest.mark.usefixtures("unrendered")
def test_senet_compare_shows_what_was_seen(tmp_path: Path, capsys) -> None:
    trained_pair(tmp_path)
    [se] = [run for run in run_folders(tmp_path) if run.parent.name.startswith("se_")]
    assert main([str(se)]) == 0
    capsys.readouterr()
    assert compare([str(tmp_path), "--out", str(tmp_path / "report")]) == 0
    table = capsys.readouterr().out.partition("What do its excitations do?")[2]
    rows = [line.split() for line in table.splitlines() if line.startswith("se_resnet20-r4 ")]
    with open(se / "inspect" / "layers.csv", newline="") as file:
        layers = list(csv.DictReader(file))
    with open(se / "inspect" / "knockouts.csv", newline="") as file:
        held = {row["knocked_out"]: float(row["held_points"]) for row in csv.DictReader(file)}
    for stage, row in zip("123", rows, strict=False):
        of_stage = [layer for layer in layers if layer["stage"] == stage]
        mean = np.mean([float(layer["mean"]) for layer in of_stage])
        assert row[1:4] == [stage, "1", f"{mean:.3f}"]
        assert float(row[-1]) == pytest.approx(held[f"stage {stage}"], abs=0.005)
    assert "What do its excitations do?" in (tmp_path / "report" / "index.html").read_text()
    (se / "inspect" / "layers.csv").write_text("stage,mean\n1,x\n")
    assert compare([str(tmp_path)]) == 2
    assert "layers.csv cannot be read" in capsys.readouterr().err


def trained_pair(folder: Path) -> None:
    """One epoch of the same network without attention and with."""
    with brief_runs_in(folder):
        assert train([*DEEPER, "trainer.max_epochs=1"]) == 0
        plain = [word for word in DEEPER if not word.startswith("ratio")]
        assert train([*plain, "attention=none", "trainer.max_epochs=1"]) == 0
