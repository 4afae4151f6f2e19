"""Networks of timm with attention: their units, their numbers, attention of their own, weights."""

import copy
import hashlib
import logging
import re
import sys
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from support import Result, run_folders
from torch import nn
from torch.nn import functional as F

from senet_train import load_run
from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.config.compose import composed
from senet_train.config.schema import Config
from senet_train.errors import InputError
from senet_train.networks.cost import count_parameters
from senet_train.networks.graph.own_attention import OWN_ATTENTION, input_dependent, is_gated
from senet_train.networks.graph.trace import trace
from senet_train.networks.graph.weave import weave
from senet_train.networks.insertion import insert
from senet_train.networks.libraries import timm as timm_networks
from senet_train.networks.libraries.timm import plain_network, timm_network
from senet_train.networks.weights.find import Published
from senet_train.runs.record import read_record
from senet_train.training.plan import make_plan

# Units, how many modules of attention of its own go, and the first unit.
SMALL = {
    "seresnet18": (8, 8, "layer1_0"),
    "test_convnext": (9, 0, "stages_0_blocks_0"),
    "lcnet_035": (13, 2, "blocks_0_0"),  # no addition: the modules that had attention
    "vgg11_bn": (8, 0, "features_0"),
    "dla34": (12, 0, "level2_tree1"),
    "selecsls42": (6, 0, "features_0"),
}
LARGE = {
    "ecaresnet26t": (8, 8, "layer1_0"),
    "resnetv2_18": (8, 0, "stages_0_blocks_0"),
    "res2net50_14w_8s": (16, 0, "layer1_0"),  # its inner additions are no units
    "regnety_002": (13, 13, "s1_b1"),
    "efficientnet_b0": (16, 16, "blocks_0_0"),
    "repvgg_a0": (22, 0, "stem"),
    "mobileone_s0": (43, 0, "stem"),  # sums of several branches
    "legacy_senet154": (50, 50, "layer1_0"),
    "inception_resnet_v2": (40, 0, "repeat_0"),
    "inception_v3": (11, 0, "Mixed_5b"),
    "densenet121": (58, 0, "features_denseblock1_denselayer1"),
    "pnasnet5large": (14, 0, "cell_stem_0"),  # a cell's additions are concatenated
    "hrnet_w18_small": (23, 0, "layer1_0"),
}
EVERY = SMALL | LARGE
QUICK = [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]


def config(*overrides: str) -> Config:
    return composed(["model=timm", *overrides])


@pytest.mark.parametrize("name", QUICK)
def test_units_of_each_family(name: str) -> None:
    num_units, num_own, first = EVERY[name]
    with torch.device("meta"):
        network = timm_network(name)(10)
    assert (len(network.units), len(network.taken_out)) == (num_units, num_own)
    assert next(iter(network.units)) == first
    assert not [m for m in network.modules() if type(m).__name__ in OWN_ATTENTION]
    functions = [node.target for node in network.graph.nodes if node.op == "call_function"]
    assert not {F.dropout, F.dropout2d} & set(functions)  # a graph would fix their mode


def opened(name: str, num_classes: int = 10) -> nn.Module:
    """The network with no branch that begins as zero, as those of timm's ResNets do."""
    network = plain_network(name, num_classes)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            nn.init.ones_(module.weight)
    return network


