"""`attention.identity=true`: at first the input itself; false: what there was before the option."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from support import CONF, ROOT, TINY, needs_compiler, run_folders
from tail_cases import GATES, SHAPES, Case, assert_close, build_of
from torch import Tensor, nn
from torch.nn import functional as F

from senet_train import load_run
from senet_train.attention import ATTENTIONS
from senet_train.attention import gate as gates
from senet_train.backbones.cifar_resnet import resnet8
from senet_train.backbones.tail import composed
from senet_train.config.options import bind, defaults
from senet_train.config.read import read_config, read_tree
from senet_train.config.resolvers import register_resolvers
from senet_train.config.schema import Choice, Config, Placement
from senet_train.data.images import Source
from senet_train.keyed import forked_random
from senet_train.networks.hardware import TAILS
from senet_train.networks.insertion import build_network
from senet_train.runs.identity import as_tree, drop_later_options, identify
from senet_train.training import plan

NAMES = sorted(file.stem for file in (CONF / "attention").glob("*.yaml"))
CANNOT = {
    "none": "there is nothing to insert",
    "ge": "it has no parameter that could start at the identity",
    "simam": "it has no parameter that could start at the identity",
}
ALWAYS = ["gc", "gct", "nonlocal"]
CAN = [name for name in NAMES if name not in CANNOT]
CHOSEN = [name for name in CAN if name not in ALWAYS]

# Those that have it, and every option that lies at the gate or before it.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in CAN},
    "se bias": ("se", {"bias": True}),
    "scse add": ("scse", {"combine": "add"}),
    "ge_theta 2": ("ge_theta", {"extent": 2}),
    "ge_theta_plus bias": ("ge_theta_plus", {"bias": True}),
    "shuffled tanh": ("shuffled", {"gate": "tanh"}),
    **{
        f"se {squeeze} {gate}": ("se", {"squeeze": squeeze, "gate": gate})
        for squeeze in ("avg", "max", "avg_max", "none")
        for gate in ("sigmoid", "tanh", "relu", "hardsigmoid")
    },
}


def build(case: str, *, identity: bool, channels: int = 32) -> nn.Module:
    """The attention, with the same draws whether it starts as the identity or not."""
    name, options = CASES[case]
    with forked_random("attention", 0, name):
        return build_of(name)(channels, identity=identity, **options)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_at_first_it_returns_its_input(case: str, training: bool) -> None:
    module = build(case, identity=True).train(training)
    for shape in ((4, 32, 6, 5), (2, 32, 1, 1)):
        x = torch.randn(shape) * 3 - 1
        assert torch.equal(module(x), x)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(module(x), x)
            assert torch.equal(module(x.bfloat16()), x.bfloat16())


@pytest.mark.parametrize("name", CHOSEN)
def test_without_it_the_input_is_changed(name: str) -> None:
    """Negative control: it is the option that does it."""
    x = torch.randn(4, 32, 6, 5)
    assert (build(name, identity=False)(x) - x).abs().max() > 0.1


@pytest.mark.parametrize("case", CASES)
def test_it_learns_from_the_first_step(case: str) -> None:
    module = build(case, identity=True)
    x = torch.randn(16, 32, 6, 5) + 0.5
    (module(x) * torch.randn_like(x)).sum().backward()
    gradients = [parameter.grad for parameter in module.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)  # type: ignore[union-attr]
    torch.optim.SGD(module.parameters(), lr=0.1).step()
    assert (module(x) - x).abs().max() > 1e-3


@pytest.mark.parametrize("name", CHOSEN)
def test_only_zeros_are_set(name: str) -> None:
    """The other layers have the weights of the same arm without it: nothing more is drawn."""
    plain, started = (build(name, identity=identity).state_dict() for identity in (False, True))
    assert list(plain) == list(started)
    for key, tensor in started.items():
        assert torch.equal(tensor, plain[key]) or not tensor.any(), key


def doubled(module: nn.Module, x: Tensor) -> Tensor:
    return 2 * module(x)


def from_one_more(module: nn.Module, x: Tensor) -> Tensor:
    return x + module(x)


def of_one_more(module: nn.Module, x: Tensor) -> Tensor:
    z = torch.relu(module.reduce(x.mean((2, 3))))
    return x * F.relu(1 + module.expand(z))[:, :, None, None]


def of_cbam(module: nn.Module, x: Tensor) -> Tensor:
    x = x * 2 * module.channel_gate(x)
    return x * 2 * module.spatial_gate(x)


# What the plain module with the same weights says of the one that started as the identity.
TOLD: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    **dict.fromkeys(CHOSEN, doubled),
    "coord": lambda module, x: 4 * module(x),  # two gates
    "cbam": of_cbam,
    "bam": lambda module, x: 2 * (module(x) - x),  # 1 + sigmoid
    "scse add": lambda module, x: module(x),
    "se avg hardsigmoid": doubled,
    "se avg tanh": from_one_more,
    "se avg relu": of_one_more,
}


@pytest.mark.parametrize("case", TOLD)
def test_trained_it_is_the_plain_one_with_another_gate(case: str) -> None:
    plain, started = (build(case, identity=identity).double() for identity in (False, True))
    for parameter in plain.parameters():
        nn.init.normal_(parameter)
    started.load_state_dict(plain.state_dict())
    x = torch.randn(4, 32, 6, 5, dtype=torch.float64) + 0.5
    expected = TOLD[case](plain, x)
    torch.testing.assert_close(started(x), expected, rtol=1e-12, atol=1e-12)
    if case != "scse add":
        assert (plain(x) - expected).abs().max() > 0.1


def test_how_far_gates_go() -> None:
    s = torch.tensor([-1e3, 0.0, 1e3])
    ends = {name: [gate(s).tolist() for gate in pair] for name, pair in gates.GATES.items()}
    assert ends == {
        "sigmoid": [[0, 0.5, 1], [0, 1, 2]],
        "hardsigmoid": [[0, 0.5, 1], [0, 1, 2]],
        "tanh": [[-1, 0, 1], [0, 1, 2]],
        "relu": [[0, 0, 1e3], [0, 1, 1001]],
        "open": [[1, 1.5, 2], [0, 1, 2]],
    }


# Recorded with the code before the option, commit ba158dd: the identity of an arm on resnet20, the
# state at first (names and bits), and the output in float64 as one number.
BEFORE = {
    "bam": ("5af4a5d8", "7d11f7a4", 1.60398917629),
    "cbam": ("d3438fd2", "d110b4ad", 16.9048197327),
    "coord": ("e2a9d7c6", "c209df26", -21.1982222422),
    "eca": ("2ec0e158", "418dc2eb", -15.0447886),
    "ese": ("0dc5efcc", "b45ca8b6", 34.5693930037),
    "fca": ("c7d02756", "7dbb5bf1", -43.9146022475),
    "gc": ("7e12e684", "8815f6cb", -23.2787613292),
    "gct": ("a69b22d3", "b02abebe", 133.479186549),
    "ge": ("631c2223", "e3b0c442", -0.686139286352),
    "ge_theta": ("e303c832", "f7a1d63f", -17.1176393779),
    "ge_theta_plus": ("da070e15", "39d1f037", -21.1698180955),
    "none": ("02497ad5", "e3b0c442", 108.19444791),
    "nonlocal": ("c1350eff", "7be819bb", -159.66893356),
    "scse": ("2d3e50c0", "44b8b5a3", 63.8530047601),
    "se": ("fc1bbc05", "fa51928c", 4.4010358652),
    "sge": ("f902ce00", "64c038d7", -44.792251049),
    "shuffled": ("e3ca4228", "ef7ad7a6", -29.2673263279),
    "simam": ("f7c7d6f1", "e3b0c442", -59.7025716126),
    "srm": ("bbf71f33", "d315278f", 26.8132333542),
    "static": ("92f1c323", "00660af0", -4.56850698308),
}


@pytest.mark.parametrize("name", BEFORE)
def test_without_it_nothing_has_changed(name: str) -> None:
    with forked_random("attention", 0, name):
        module = build_of(name)(32)
        x = torch.randn(4, 32, 6, 5, dtype=torch.float64)
    digest = hashlib.sha256()
    for key, tensor in module.state_dict().items():
        digest.update(key.encode() + tensor.numpy().tobytes())
    y = module.double()(x).detach()
    weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view_as(y)
    assert digest.hexdigest()[:8] == BEFORE[name][1]
    assert (y * weights).sum().item() == pytest.approx(BEFORE[name][2], rel=1e-9)


@cache
def configured(*overrides: str) -> Config:
    """The configuration of resnet20 on `fake`, by default without attention."""
    register_resolvers()
    shared = ["data=fake", "model=resnet20", "trainer.precision=32", "trainer.kernel=composed"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return read_config(compose("config", [*shared, *overrides]))


@cache
def plan_of(*overrides: str) -> plan.Plan:
    return plan.make_plan(configured(*overrides))


@pytest.mark.parametrize("name", BEFORE)
def test_no_identity_has_moved(name: str) -> None:
    base = plan_of("attention=none").config
    options = {"ratio": 4} if "ratio" in defaults(ATTENTIONS[name]) else {}
    attention, kind = bind(Choice(name, options), ATTENTIONS, "attention", "senet_train.attention")
    config = replace(base, attention=drop_later_options(kind, defaults(attention.func)))
    fingerprint = plan_of("attention=none").source.fingerprint
    assert identify(config, fingerprint, "label").sha256[:8] == BEFORE[name][0]


STUDIES = ROOT / "docs/evidence/studies"
RECORDS = {file.parts[-3]: file for file in STUDIES.glob("*/*/seed0/result.json")}


@pytest.mark.parametrize("arm", sorted(RECORDS))
def test_published_runs_are_still_found(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of a record's configuration has the record's identity, and says no more than it."""
    record = json.loads(RECORDS[arm].read_text())
    later = {"retry": "none"}
    trainer = {"kernel": "composed", "checkpoint_minutes": 0, **record["config"]["trainer"]}
    config = read_tree({**later, **record["config"], "trainer": trainer})
    names = config.data.source.options.get("classes", range(config.data.num_classes))
    source = Source(tuple(names), record["data_fingerprint"], load=lambda: pytest.fail("unread"))
    monkeypatch.setattr(plan, "find_data", lambda data, sources: (source, data))
    made = plan.make_plan(config)
    assert made.identity.sha256 == record["identity"]
    assert made.identity.arm == arm
    assert as_tree(made.config)["attention"] == record["config"]["attention"]


