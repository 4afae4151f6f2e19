"""Networks as people write them: whatever a child is called, nothing is lost, shared or changed."""

import copy
import io
import pickle
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from senet_train import Placement, insert, insert_into, weave
from senet_train.attention.squeeze_excite import SqueezeExcite
from senet_train.errors import InputError
from senet_train.networks.graph.weave import WovenNetwork
from senet_train.networks.graph.wrappers import WRAPPERS

SE = partial(SqueezeExcite, ratio=4)
SAME = partial(SqueezeExcite, ratio=4, identity=True)


def conv(channels: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = conv()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Named(nn.Module):
    """A network whose blocks are called `child`; forward finds them by that name."""

    def __init__(self, child: str) -> None:
        super().__init__()
        self.child = child
        self.stem = conv(3)
        self.add_module(child, nn.Sequential(Residual(), Residual()))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self._modules[self.child](self.stem(x)).mean((2, 3)))


class Holder(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(x)


def images(size: int = 16) -> Tensor:
    return torch.randn(2, 3, size, size)


def parameters(module: nn.Module) -> set[int]:
    return {id(parameter) for parameter in module.parameters()}


CHILDREN = [
    *("units", "maps", "part", "part_name", "by_stage", "units_at", "use_tail", "tail"),
    *("graph", "code", "meta", "_graph", "_code", "recompile", "class_name", "taken_out"),
    *("attend", "behind_1", "dropout_0", "class", "lambda", "1", 'we"ird', "slot_channels"),
    *("update", "items", "keys", "pop", "clear", "layer1", "name", "loss"),
]


@pytest.mark.parametrize("child", CHILDREN)
def test_no_name_of_a_child_loses_anything(child: str) -> None:
    holder = Holder(Named(child))
    x, net = images(), holder.backbone
    state, before = copy.deepcopy(holder.state_dict()), parameters(holder)
    expected = copy.deepcopy(holder).eval()(x)
    slots = insert_into(holder, SAME)
    inserted = {id(p) for slot in slots for p in holder.get_submodule(slot.name).parameters()}
    assert len(slots) == 2
    assert len(inserted) == 4
    assert parameters(holder) == before | inserted
    assert not before & inserted
    assert list(holder.state_dict().keys() - state.keys()) != []
    assert state.keys() <= holder.state_dict().keys()
    assert torch.equal(holder.eval()(x), expected)
    assert net.state_dict().keys() == {name.partition(".")[2] for name in state}  # left as it was
    assert torch.equal(net.eval()(x), expected)
    holder.backbone.use_tail(holder.backbone.tail)
    for slot in slots:  # negative control: the slots are in the way of what is computed
        holder.set_submodule(slot.name, nn.Tanh())
    assert not torch.equal(holder(x), expected)
    assert torch.equal(net(x), expected)
    kept = pickle.loads(pickle.dumps(copy.deepcopy(holder)))
    assert torch.equal(kept(x), holder(x))


class Mixed(nn.Module):
    """Parameters and buffers under such names, tied and shared ones, constants, unused layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3)
        self.a_b, self.a = conv(), nn.ModuleDict({"b": conv()})  # both are `a_b` without dots
        self.units = nn.Parameter(torch.full((8, 1, 1), 2.0))
        self.graph = nn.Parameter(torch.ones(1))
        self.register_buffer("maps", torch.full((1,), 3.0))
        self.register_buffer("part", torch.full((1,), 0.5), persistent=False)
        self.register_parameter("bias", None)
        self.scale = torch.full((1,), 0.25)
        self.dropout_0 = nn.Conv2d(8, 8, 1)
        self.unused = nn.Linear(3, 3)
        self.fc = self.head = nn.Linear(8, 5)
        self.tied = nn.Linear(8, 5)
        self.tied.weight = self.fc.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout_0(self.stem(x))
        x = x + self.a_b(x)
        x = x + self.a["b"](x)
        x = x * self.units * self.graph * self.maps * self.part * self.scale * torch.tensor(0.5)
        x = F.dropout(x, 0.3, self.training).mean((2, 3))
        return self.head(x) + self.fc(x) + self.tied(x)


def test_parameters_buffers_constants_and_what_is_shared() -> None:
    net, x = Mixed(), images()
    net.dropout_0.requires_grad_(False)
    state, expected = net.state_dict(), copy.deepcopy(net).eval()(x)
    woven = weave(net)
    assert woven.state_dict().keys() == state.keys()
    assert parameters(woven) == parameters(net)
    assert torch.equal(woven.eval()(x), expected)
    assert not woven.dropout_0.weight.requires_grad
    woven.load_state_dict(state)
    assert not hasattr(net, "_tensor_constant0")
    slots = insert(woven, SE)
    assert len({woven.get_submodule(slot.name) for slot in slots}) == len(slots) == 2
    assert not any(woven.get_submodule(slot.name).training for slot in slots)
    woven.train()
    assert not torch.equal(woven(x), woven(x))  # dropout is one that knows the mode
    for slot in insert(woven, SE, Placement(modules=r"(a_b|a\.b)\.0")):
        assert isinstance(woven.get_submodule(slot.name), SqueezeExcite)
        assert woven.get_submodule(slot.name).reduce.in_features == 8


def test_two_weavings_share_no_slots() -> None:
    net = Named("units")
    first, second = weave(net), weave(net)
    insert(first, SE)
    assert not [m for m in second.modules() if isinstance(m, SqueezeExcite)]
    assert list(net._modules) == ["stem", "units", "fc"]


def test_hooks_of_the_network_and_of_its_layers() -> None:
    net, called = Named("blocks"), []
    net.register_forward_hook(lambda *_: called.append("network"))
    net.fc.register_forward_hook(lambda *_: called.append("layer"))
    woven = weave(net)
    called.clear()
    woven(images())
    assert called == ["layer", "network"]


def test_hooks_that_are_not_called_are_named(caplog: pytest.LogCaptureFixture) -> None:
    net, x = Named("blocks").eval(), images()
    weave(net)
    assert not caplog.messages
    net._modules["blocks"].register_forward_hook(lambda module, arguments, output: 2 * output)
    assert torch.equal(weave(net)(x), net(x))
    assert [m.partition(",")[0] for m in caplog.messages] == ["warning: blocks has hooks"]


def test_what_is_woven_already() -> None:
    with pytest.raises(InputError, match="this Named is woven already: insert into it as it is"):
        weave(weave(Named("blocks")))


def test_a_woven_network_is_saved_whole() -> None:
    woven, x = weave(Named("class")).eval(), images()
    insert(woven, SE)
    file = io.BytesIO()
    torch.save(woven, file, pickle_protocol=4)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert type(loaded) is WovenNetwork
    assert [*loaded.by_stage()] == [*woven.by_stage()]
    assert torch.equal(loaded(x), woven(x))
    assert torch.equal(woven(x=x), woven(x))
    with pytest.raises(InputError, match=r"torch\.save\(network, FILE, pickle_protocol=4\)"):
        torch.save(woven, io.BytesIO())


@pytest.mark.slow  # it imports torch's compiler
def test_a_woven_network_is_compiled_as_one_graph() -> None:
    woven, x = weave(Named("class")).eval(), images()
    insert(woven, SE)
    assert torch.equal(torch.compile(woven, backend="eager", fullgraph=True)(x), woven(x))


def test_attention_takes_dtype_and_mode() -> None:
    woven = weave(Named("blocks").to(torch.bfloat16).eval())
    [first, _] = insert(woven, SE)
    module = woven.get_submodule(first.name)
    assert (module.reduce.weight.dtype, module.training) == (torch.bfloat16, False)


class Flat(nn.Module):
    """It takes images of 32 pixels alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.fc = conv(3), Residual(), nn.Linear(8 * 32 * 32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block(self.stem(x)).flatten(1))


def test_a_network_for_images_of_one_size() -> None:
    assert [slot.name for slot in insert(weave(Flat()), SE)] == ["units.block.attend.standard"]


def wrapped(kind: str) -> nn.Module:
    net = Named("blocks")
    if kind == "torch.compile":
        return torch.compile(net, backend="eager")  # type: ignore[return-value]
    if kind == "AveragedModel":
        return AveragedModel(net)
    return nn.DataParallel(net)


def put_inside(model: nn.Module) -> object:
    return insert_into(Holder(model), SE)


def put_below(model: nn.Module) -> object:
    """The part lies in what is wrapped."""
    held = WRAPPERS[type(model).__name__]
    return insert_into(model, SE, part=f"{held}.blocks")


KINDS = ["DataParallel", "AveragedModel", pytest.param("torch.compile", marks=pytest.mark.slow)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("put", [weave, partial(insert, attention=SE), put_inside, put_below])
def test_wrappers_are_named(kind: str, put: Callable[[nn.Module], object]) -> None:
    with pytest.raises(InputError, match=rf"^{kind} wraps this network \(Named\): put attention"):
        put(wrapped(kind))


@pytest.mark.filterwarnings("ignore:.*torch.jit:")
def test_what_torch_jit_has_compiled() -> None:
    with pytest.raises(InputError, match="put attention into the network before"):
        weave(torch.jit.trace(Named("blocks").eval(), images()))


def test_a_plain_network_is_to_be_woven_first() -> None:
    with pytest.raises(InputError, match=r"Named has no slots .* call network = weave\(network\)"):
        insert(Named("blocks"), SE)


def test_a_forward_that_was_set_on_the_object() -> None:
    net = Named("blocks")
    net.forward = lambda x: x  # type: ignore[method-assign]
    with pytest.raises(InputError, match="Named has a forward that was set on the object"):
        weave(net)


ONE = SE(8)
NO_ATTENTION: dict[str, tuple[object, str]] = {
    "a module": (ONE, "attention is a SqueezeExcite and must be what makes one"),
    "always the same": (lambda channels: ONE, "shares modules with another place"),
    "nothing": (lambda channels: None, "has returned None, which is no nn.Module"),
}


@pytest.mark.parametrize("case", NO_ATTENTION)
def test_what_makes_no_attention(case: str) -> None:
    attention, message = NO_ATTENTION[case]
    woven = weave(Named("blocks"))
    with pytest.raises(InputError, match=message):
        insert(woven, attention)
    assert not [m for m in woven.modules() if isinstance(m, SqueezeExcite)]