@pytest.mark.parametrize("name", ["resnet18", "test_convnext", "test_byobnet", "dla34"])
def test_weaving_changes_no_bit_and_no_name(name: str) -> None:
    """Attention of its own first made to pass its input on, as weaving does."""
    plain = opened(name).eval()
    for path in [path for path, m in plain.named_modules() if type(m).__name__ in OWN_ATTENTION]:
        plain.set_submodule(path, nn.Identity())
    before = copy.deepcopy(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = plain(x)
        woven = weave(plain.train()).eval()
        assert torch.equal(woven(x), logits)
        assert woven.state_dict().keys() == before.keys()
        insert(woven, partial(SqueezeExcite, ratio=2))
        assert not torch.equal(woven(x), logits)
        insert(woven, partial(SqueezeExcite, ratio=2, identity=True))
        assert torch.equal(woven(x), logits)


def test_dropout_follows_the_mode() -> None:
    """Networks of the legacy kind call it as a function, which tracing would fix in its mode."""
    network, x = weave(plain_network("legacy_seresnet18", 10)), torch.randn(2, 3, 64, 64)
    state = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        assert torch.equal(network.eval()(x), network(x))
        network.train()(x)
        network.load_state_dict(state)
        torch.manual_seed(0)
        first = network(x)
        network.load_state_dict(state)
        assert not torch.equal(first, network(x))
        network.load_state_dict(state)
        torch.manual_seed(0)
        assert torch.equal(first, network(x))


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_an_seresnet_without_se_is_the_resnet(name: str) -> None:
    theirs = opened(f"se{name}").eval()
    plain, x = plain_network(name, 10).eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = theirs(x)
        woven = weave(theirs)
        plain.load_state_dict(woven.state_dict())
        assert torch.equal(woven(x), plain(x))
        assert not torch.equal(before, plain(x))


# timm's own parameters, and those of the network once SE with biases is put back, ratio 16.
PUT_BACK = {"legacy_seresnet18": 11_778_592, "legacy_senet154": 115_088_984}


@pytest.mark.parametrize(
    "name", ["legacy_seresnet18", pytest.param("legacy_senet154", marks=pytest.mark.slow)]
)
def test_se_put_back_is_timms_count(name: str) -> None:
    with torch.device("meta"):
        theirs = plain_network(name, 1000)
        network = timm_network(name)(1000)
        own = [theirs.get_submodule(path) for path in network.taken_out]
        without = count_parameters(network)
        insert(network, partial(SqueezeExcite, ratio=16, bias=True))
    assert count_parameters(network) == count_parameters(theirs) == PUT_BACK[name]
    assert without == PUT_BACK[name] - sum(count_parameters(module) for module in own)


def test_a_training_step_reaches_every_slot() -> None:
    network = weave(opened("test_byobnet"))
    slots = insert(network, partial(SqueezeExcite, ratio=2))
    network.train()(torch.randn(2, 3, 64, 64)).sum().backward()
    inside = [p for slot in slots for p in network.get_submodule(slot.name).parameters()]
    assert all(p.grad is not None and p.grad.any() for p in inside)


def test_the_library_is_in_the_identity() -> None:
    plan = make_plan(config("model.name=seresnet18", "attention=se"))
    assert plan.identity.content["model"] == {"library": "timm", "name": "seresnet18"}
    assert plan.identity.label == "se_timm_seresnet18-r16"
    assert plan.cost.attention_parameters == 87_040


def test_what_is_taken_out_is_said(senet) -> None:
    done: Result = senet("model=timm", "model.name=test_efficientnet", "dry_run=true")
    assert done.code == 0, done.err
    assert "attention of its own taken out (2 modules)" in done.err
    done = senet("model=timm", "model.name=test_resnet", "dry_run=true")
    assert "taken out" not in done.err


BAD = {
    "resnet19": "there is no timm model named resnet19: did you mean resnet1",
    "resnet50.a1_in1k": "names weights and not a network, choose model.name=resnet50",
    "vit_tiny_patch16_224": "is not for channel attention: it takes images of one size alone",
    "mixer_s32_224": "it takes images of one size alone",
    "swin_tiny_patch4_window7_224": "it takes images of one size alone",
    "test_nfnet": "has no fixed graph to put attention into (torch.fx cannot look into NormFreeB",
    "mobilevit_xxs": "torch.fx cannot look into MobileVitBlock",
    "xcit_nano_12_p16_224": "it takes images of one size alone",
    "caformer_s18": "it has tokens and no maps",
    "resnest14d": "it has gates of its own that cannot be taken out",
    "skresnet18": "it has attention of its own that cannot be taken out (softmax)",
    "ghostnetv2_100": "it has gates of its own that cannot be taken out",
}


LATE = ("caformer_s18", "ghostnetv2_100", "resnest14d")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LATE else n for n in BAD]
)
def test_bad_input(name: str) -> None:
    with pytest.raises(InputError, match=re.escape(BAD[name])) as caught:
        make_plan(config(f"model.name={name}", "attention=se"))
    assert "\n" not in str(caught.value)


def test_gates_are_seen() -> None:
    """Negative control of the rule: SE that is left in is a gate."""
    with torch.device("meta"):
        network = plain_network("seresnet18", 10)
    graph = trace(network)
    inputs = input_dependent(graph)
    assert not any(is_gated(network, node, inputs) for node in graph.nodes)  # one module
    for module in network.modules():
        if type(module).__name__ == "SEModule":
            module.__class__ = type("Unheard", (type(module),), {})
            module.__class__.__module__ = "elsewhere"
    graph = trace(network)
    assert any(is_gated(network, node, input_dependent(graph)) for node in graph.nodes)
    with pytest.raises(InputError, match="it has gates of its own that cannot be taken out"):
        weave(network)


