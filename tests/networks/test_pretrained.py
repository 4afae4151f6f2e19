"""Pretrained weights: found, loaded, named; attention that changes no logit; what is frozen."""

import copy
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from support import OPTIM as USUAL_OPTIM
from support import config, run_folders
from torch import Tensor, nn
from torchvision_cases import FAKE, FAMILIES

from senet_train import load_run
from senet_train.attention import ATTENTIONS
from senet_train.backbones import BACKBONES
from senet_train.config.options import keyword_options
from senet_train.config.schema import Choice, Placement
from senet_train.errors import InputError
from senet_train.networks.bind import bind_network
from senet_train.networks.graph.weave import WovenNetwork, weave
from senet_train.networks.hardware import TAILS
from senet_train.networks.insertion import build_network, insert
from senet_train.networks.kernels.library import NoLibrary, find_library
from senet_train.networks.libraries import torchvision as torchvision_networks
from senet_train.networks.libraries.torchvision import plain_network, published, torchvision_network
from senet_train.networks.weights.find import Published
from senet_train.networks.weights.load import last_layer
from senet_train.networks.weights.read import current_name
from senet_train.runs.trained.load import build as build_trained
from senet_train.training.fit import build_learner
from senet_train.training.parameters import new_prefixes, parameter_groups
from senet_train.training.plan import Plan, make_plan
from senet_train.training.tasks.classification import ImageClassifier

State = dict[str, Tensor]


def learnt(name: str = "resnet18", num_classes: int = 7) -> nn.Module:
    """A network whose every tensor differs from what it would be drawn as."""
    network = plain_network(name, num_classes)
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * (1 if "var" in key else 0.02))
    return network


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ResNet-18's weights for 7 classes."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(learnt().state_dict(), path)
    return path


SMALL = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a network that trains and is written in a tenth of the time."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "shufflenet.pth"
    torch.save(learnt(SMALL).state_dict(), path)
    return path


@cache
def drawn(name: str) -> State:
    """The tensors of a network for 2 classes, which no test changes."""
    torch.manual_seed(2)
    return learnt(name, 2).state_dict()


def plan_of(*overrides: str) -> Plan:
    return make_plan(config(*FAKE, *overrides))


def of_file(path: Path, *overrides: str) -> Plan:
    return plan_of("model.name=resnet18", f"model.pretrained={path}", *overrides)


def classifier(plan: Plan, start: Path | None = None) -> ImageClassifier:
    return build_learner(plan, 3, start)


# What is loaded.


@pytest.mark.parametrize("num_classes", [7, 2])
def test_everything_but_the_last_layer(
    file: Path, num_classes: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "senet_train")
    given = torch.load(file, weights_only=True)
    drawn, loaded = (
        torchvision_network("resnet18")(num_classes, pretrained=p).state_dict()
        for p in (False, str(file))
    )
    assert list(drawn) == list(loaded) == list(given)
    new = ["fc.weight", "fc.bias"] if num_classes == 2 else []
    kept = [name for name in given if name not in new]
    assert all(torch.equal(loaded[name], given[name]) for name in kept)
    moved = [name for name in kept if given[name].is_floating_point()]
    assert not any(torch.equal(drawn[name], given[name]) for name in moved)
    added = "; new: fc.weight, fc.bias" if new else ""
    assert caplog.messages == [f"{122 - len(new)} of 122 tensors loaded from {file}{added}"]


def test_the_seed_draws_what_is_new(file: Path) -> None:
    """The new layer's weights are those that the seed would have drawn without the file."""
    plain, loaded = (
        classifier(plan_of("model.name=resnet18", f"model.pretrained={p}")).network.state_dict()
        for p in ("false", file)
    )
    assert torch.equal(plain["fc.weight"], loaded["fc.weight"])
    assert not torch.equal(plain["conv1.weight"], loaded["conv1.weight"])


WRAPPED: dict[str, Callable[[State], object]] = {
    "bare.pt": lambda state: state,
    "lightning.ckpt": lambda state: {"state_dict": state, "epoch": 3},
    "scripts.pth": lambda state: {"model": state, "args": [1]},
    "ours.ckpt": lambda state: {"state_dict": {f"network.{k}": v for k, v in state.items()}},
    "parallel.pth": lambda state: {f"module.{k}": v for k, v in state.items()},
    "before.pth": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
}