def test_with_it_a_run_is_another() -> None:
    plain, started = plan_of("attention=se"), plan_of("attention=se", "attention.identity=true")
    assert started.identity.sha256 != plain.identity.sha256
    assert started.identity.label == f"{plain.identity.label}-identity_True"
    assert plan_of("attention=se", "attention.identity=false").identity == plain.identity
    assert "identity True" in str(started.hyperparameters()["attention"])
    always = plan_of("attention=gct"), plan_of("attention=gct", "attention.identity=true")
    assert always[0].identity == always[1].identity


# The faster kernels.

kernels = pytest.mark.parametrize(
    "kernel",
    [
        "composed",
        "joined",
        pytest.param("folded", marks=needs_compiler),
    ],
)


def network(name: str, kernel: str, **options: bool) -> nn.Module:
    def build_attention(channels: int) -> nn.Module:
        return build_of(name)(channels, **options)

    made, _ = build_network(resnet8, build_attention, Placement(), num_classes=10, seed=0)
    made.use_tail(TAILS[kernel])
    return made.to(memory_format=torch.channels_last)


@kernels
@pytest.mark.parametrize("name", CAN)
def test_no_logit_changes(name: str, kernel: str) -> None:
    """In training, where BatchNorm's statistics move, and after it, in evaluation.

    `folded` leaves BatchNorm before a gate that it cannot fold to torch, which rounds otherwise.
    """
    images = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    plain, started = network("none", kernel), network(name, kernel, identity=True)
    exact = kernel != "folded" or name in GATES
    for dtype in (torch.float32, torch.bfloat16):
        for training in (True, False):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                expected, found = (net.train(training)(images) for net in (plain, started))
            if exact:
                assert torch.equal(found, expected)
            else:
                close = 1e-4 if dtype == torch.float32 else 0.1
                torch.testing.assert_close(found, expected, rtol=close, atol=close)