def test_the_package_is_optional(senet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    done: Result = senet("model=timm", "dry_run=true")
    assert done.code == 2
    assert "needs the package timm: pip install 'senet-train[timm]'" in done.err


# Weights.


def learnt(name: str) -> nn.Module:
    network = plain_network(name, 1000)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return network


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_of_weights(suffix: str, tmp_path: Path) -> None:
    theirs, file = learnt("test_resnet"), tmp_path / f"weights.{suffix}"
    state = theirs.state_dict()
    save_file(state, file) if suffix == "safetensors" else torch.save(state, file)
    plan = make_plan(config("model.name=test_resnet", f"model.pretrained={file}"))
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert plan.identity.content["model"]["pretrained"] == f"sha256:{sha256}"
    network = plan.builder.backbone(1000).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(x), theirs.eval()(x))


def test_weights_of_another_network(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(plain_network("test_convnext", 10).state_dict(), file)
    with pytest.raises(InputError, match="does not fit ResNet: 'conv1"):
        make_plan(config("model.name=test_resnet", f"model.pretrained={file}"))


def test_true_needs_a_hash() -> None:
    with pytest.raises(InputError, match="timm lists no weights of densenet121 whose hash is kno"):
        make_plan(config("model.name=densenet121", "model.pretrained=true"))


def test_timms_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Known before they are fetched; a stand-in for the fetch, and timm's own names for them."""
    caplog.set_level(logging.INFO)
    theirs, fetched = learnt("test_byobnet"), []

    def fetch(published: Published) -> dict[str, torch.Tensor]:
        fetched.append(published.url)
        return theirs.state_dict()

    url = "https://host.invalid/test_byobnet-0123abcd.pth"
    monkeypatch.setattr("senet_train.networks.weights.find.fetch", fetch)
    monkeypatch.setattr(timm_networks, "published", lambda name: Published("tiny", url))
    plan = make_plan(config("model.name=test_byobnet", "model.pretrained=true"))
    assert plan.config.model.options["pretrained"] == "tiny-0123abcd"
    assert not fetched
    network = plan.builder.backbone(7)
    assert fetched == [url]
    state = theirs.state_dict()
    kept = [name for name in network.state_dict() if not name.startswith("head.fc.")]
    assert all(torch.equal(network.state_dict()[name], state[name]) for name in kept)
    assert "new: head.fc.weight, head.fc.bias" in caplog.text
    assert "attention of its own (4 modules) is taken out with what it learnt" in caplog.text


def test_old_names_are_timms_business() -> None:
    """ConvNeXt's authors called the stem `downsample_layers.0`; timm knows, and so do we."""
    theirs = learnt("convnext_atto").state_dict()
    assert timm.get_pretrained_cfg("convnext_atto").num_classes == 1000
    old = {name.replace("head.fc.", "head."): tensor for name, tensor in theirs.items()}
    old = {name.replace("head.norm.", "norm."): tensor for name, tensor in old.items()}
    old = {name.replace("stem.", "downsample_layers.0."): tensor for name, tensor in old.items()}
    old = {
        re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name): tensor
        for name, tensor in old.items()
    }
    old = {
        re.sub(r"stages\.(\d)\.blocks\.", r"stages.\1.", name): tensor
        for name, tensor in old.items()
    }
    renames = (("conv_dw", "dwconv"), ("mlp.fc1", "pwconv1"), ("mlp.fc2", "pwconv2"))
    for now, then in renames:
        old = {name.replace(now, then): tensor for name, tensor in old.items()}
    assert old.keys() != theirs.keys()
    with pytest.raises(InputError, match="cannot read its weights of convnext_atto"):
        timm_networks.read_old_names("convnext_atto", lambda: {"other": torch.ones(1)})
    found = timm_networks.read_old_names("convnext_atto", lambda: old)
    assert found.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(found[name].flatten(), tensor.flatten()), name


def test_it_trains(senet, tmp_path: Path) -> None:
    data = ("data=fake", "data.num_images=40", "data.num_test_images=20", "data.image_size=32")
    model = ("model=timm", "model.name=test_byobnet", "attention=se", "ratio=2")
    done: Result = senet(
        *data,
        *model,
        "data.num_classes=2",
        "trainer.max_epochs=1",
        "data.batch_size=16",
        "trainer.precision=32",
    )
    assert done.code == 0, done.err
    [folder] = run_folders(tmp_path)
    record = read_record(folder / "result.json")
    assert record.environment.versions["timm"] == timm.__version__
    assert load_run(folder).model(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