@pytest.mark.parametrize("name", [*WRAPPED, "plain.safetensors"])
def test_every_form_of_file(name: str, tmp_path: Path) -> None:
    state = drawn(SMALL)
    if name in WRAPPED:
        torch.save(WRAPPED[name](state), tmp_path / name)
    else:
        save_file(state, tmp_path / name)
    made = torchvision_network(SMALL)(2, pretrained=str(tmp_path / name))
    for key, tensor in made.state_dict().items():
        assert torch.equal(tensor, state[key]) or "num_batches" in key


QUICK = ("resnet18", "squeezenet1_1", "vgg11_bn")


@pytest.mark.parametrize(
    "name",
    [
        *(n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in FAMILIES),
        *(name for name in sorted(BACKBONES) if name not in FAMILIES),
    ],
)
def test_the_last_layer_is_what_hangs_on_the_classes(name: str) -> None:
    """Before and after slots are woven in; and fine-tuning calls it new, with attention."""
    make = partial(plain_network, name) if name in FAMILIES else BACKBONES[name]
    with torch.device("meta"):
        network = make(5)
        first, second = (
            {k: v.shape for k, v in made.state_dict().items()} for made in (network, make(6))
        )
        differing = {key for key in first if first[key] != second[key]}
        assert {key.rpartition(".")[0] for key in differing} == {last_layer(network)}
        if name in FAMILIES:
            network = weave(network)
        slots = insert(network, partial(ATTENTIONS["cbam"], ratio=1))
    new = new_prefixes(network, slots)
    assert {key for key in network.state_dict() if key not in first or key in differing} == {
        key for key in network.state_dict() if key.startswith(new)
    }


def test_what_has_attention_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mobilenet.pth"
    torch.save(learnt("mobilenet_v3_small").state_dict(), path)
    torchvision_network("mobilenet_v3_small")(7, pretrained=str(path))
    assert "attention of its own (9 modules) is taken out with what it learnt" in caplog.text


# Identity at insertion.


@pytest.mark.parametrize("attention", ["se", "cbam", "srm", "gc"])
def test_inserted_attention_changes_no_logit(attention: str, file: Path) -> None:
    x = torch.randn(4, 3, 32, 32)
    network = torchvision_network("resnet18")(7, pretrained=str(file))
    modes = (False, True, False)  # the last with the statistics that the one before it has moved
    with torch.no_grad():
        plain, with_it, other = copy.deepcopy(network), network, copy.deepcopy(network)
        logits = [plain.train(mode)(x) for mode in modes]
        insert(with_it, build_of(attention, identity=True))
        insert(other, build_of("se", identity=False))
        for mode, expected in zip(modes, logits, strict=True):
            assert (with_it.train(mode)(x) - expected).abs().max() == 0.0
            assert (other.train(mode)(x) - expected).abs().max() > 1e-3
    with_it.train()(x).square().sum().backward()
    of_attention = [p for name, p in with_it.named_parameters() if ".attend." in name]
    assert any(p.grad is not None and p.grad.any() for p in of_attention)


def build_of(attention: str, *, identity: bool) -> partial[nn.Module]:
    ratio = {"ratio": 16} if "ratio" in keyword_options(ATTENTIONS[attention]) else {}
    return partial(ATTENTIONS[attention], identity=identity, **ratio)


def test_the_default_follows_the_weights() -> None:
    def identity(*overrides: str) -> object:
        return config("model=torchvision", *overrides).attention.options["identity"]

    for given in ("model.pretrained=true", "model.pretrained=some.pth"):
        assert identity("attention=se", given) is True
        assert identity("attention=se", given, "attention.identity=false") is False
        assert identity("attention=simam", given) is False
    assert identity("attention=se") is False
    assert identity("attention=gct") is True


# What a run is called.


def test_a_run_is_known_by_the_content_of_its_weights(file: Path, tmp_path: Path) -> None:
    plan = of_file(file, "attention=se")
    assert plan.identity.label == "se_torchvision_resnet18-r16-identity_True"
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert plan.config.model.options["pretrained"] == f"sha256:{sha256}"
    elsewhere = tmp_path / "renamed.ckpt"
    elsewhere.write_bytes(file.read_bytes())
    assert of_file(elsewhere, "attention=se").identity == plan.identity
    state = torch.load(file, weights_only=True)
    state["conv1.weight"][0, 0, 0, 0] += 1
    torch.save(state, elsewhere)
    others = [of_file(elsewhere, "attention=se")]
    words = ("model.name=resnet18", "attention=se", "attention.identity=true")
    others += [plan_of(*words), plan_of(*words, "model.pretrained=true")]
    assert len({p.identity.sha256 for p in (plan, *others)}) == 4
    assert "pretrained" not in others[1].config.model.options
    assert others[2].config.model.options["pretrained"] == "IMAGENET1K_V1-f37072fd"


