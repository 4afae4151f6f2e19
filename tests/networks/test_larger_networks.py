"""Attention in torchvision's detectors and segmenters: what changes and what does not."""

import copy
import re
from collections.abc import Callable, Iterator
from functools import cache, partial

import pytest
import torch
from support import ROOT
from torch import Tensor, nn
from torchvision import models
from torchvision.models import detection, segmentation
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from senet_train import Placement, SqueezeExcite, insert_into, take_out_own_attention
from senet_train.errors import CannotExist, InputError
from senet_train.networks.graph.part import open_part

NONE = {"weights": None, "weights_backbone": None, "num_classes": 3}
SMALL = {"min_size": 64, "max_size": 64}
KEEP_ALL = {**SMALL, "box_score_thresh": -1.0}
SE = partial(SqueezeExcite, ratio=4)
AT_FIRST_THE_IDENTITY = partial(SqueezeExcite, ratio=4, identity=True)


def pyramid() -> BackboneWithFPN:
    """ResNet-18 with a feature pyramid of five maps."""
    further = {"returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)}
    return resnet_fpn_backbone(backbone_name="resnet18", weights=None, **further)


def faster_rcnn() -> nn.Module:
    return detection.FasterRCNN(
        resnet_fpn_backbone(backbone_name="resnet18", weights=None), num_classes=3, **SMALL
    )


# Detectors keep what scores above a threshold: of an untrained one, that must be everything.
QUICK: dict[str, Callable[[], nn.Module]] = {
    "faster_rcnn_resnet18": faster_rcnn,
    "retinanet_resnet18": lambda: detection.RetinaNet(pyramid(), 3, score_thresh=0.0, **SMALL),
    "fcos_resnet18": lambda: detection.FCOS(pyramid(), 3, score_thresh=0.0, **SMALL),
    "ssdlite": partial(detection.ssdlite320_mobilenet_v3_large, **NONE),
    "lraspp": partial(segmentation.lraspp_mobilenet_v3_large, **NONE),
    "deeplabv3_mobilenet": partial(segmentation.deeplabv3_mobilenet_v3_large, **NONE),
}
LARGE: dict[str, Callable[[], nn.Module]] = {
    "faster_rcnn": partial(detection.fasterrcnn_resnet50_fpn, **NONE, **KEEP_ALL),
    "faster_rcnn_mobilenet": partial(
        detection.fasterrcnn_mobilenet_v3_large_fpn, **NONE, **KEEP_ALL, rpn_score_thresh=-1.0
    ),
    "mask_rcnn": partial(detection.maskrcnn_resnet50_fpn, **NONE, **KEEP_ALL),
    "retinanet": partial(detection.retinanet_resnet50_fpn, **NONE, score_thresh=0.0, **SMALL),
    "fcos": partial(detection.fcos_resnet50_fpn, **NONE, score_thresh=0.0, **SMALL),
    "ssd": partial(detection.ssd300_vgg16, **NONE),
    "deeplabv3": partial(segmentation.deeplabv3_resnet50, **NONE, aux_loss=True),
    "fcn": partial(segmentation.fcn_resnet50, **NONE, aux_loss=True),
}
EVERY = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
# Units of the backbone: residual blocks, or convolutions of VGG.
NUM_UNITS = {
    "faster_rcnn_mobilenet": 15,
    **dict.fromkeys(("faster_rcnn_resnet18", "retinanet_resnet18", "fcos_resnet18"), 8),
    **dict.fromkeys(("lraspp", "deeplabv3_mobilenet"), 15),
    "ssdlite": 14,  # one block is cut in two between its maps
    "ssd": 23,
    **dict.fromkeys(("faster_rcnn", "mask_rcnn", "retinanet", "fcos", "deeplabv3", "fcn"), 16),
}


def build(name: str) -> nn.Module:
    """The model, with statistics of images in its norms: without, a signal dies on its way."""
    model = copy.deepcopy(drawn(name))
    torch.manual_seed(0)
    return model


@cache
def drawn(name: str) -> nn.Module:
    """The model of `build`, which is drawn once: what tests take and change is a copy."""
    torch.manual_seed(0)
    model = (QUICK | LARGE)[name]()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    images = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        if norms and hasattr(model, "transform"):
            model.backbone.train()(model.transform.normalize(images))
        elif norms:
            model.train()(images)
    return model.eval()


@pytest.fixture(scope="module", autouse=True)
def drawn_for_this_module() -> Iterator[None]:
    """They hold half a gigabyte."""
    yield
    drawn.cache_clear()


def answers(model: nn.Module) -> list[Tensor]:
    """Every tensor that the model puts out for one image: logits, or boxes, labels and scores."""
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1))
    detects = hasattr(model, "transform")
    with torch.no_grad():
        found = model([image])[0] if detects else model(image[None])
    assert all(len(tensor) > 0 for tensor in found.values()), "nothing is detected"
    return list(found.values())


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(map(torch.equal, first, second))


