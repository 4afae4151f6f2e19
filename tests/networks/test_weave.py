"""Any network of torchvision with attention: its units, its numbers, its weights' names."""

import copy
import re
from functools import partial

import pytest
import torch
from support import config
from torch import nn
from torchvision import models
from torchvision.models.resnet import Bottleneck
from torchvision_cases import FAMILIES

from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.backbones.resnet import resnet50
from senet_train.commands.profile.cli import main as profile
from senet_train.config.schema import Placement
from senet_train.errors import CannotExist, InputError
from senet_train.networks import stopwatch
from senet_train.networks.graph.own_attention import OWN_ATTENTION
from senet_train.networks.graph.weave import weave
from senet_train.networks.insertion import insert
from senet_train.networks.libraries.torchvision import (
    NOT_CONVOLUTIONAL,
    plain_network,
    torchvision_network,
)
from senet_train.runs.identity import as_tree
from senet_train.training.plan import make_plan

EVERY = [
    name
    for name in models.list_models(module=models)
    if name.partition("_")[0] not in NOT_CONVOLUTIONAL
]


@pytest.mark.parametrize("name", FAMILIES)
def test_units_of_each_family(name: str) -> None:
    num_units, first, num_shortcuts = FAMILIES[name]
    with torch.device("meta"):
        network = torchvision_network(name)(10)
    assert len(network.units) == num_units
    assert next(iter(network.units)) == first
    units = [unit for stage in network.by_stage().values() for unit in stage]
    assert sum("identity" in unit.slot_channels for unit in units) == num_shortcuts


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "squeezenet1_1"]
)
def test_weaving_changes_no_bit_and_no_name(name: str) -> None:
    plain = plain_network(name, 10).eval()
    before = copy.deepcopy(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = plain(x)
        woven = weave(plain).eval()
        assert torch.equal(woven(x), logits)
        assert woven.state_dict().keys() == before.keys()
        insert(woven, partial(SqueezeExcite, ratio=4))
        assert not torch.equal(woven(x), logits)
        woven.load_state_dict(before, strict=False)
    copied = copy.deepcopy(woven)  # as an average of weights is made
    assert torch.equal(copied(x), woven(x))
    assert [*copied.by_stage()] == [*woven.by_stage()]


@pytest.mark.parametrize("position", ["standard", "pre", "inner", "identity", "post", "stage"])
def test_the_same_network_as_ours(position: str) -> None:
    """With equal weights torchvision's ResNet-50, woven, and ours are one function."""
    ours, attention = resnet50(10, stem="imagenet"), partial(SqueezeExcite, ratio=8)
    placement = Placement(position=position)
    slots = [insert(ours, attention, placement)]
    with torch.device("meta"):  # it takes the tensors of ours
        theirs = weave(plain_network("resnet50", 10))
        slots.append(insert(theirs, attention, placement))
    assert [(s.stage, s.channels) for s in slots[0]] == [(s.stage, s.channels) for s in slots[1]]
    renamed = {
        re.sub(r"layer(\d)\.(\d)\.attend", r"units.layer\1_\2.attend", name): value
        for name, value in ours.state_dict().items()
    }
    theirs.load_state_dict(renamed, assign=True)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(x), ours.eval()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf"])
def test_attention_of_its_own_is_taken_out(name: str) -> None:
    plain = plain_network(name, 10)
    own = [path for path, m in plain.named_modules() if type(m).__name__ in OWN_ATTENTION]
    assert own
    woven = weave(plain)
    assert not [path for path, m in woven.named_modules() if type(m).__name__ in OWN_ATTENTION]
    kept = {key for key in plain.state_dict() if not key.startswith(("units", *own))}
    assert woven.state_dict().keys() == kept


OF_ITS_OWN = "attention of its own taken out (9 modules)"


@pytest.mark.parametrize("attention", ["none", "eca"])
def test_a_line_says_that_it_was_taken_out(attention: str, senet) -> None:
    """MobileNetV3-small has SE in 9 of its 11 blocks (arXiv:1905.02244, table 2)."""
    given = ("data=fake", "data.image_size=64", "model=torchvision", f"attention={attention}")
    said = senet(*given, "model.name=mobilenet_v3_small", "dry_run=true")
    assert OF_ITS_OWN in said.err.splitlines()[0]
    assert "of its own" not in senet(*given, "model.name=squeezenet1_1", "dry_run=true").err


def test_senet_profile_says_so_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopwatch, "SECONDS", 0.0)
    words = ["model=torchvision", "model.name=mobilenet_v3_small", "model.name=squeezenet1_1"]
    sizes = ["data.image_size=64", "data.num_classes=10", "--batch-sizes", "1"]
    assert profile([" ".join(words[:2]), " ".join(words[::2]), *sizes]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = [line for line in lines if "of its own" in line]
    assert said == [f"torchvision_mobilenet_v3_small: {OF_ITS_OWN}"]


def test_every_network_has_a_preset_name() -> None:
    assert len(EVERY) > 60
    plan = make_plan(config("model=torchvision", "model.name=resnet18", "attention=se"))
    assert plan.identity.label == "se_torchvision_resnet18-r16"
    assert plan.cost.attention_parameters == 87_040  # as ours: 2 x sum of C^2 / 16
    assert as_tree(plan.config)["model"] == {"name": "resnet18", "library": "torchvision"}


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_every_network_composes(name: str) -> None:
    """Every convolutional classifier of torchvision with three attentions: slots and parameters."""
    for attention in ("se", "eca", "cbam"):
        size = 299 if name == "inception_v3" else 224
        data = ("data=fake", f"data.image_size={size}", "data.num_classes=10")
        model = ("model=torchvision", f"model.name={name}", f"attention={attention}", "ratio=4")
        plan = make_plan(config(*data, *model, "data.num_images=40", "data.num_test_images=20"))
        assert plan.slots
        assert plan.cost.attention_parameters > 0


PATTERNS = {r"layer[34]\..*\.conv3": 4, r"layer1\.0\.bn\d": 3}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_says_where(pattern: str) -> None:
    network = weave(models.ResNet(Bottleneck, [1, 1, 3, 1], num_classes=10)).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = network(x)
    slots = insert(network, partial(SqueezeExcite, ratio=4), Placement(modules=pattern))
    assert len(slots) == PATTERNS[pattern]
    found = [slot.name.removeprefix("units.behind_").partition(".")[0] for slot in slots]
    assert all(re.fullmatch(pattern, name.replace("_", ".")) for name in found)
    with torch.no_grad():
        assert not torch.equal(network(x), before)
        for slot in slots:
            network.set_submodule(slot.name, nn.Identity())
        assert torch.equal(network(x), before)


BAD = {
    ("model.name=resnet19",): "there is no torchvision model named resnet19: did you mean resnet1",
    ("model.name=vit_b_16",): "model.name=vit_b_16 is not for channel attention: it has tokens",
    ("model.name=swin_t",): "its windows of tokens have attention of their own",
    ("model.name=maxvit_t",): "its attention over windows is in every block",
    ("model.library=torchvizion",): "there is no model.library named torchvizion: did you mean",
    ("placement.modules=layer9",): "matches no module that makes maps: there are conv1",
    ("placement.modules='['",): "placement.modules=[ is no pattern",
    ("model.name=inception_v3",): "data.image_size=8 is too small for this network",
    ("model.name=vgg11", "placement.position=identity"): "no unit of the chosen stages has it",
}


@pytest.mark.parametrize("overrides", BAD, ids=" ".join)
def test_bad_input(overrides: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=re.escape(BAD[overrides])):
        make_plan(config("model=torchvision", "attention=se", *overrides))


def test_a_pattern_is_for_networks_of_a_library() -> None:
    with pytest.raises(InputError, match="is for networks of a library"):
        make_plan(config("model=resnet20", "attention=se", "ratio=4", "placement.modules=conv1"))


def test_a_network_for_images_of_one_size() -> None:
    """A tutorial's: its last layer fits maps of 48 pixels alone, which no one can guess."""
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(4 * 12 * 12, 10))
    with pytest.raises(
        InputError, match=r"nor of 224, 32, .* px: give weave\(network, image_size="
    ):
        weave(network)
    woven = weave(network, image_size=48)
    [slot] = insert(woven, partial(SqueezeExcite, ratio=2))
    assert slot.channels == 4
    assert woven(torch.randn(2, 3, 48, 48)).shape == (2, 10)


def test_a_norm_for_other_channels_is_refused() -> None:
    """Though norms are passed by where only shapes are asked for."""
    with pytest.raises(InputError, match="takes no maps of 3 channels and 320 px"):
        weave(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(5), nn.ReLU()))


def test_a_network_without_a_graph() -> None:
    class Undecided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x) if x.sum() > 0 else x

    line = Undecided.forward.__code__.co_firstlineno + 1  # of the `if`
    with pytest.raises(InputError, match=rf"Undecided has no .*, at test_weave\.py:{line}\)"):
        weave(Undecided())
    with pytest.raises(CannotExist, match="has no block, concatenation or convolution"):
        weave(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)))


def test_senet_profile_lists_every_slot(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopwatch, "SECONDS", 0.0)
    words = ["model=torchvision", "model.name=squeezenet1_1", "attention=se", "ratio=4"]
    assert profile([*words, "data.image_size=32", "--batch-sizes", "1"]) == 0
    printed = capsys.readouterr().out
    assert "se_torchvision_squeezenet1_1-r4" in printed
    for number in (3, 4, 6, 7, 9, 10, 11, 12):
        assert f"units.features_{number}" in printed