def test_a_file_that_changes_after_it_was_planned(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(file.read_bytes())
    plan = of_file(path)
    torch.save(learnt().state_dict(), path)
    with pytest.raises(InputError, match="has changed since the run was planned"):
        classifier(plan)


# A library's own weights.


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A server on 127.0.0.1 with SqueezeNet's weights at the address that the library names."""
    path = tmp_path / "weights.pth"
    torch.save(learnt("squeezenet1_1").state_dict(), path)
    content = path.read_bytes()
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digits = hashlib.sha256(content).hexdigest()[:8]
    made = SimpleNamespace(asked=asked, digits=digits, path=path)

    def at(digits: str, host: str = "http://127.0.0.1") -> None:
        url = f"{host}:{server.server_port}/squeezenet1_1-{digits}.pth"
        weights = Published("TINY_V1", url)
        monkeypatch.setattr(torchvision_networks, "published", lambda name: weights)

    made.at = at
    at(digits)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    yield made
    server.shutdown()
    server.server_close()


SQUEEZE = ("model.name=squeezenet1_1", "model.pretrained=true")


def test_a_librarys_weights_are_fetched_once_and_late(served: SimpleNamespace) -> None:
    plan = plan_of(*SQUEEZE, "attention=se")
    assert plan.config.model.options["pretrained"] == f"TINY_V1-{served.digits}"
    assert not served.asked
    first, second = classifier(plan).network.state_dict(), classifier(plan).network.state_dict()
    assert len(served.asked) == 1
    given = torch.load(served.path, weights_only=True)
    kept = [name for name in given if not name.startswith("classifier.1.")]
    assert all(torch.equal(first[name], given[name]) for name in kept)
    assert torch.equal(first["classifier.1.weight"], second["classifier.1.weight"])
    same = plan_of("model.name=squeezenet1_1", f"model.pretrained={served.path}", "attention=se")
    assert same.identity == plan.identity  # the file is what would be fetched


def test_what_is_not_what_it_is_called(served: SimpleNamespace, tmp_path: Path) -> None:
    served.at("00000000")
    with pytest.raises(InputError, match=r"could not be fetched \(invalid hash value"):
        classifier(plan_of(*SQUEEZE))
    kept = tmp_path / "hub/checkpoints/squeezenet1_1-00000000.pth"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(served.path.read_bytes())
    with pytest.raises(InputError, match="is not what its name says"):
        classifier(plan_of(*SQUEEZE))


def test_what_cannot_be_fetched_leaves_nothing(
    served: SimpleNamespace, senet, tmp_path: Path
) -> None:
    served.at(served.digits, "http://example.invalid")
    assert senet(*FAKE, *SQUEEZE, "dry_run=true").code == 0
    result = senet(*FAKE, *SQUEEZE)
    assert result.code == 2
    assert "could not be fetched (not https): try again, or" in result.err.splitlines()[-1]
    assert not (tmp_path / "outputs").exists()
    assert not served.asked


@pytest.mark.parametrize("name", FAMILIES)
def test_every_network_has_weights_with_a_hash(name: str) -> None:
    url = torchvision_networks.models.get_model_weights(name).DEFAULT.url
    assert re.search(f"-{published(name).sha256_start}.pth$", url)
    assert url.startswith("https://")


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("googlenet", "aux1, aux2"),
        pytest.param("inception_v3", "AuxLogits", marks=pytest.mark.slow),
    ],
)
def test_ported_networks_have_heads_and_colours_of_their_own(
    name: str, heads: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Their published weights, in the library's network and in ours, give the same logits."""
    caplog.set_level("INFO", "senet_train")
    getter = torchvision_networks.models.get_model
    theirs = getter(name, weights=None, init_weights=False, transform_input=True).eval()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *a, **k: theirs.state_dict())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "nowhere")
    ours = torchvision_network(name)(1000, pretrained=True).eval()
    assert f"left out: {heads}" in caplog.text
    assert len(ours.units) == FAMILIES[name][0]
    x = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        logits = theirs(x)
        assert torch.equal(ours(x), logits)
        # As a run that is loaded: the configuration says what they are, nothing is read.
        choice = Choice(name, {"pretrained": published(name).fingerprint}, "torchvision")
        again = bind_network(choice, load_weights=False)[0](1000).eval()
        again.load_state_dict(ours.state_dict())
        assert torch.equal(again(x), logits)
        plain = bind_network(Choice(name, {}, "torchvision"))[0](1000).eval()
        plain.load_state_dict(ours.state_dict())
        assert not torch.equal(plain(x), logits)