@pytest.mark.parametrize("name", EVERY)
def test_opening_changes_no_bit_and_no_name(name: str) -> None:
    model = build(name)
    state, before = copy.deepcopy(model.state_dict()), answers(model)
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    path, _ = open_part(model.train(), "backbone")
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert {n for n, p in model.named_parameters() if p.requires_grad} == trainable
    model.eval()
    assert same(answers(model), before)

    slots = insert_into(model, AT_FIRST_THE_IDENTITY)
    assert same(answers(model), before)
    assert all(slot.name.startswith(f"{path}.units.") for slot in slots)
    assert len(slots) == NUM_UNITS[name]
    added = model.state_dict().keys() - state.keys()
    assert len(added) == 2 * len(slots)
    assert all(any(key.startswith(slot.name) for slot in slots) for key in added)

    assert insert_into(model, SE) == slots  # filled anew, in the same place
    assert not same(answers(model), before)
    assert model.load_state_dict(state, strict=False).unexpected_keys == []


@pytest.mark.parametrize("name", ["faster_rcnn_resnet18", "ssdlite"])
def test_it_trains(name: str) -> None:
    model = build(name)
    insert_into(model, SE)
    model.train()
    boxes = {"boxes": torch.tensor([[8.0, 8.0, 40.0, 48.0]]), "labels": torch.tensor([1])}
    images = [torch.rand(3, 64, 64), torch.rand(3, 64, 64)]
    sum(model(images, [boxes, boxes]).values()).backward()
    gates = [p for n, p in model.named_parameters() if ".attend." in n]
    assert gates
    assert all(p.grad is not None and p.grad.any() for p in gates)


def test_positions_round_a_frozen_norm() -> None:
    """`inner` follows the norm and ReLU, frozen or not; `post` is what the pyramid is given."""
    model = faster_rcnn().eval()
    body = open_part(model, "backbone")[1]
    assert isinstance(body.get_submodule("layer1.0.bn1"), FrozenBatchNorm2d)
    [inner] = insert_into(model, lambda _: nn.Hardtanh(), Placement(stages=[4], position="inner"))[
        :1
    ]
    ends: list[Tensor] = []
    model.get_submodule(inner.name).register_forward_hook(lambda _, x, y: ends.append(x[0]))
    insert_into(model, lambda _: Zero(), Placement(stages=[4], position="stage"))
    with torch.no_grad():
        maps = model.backbone.body(torch.randn(1, 3, 64, 64))
    assert list(maps) == ["0", "1", "2", "3"]
    assert [bool(x.any()) for x in maps.values()] == [True, True, True, False]
    assert ends[0].min() == 0  # behind the ReLU


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def test_attention_of_its_own_stays_until_it_is_taken_out() -> None:
    model = build("lraspp")
    before = answers(model)
    taken = take_out_own_attention(model)
    assert len(taken) == 8  # Howard et al., https://arxiv.org/abs/1905.02244, table 1
    assert not same(answers(model), before)
    assert not [key for key in model.state_dict() if key.startswith(tuple(taken))]
    stripped = answers(model)
    insert_into(model, AT_FIRST_THE_IDENTITY)
    assert same(answers(model), stripped)
    assert take_out_own_attention(model) == []

    later = build("lraspp")
    insert_into(later, AT_FIRST_THE_IDENTITY)
    assert same(answers(later), before)
    assert len(take_out_own_attention(later)) == 8
    assert same(answers(later), stripped)


def test_a_pattern_of_the_parts_modules() -> None:
    model = build("faster_rcnn_resnet18")
    before = answers(model)
    slots = insert_into(model, AT_FIRST_THE_IDENTITY, Placement(modules=r"layer4\..*\.conv2"))
    assert [slot.channels for slot in slots] == [512, 512]
    assert same(answers(model), before)
    insert_into(model, SE, Placement(modules=r"layer4\..*\.conv2"))
    assert not same(answers(model), before)


# The concatenated branches of torchvision's ASPP: 5 of 256 channels. SE has 2 C^2 / 4 weights.
ASPP = {"standard": 1280, "post": 256}


@pytest.mark.parametrize("position", ASPP)
def test_se_aspp(position: str) -> None:
    model = build("deeplabv3_mobilenet")
    before, parameters = answers(model), sum(p.numel() for p in model.parameters())
    state = model.state_dict()
    placement = Placement(position=position)  # type: ignore[arg-type]
    [slot] = insert_into(model, AT_FIRST_THE_IDENTITY, placement, part="aspp")
    assert slot.name == f"classifier.0.unit.attend.{position}"
    assert slot.channels == ASPP[position]
    assert slot.hidden == ASPP[position] // 4
    added = sum(p.numel() for p in model.parameters()) - parameters
    assert added == 2 * ASPP[position] ** 2 // 4
    assert state.keys() < model.state_dict().keys()
    assert same(answers(model), before)
    insert_into(model, SE, placement, part="classifier.0")  # the same by its path
    assert not same(answers(model), before)