@kernels
def test_the_plain_gate_changes_logits(kernel: str) -> None:
    """Negative control."""
    images = torch.randn(4, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    logits = [network(name, kernel).eval()(images) for name in ("none", "se")]
    assert (logits[0] - logits[1]).abs().max() > 0.01


@kernels
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", [name for name in GATES if name not in CANNOT])
def test_kernels_agree_once_it_has_learnt(name: str, training: bool, kernel: str) -> None:
    """Output and every gradient, in float64, with random weights."""
    for shape in [shape for shape in SHAPES if shape[1] >= 16]:
        case = Case(shape, name, training=training)
        started = build(name, identity=True, channels=shape[1]).double()
        started.load_state_dict(case.attention.state_dict())
        case.attention = started
        assert_close(case.results(TAILS[kernel]), case.results(composed), 1e-12)


# The command.


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_is_refused(name: str, senet, tmp_path: Path) -> None:
    result = senet("model=resnet20", f"attention={name}", "attention.identity=true")
    assert result.code == 2
    [line] = result.err.splitlines()
    assert f"attention.identity=true is not for {name}: {CANNOT[name]}, choose " in line
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("name", ALWAYS)
def test_what_always_does_takes_no_false(name: str, senet) -> None:
    result = senet("model=resnet20", f"attention={name}", "attention.identity=false")
    assert result.code == 2
    assert f"attention.identity=false is not for {name}: it always starts as" in result.err


def test_a_table_skips_what_cannot(senet) -> None:
    result = senet(
        *("-m", "data=fake", "model=resnet20", "attention=simam,se", "attention.identity=true"),
        "dry_run=true",
    )
    assert result.code == 0
    assert "skipped: " in result.err
    assert "is not for simam" in result.err
    assert "se_resnet20-r16-identity_True" in result.out


def test_a_run_and_what_it_leaves(senet, tmp_path: Path) -> None:
    assert senet(*TINY, "attention.identity=true", "trainer.max_epochs=1").code == 0
    [folder] = run_folders(tmp_path)
    assert json.loads((folder / "result.json").read_text())["config"]["attention"]["identity"]
    run = load_run(folder)
    module = run.model.get_submodule(run.slots[0].name)
    assert module.activation is gates.twice_sigmoid