def test_weights_that_may_see_other_colours_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a file nothing tells whether it began as the published weights."""
    caplog.set_level("INFO", "senet_train")
    file = tmp_path / "googlenet.pth"
    torch.save(torchvision_networks.plain_network("googlenet", 10).state_dict(), file)
    torchvision_network("googlenet")(10, pretrained=str(file))
    assert "they see colours on another scale" in caplog.text


def test_densenets_old_names() -> None:
    old = "features.denseblock1.denselayer12.norm.1.running_mean"
    assert current_name(old) == "features.denseblock1.denselayer12.norm1.running_mean"
    assert current_name("features.norm0.weight") == "features.norm0.weight"


# What is wrong with a file.


def spoilt(state: State, name: str, tensor: Tensor | None) -> State:
    kept = {key: value for key, value in state.items() if key != name}
    return kept if tensor is None else kept | {name: tensor}


BAD: dict[str, tuple[Callable[[State], object], str]] = {
    "another network": (
        lambda state: spoilt(state, "conv1.weight", torch.zeros(64, 3, 3, 3)),
        "does not fit ResNet: 'conv1.weight' is (64, 3, 3, 3) there and (64, 3, 7, 7) in the netw",
    ),
    "less": (lambda state: spoilt(state, "bn1.running_var", None), "'bn1.running_var' is missing"),
    "more": (
        lambda state: spoilt(state, "units.x\x1b", torch.zeros(3)),
        r"'units.x\x1b' is (3,) there and missing in the network",
    ),
    "attention": (
        lambda state: spoilt(state, "units.layer1_0.attend.pre.conv.weight", torch.zeros(3)),
        "attend.pre.conv.weight' is of attention, which would not come along: give weights of a",
    ),
    "another width": (
        lambda state: spoilt(state, "fc.weight", torch.zeros(7, 100)),
        "'fc.weight' is (7, 100) there and (2, 512) in the network",
    ),
    "no tensors": (lambda state: {"state_dict": {"a": 1}}, "holds no state_dict of tensors"),
    "code": (lambda state: {"a": Path("x")}, "beside its tensors, and only plain data are read"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_does_not_fit(what: str, senet, tmp_path: Path) -> None:
    make, message = BAD[what]
    path = tmp_path / "bad.pth"
    torch.save(make(drawn("resnet18")), path)
    refused(senet(*FAKE, "model.name=resnet18", f"model.pretrained={path}"), message, tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.pth", "is no file of plain tensors"),
        ("text.safetensors", "is no file of plain tensors"),
        ("missing.pth", "there is no such file, give one of weights, true for"),
        ("sha256:" + "0" * 64, "says what the weights are and not where"),
        ("3", "there is no such file, give one of weights, true for"),
    ],
)
def test_what_is_no_weights(name: str, message: str, senet, tmp_path: Path) -> None:
    for ending in ("pth", "safetensors"):
        (tmp_path / f"text.{ending}").write_text("no weights")
    refused(senet(*FAKE, "model.name=resnet18", f"model.pretrained={name}"), message, tmp_path)


def refused(result, message: str, folder: Path) -> None:
    assert result.code == 2
    line = result.err.splitlines()[-1]
    assert line.startswith("error: model.pretrained=") or "is no file" in line or "holds" in line
    assert message in line
    assert "Traceback" not in result.err
    assert not (folder / "outputs").exists()


def test_safetensors_are_an_extra(file: Path, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(torch.load(file, weights_only=True), path)
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", None)
    with pytest.raises(InputError, match="read by the package safetensors: pip install"):
        of_file(path)


def test_our_own_networks_have_no_such_option(senet) -> None:
    result = senet("model=resnet18", "+model.pretrained=true", "dry_run=true")
    assert result.code == 2
    assert "model.pretrained belongs to model=timm or model=torchvision" in result.err


# Fine-tuning.

OPTIM = replace(USUAL_OPTIM, lr=0.05)
FROZEN = replace(OPTIM, frozen="backbone")


def tiny(attention: str = "se", library: bool = True) -> tuple[nn.Module, tuple[str, ...]]:
    name = "squeezenet1_1" if library else "resnet20"
    network = torchvision_network(name) if library else BACKBONES[name]
    options = {"ratio": 4, "identity": True} if attention == "se" else {}
    make = partial(ATTENTIONS[attention], **options)
    made, slots = build_network(partial(network), make, Placement(), num_classes=2, seed=0)
    return made, new_prefixes(made, slots)


@pytest.mark.parametrize("decay", [True, False])
def test_the_factor_is_exact(decay: bool) -> None:
    network, new = tiny()
    optim = replace(OPTIM, backbone_lr_factor=0.1, decay_norm_and_bias=decay)
    groups = parameter_groups(network, optim, new)
    assert len(groups) == (2 if decay else 4)
    names = {id(p): name for name, p in network.named_parameters()}
    for group in groups:
        rate = group.get("lr", optim.lr)
        for p in group["params"]:
            assert rate == (0.05 if names[id(p)].startswith(new) else 0.05 * 0.1)
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(names)
    assert "lr" not in groups[0]  # the rate that is reported is that of what is new
    assert len(parameter_groups(network, OPTIM, new)) == 1


def test_the_rates_move_together(file: Path) -> None:
    module = classifier(of_file(file, "attention=se", "optim.backbone_lr_factor=0.25"))
    module._trainer = SimpleNamespace(gradient_clip_val=None)  # type: ignore[assignment]
    made = module.configure_optimizers()
    scheduler, groups = made["lr_scheduler"]["scheduler"], made["optimizer"].param_groups
    rates = set()
    for _ in range(3):
        assert groups[1]["lr"] == pytest.approx(0.25 * groups[0]["lr"], rel=1e-12)
        rates.add(groups[0]["lr"])
        made["optimizer"].step()
        scheduler.step()
    assert len(rates) == 3
    assert [len(group["params"]) for group in groups] == [8 * 2 + 2, 60]


@pytest.mark.parametrize(
    ("attention", "frozen"),
    [
        ("se", True),
        ("none", True),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("srm", True), ("se", False))),
    ],
)
def test_what_is_frozen_stays(
    attention: str, frozen: bool, senet, tmp_path: Path, small_file: Path
) -> None:
    """A whole run, its weights averaged: the bits of weights and statistics; the rest moves."""
    given = (f"model.name={SMALL}", f"model.pretrained={small_file}", f"attention={attention}")
    words = (f"optim.frozen={'backbone' if frozen else 'none'}", "optim.lr=0.1")
    result = senet(*FAKE, *given, *words, "trainer.ema_decay=0.5")
    assert result.code == 0
    [folder] = run_folders(tmp_path)
    assert "tensors loaded from" in (folder / "run.log").read_text()
    trained = load_run(folder)
    after, before = trained.model.state_dict(), torch.load(small_file, weights_only=True)
    new = new_prefixes(trained.model, trained.slots)
    backbone = [name for name in after if not name.startswith(new)]
    still = [name for name in backbone if torch.equal(after[name], before[name])]
    assert len(backbone) == len(before) - 2 == 336
    assert still == (backbone if frozen else [])
    plain = bind_network(Choice(SMALL, {}, "torchvision"))[0]
    kind = partial(ATTENTIONS[attention], **dict(trained.config.attention.options))
    first = build_network(plain, kind, Placement(), num_classes=2, seed=0)[0].state_dict()
    moved = {name for name in after if name.startswith(new) and not after[name].equal(first[name])}
    assert {"fc.weight", "fc.bias"} <= moved
    gates = [f"{slot.name}." for slot in trained.slots if attention != "none"]
    assert all(any(name.startswith(gate) for name in moved) for gate in gates)


@pytest.mark.parametrize("library", [True, False])
def test_frozen_by_every_kernel(library: bool) -> None:
    """The folded passes with frozen BatchNorm give the gradients of plain modules."""
    x = torch.randn(8, 3, 32, 32).to(memory_format=torch.channels_last)
    found = {}
    for kernel in ("composed", "joined", "folded"):
        if kernel == "folded" and isinstance(find_library(), NoLibrary):
            pytest.skip("no C++ compiler")
        network, new = tiny(library=library)
        network = network.to(memory_format=torch.channels_last)
        network.use_tail(TAILS[kernel])
        module = ImageClassifier(
            *(network, FROZEN, lambda x: 1.0),
            **{"seed": 0, "max_epochs": 1, "steps_per_epoch": 1, "num_classes": 2},
            new=new,
        )
        module.train().on_train_start()
        torch.manual_seed(0)
        before = copy.deepcopy(network.state_dict())
        network(x).square().sum().backward()
        after = network.state_dict()
        assert all(torch.equal(after[name], before[name]) for name in before)
        found[kernel] = {n: p.grad for n, p in network.named_parameters() if p.requires_grad}
        assert all(p.grad is None for p in network.parameters() if not p.requires_grad)
    for gradients in found.values():
        assert list(gradients) == list(found["composed"])
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, found["composed"][name], rtol=1e-4, atol=1e-4)


def test_a_run_goes_on_without_the_file(senet, tmp_path: Path, small_file: Path) -> None:
    """Cut before its test, the file gone: found by the content of its weights, it ends the same."""
    path = tmp_path / "weights.pth"
    path.write_bytes(small_file.read_bytes())
    given = [*FAKE[:-1], "trainer.max_epochs=2", f"model.name={SMALL}", "attention=se"]
    given += ["optim.frozen=backbone", "trainer.kernel=composed"]
    whole = senet(*given, f"model.pretrained={path}")
    assert whole.code == 0
    [folder] = run_folders(tmp_path)
    path.unlink()
    expected = {k: v.clone() for k, v in load_run(folder).model.state_dict().items()}
    given_weights = torch.load(small_file, weights_only=True)
    kept = [name for name in given_weights if not name.startswith("fc.")]
    assert all(torch.equal(expected[name], given_weights[name]) for name in kept)
    known = json.loads((folder / "result.json").read_text())["config"]["model"]["pretrained"]
    assert known.startswith("sha256:")
    # As if it had been stopped at its last checkpoint.
    (folder / "result.json").unlink()
    (folder / "status.json").write_text(
        (folder / "status.json").read_text().replace('"finished"', '"interrupted"')
    )
    again = senet(*given, f"model.pretrained={known}")
    assert again.code == 0, again.err
    assert "going on after 2 epochs" in again.err
    assert (folder / "result.json").exists()
    found = load_run(folder).model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_strangers_configuration_reads_no_file(tmp_path: Path) -> None:
    """What `model.pretrained` of a run's config.yaml names is never opened."""
    tempting = tmp_path / "missing.pth"
    made = config(*FAKE, "model.name=squeezenet1_1", f"model.pretrained={tempting}")
    weights = torchvision_network("squeezenet1_1")(2).state_dict()
    model, _, _ = build_trained(made, weights, tmp_path / "best.ckpt")
    assert isinstance(model, WovenNetwork)
    with pytest.raises(InputError, match="there is no such file"):
        make_plan(made)


def test_warnings(senet) -> None:
    given = ("model.name=squeezenet1_1", "model.pretrained=true", "dry_run=true")
    said = senet(*FAKE, *given, "attention=simam")
    assert "attention=simam does not start as the identity" in said.err
    assert "warning" not in senet(*FAKE, *given).err
    said = senet(*FAKE, *given[::2], "optim.frozen=backbone")
    assert "optim.frozen=backbone, and the backbone has learnt nothing yet" in said.err


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("finetune_attention", ("backbone", 1.0)), ("finetune", ("none", 0.1))],
)
def test_presets(preset: str, expected: tuple[str, float]) -> None:
    made = config(f"experiment={preset}", "attention=se")
    assert (made.optim.frozen, made.optim.backbone_lr_factor) == expected
    assert made.model.options["pretrained"] is True
    assert made.attention.options["identity"] is True


def test_a_factor_that_nothing_reads() -> None:
    with pytest.raises(InputError, match=r"backbone_lr_factor=0\.1 changes nothing with"):
        plan_of("model.name=resnet18", "optim.frozen=backbone", "optim.backbone_lr_factor=0.1")