def test_se_aspp_by_hand() -> None:
    """Attention sees the branches side by side, and the projection's map before dropout."""
    model = build("deeplabv3_mobilenet")
    aspp, x = model.classifier[0], torch.randn(2, 960, 4, 4)
    insert_into(model, SE, part="aspp")
    insert_into(model, SE, Placement(position="post"), part="aspp")
    opened = model.classifier[0]
    standard, post = opened.unit.attend["standard"], opened.unit.attend["post"]
    with torch.no_grad():
        joined = torch.cat([branch(x) for branch in aspp.convs], 1)
        expected = post(aspp.project(standard(joined)))
        assert torch.equal(opened(x), expected)
        assert not torch.equal(aspp(x), expected)
        opened.project[3].train()  # dropout alone
        seen: list[Tensor] = []
        post.register_forward_hook(lambda _, x, y: seen.append(y))
        dropped = opened(x)
    assert 0.4 < (dropped[seen[0] > 0] == 0).float().mean() < 0.6
    assert torch.equal(seen[0], expected)


def test_both_parts_of_one_model() -> None:
    model = build("deeplabv3_mobilenet")
    before = answers(model)
    slots = insert_into(model, AT_FIRST_THE_IDENTITY) + insert_into(
        model, AT_FIRST_THE_IDENTITY, part="aspp"
    )
    assert len(slots) == 16
    assert same(answers(model), before)
    copied = copy.deepcopy(model)
    insert_into(model, SE, part="aspp")
    assert same(answers(copied), before)
    assert not same(answers(model), before)


def test_mode_dtype_and_seed_are_the_models_own() -> None:
    model = QUICK["lraspp"]().double()

    def weights(seed: int) -> list[Tensor]:
        modules = [model.get_submodule(slot.name) for slot in insert_into(model, SE, seed=seed)]
        assert all(module.training == model.training for module in modules)
        return [module.expand.weight for module in modules]

    first, again, other = weights(0), weights(0), weights(1)
    model.eval()
    assert same(first, weights(0))
    assert same(first, again)
    assert not same(first, other)
    assert all(weight.dtype == torch.float64 for weight in first)


BAD = {
    "aspp": "part=aspp: LRASPP has none, choose the path of a module in one of backbone, classif",
    "backbone.99": "part=backbone.99: LRASPP has none",
    "classifier": "LRASPPHead takes no maps of 960 channels and 320 px (new(): invalid data",
}


@pytest.mark.parametrize("part", BAD)
def test_bad_part(part: str) -> None:
    with pytest.raises(InputError, match=re.escape(BAD[part])):
        insert_into(QUICK["lraspp"](), SE, part=part)


def test_nothing_is_put_in_where_it_does_not_fit() -> None:
    model = QUICK["lraspp"]()
    names = model.state_dict().keys()
    with pytest.raises(CannotExist, match="choose ratio <= 16"):
        insert_into(model, partial(SqueezeExcite, ratio=17))

    def narrow(channels: int) -> nn.Module:
        if channels > 100:
            raise ValueError("too wide: choose another")
        return SE(channels)

    with pytest.raises(CannotExist, match="too wide"):
        insert_into(model, narrow)
    assert model.state_dict().keys() == names
    with pytest.raises(CannotExist, match="no unit of the chosen stages has it"):
        insert_into(QUICK["deeplabv3_mobilenet"](), SE, Placement(position="inner"), part="aspp")
    with pytest.raises(InputError, match=r"Linear has none, choose the path of a module in one of"):
        insert_into(nn.Linear(2, 2), SE)


TABLE = re.findall(
    r"\| `(\w+)` \| ([\d,]+) \| (\d+) \| ([\d,]+) \|", (ROOT / "docs/guide/networks.md").read_text()
)


@pytest.mark.slow
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_the_documented_table(row: tuple[str, ...]) -> None:
    name, *figures = row
    with torch.device("meta"):
        model = models.get_model(name, weights=None, weights_backbone=None)
    before = sum(p.numel() for p in model.parameters())
    slots = insert_into(model, partial(SqueezeExcite, ratio=16))
    added = sum(p.numel() for p in model.parameters()) - before
    assert added == sum(2 * slot.channels * (slot.channels // 16) for slot in slots)
    assert [before, len(slots), added] == [int(figure.replace(",", "")) for figure in figures]
