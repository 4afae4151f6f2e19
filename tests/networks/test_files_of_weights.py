"""State dicts as programs write them: read, or the reason named in one line."""

import argparse
import copy
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from senet_train import load_published
from senet_train.backbones.resnet import resnet18
from senet_train.errors import InputError
from senet_train.networks.weights.find import weights_in_file
from senet_train.networks.weights.load import load
from senet_train.networks.weights.read import read_tensors

State = dict[str, Tensor]
SGD = {"state": {0: {"momentum_buffer": torch.ones(3), "step": torch.ones(1)}}, "param_groups": []}


class Small(nn.Module):
    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.layer1 = nn.Sequential(nn.BatchNorm2d(4))
        self.fc = nn.Linear(4, num_classes)


def learnt() -> State:
    torch.manual_seed(0)
    state = Small().state_dict()
    return {n: torch.rand_like(t) if t.is_floating_point() else t + 7 for n, t in state.items()}


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def other(state: State) -> State:
    """Of the same names, such as averaged weights that were not asked for."""
    return {name: tensor + 1 for name, tensor in state.items()}


FORMS: dict[str, Callable[[State], object]] = {
    "as it is": lambda s: s,
    "compiled": partial(under, "_orig_mod."),
    "a compiled part": lambda s: {
        n.replace("layer1.", "layer1._orig_mod."): t for n, t in s.items()
    },
    "DDP, compiled": partial(under, "module._orig_mod."),
    "compiled, DDP": partial(under, "_orig_mod.module."),
    "Lightning": lambda s: {
        "state_dict": under("model.", s) | {"criterion.weight": torch.ones(3)},
        "optimizer_states": [SGD],
        "loops": {"fit_loop": {"state_dict": {}}},
    },
    "Lightning, DDP, compiled": lambda s: {"state_dict": under("net.module._orig_mod.", s)},
    "any name of a part": lambda s: {"state_dict": under("feature_extractor.", s)},
    "torchvision's scripts": lambda s: {"model": s, "args": argparse.Namespace(lr=0.1, a=[1])},
    "timm's scripts": lambda s: {
        "arch": "resnet18",
        "state_dict": s,
        "state_dict_ema": other(s),
        "args": argparse.Namespace(model="resnet18"),
        "optimizer": SGD,
        "metric": 76.5,
    },
    "AveragedModel": lambda s: under("module.", s) | {"n_averaged": torch.tensor(3)},
    "averaged alone": lambda s: {"state_dict_ema": s, "epoch": 1},
    "torchvision's averaged": lambda s: {"model": s, "model_ema": under("module.", other(s))},
    "net": lambda s: {"net": s, "acc": 93.0, "epoch": 10},
    "a tutorial's": lambda s: {"model_state_dict": s, "optimizer_state_dict": SGD, "loss": 0.1},
    "two deep": lambda s: {"checkpoint": {"model": {"state_dict": s}, "best": torch.tensor(0.9)}},
    "a key of one's own": lambda s: {"resnet": s, "metrics": {"accuracy": torch.tensor(0.9)}},
    "an optimizer under a usual key": lambda s: {"state_dict": SGD, "weights_of_it": s},
    "half precision": lambda s: {n: t.half() if t.is_floating_point() else t for n, t in s.items()},
    "partly prefixed": lambda s: (
        under("backbone.", {n: t for n, t in s.items() if "fc" not in n})
        | under("head.", {n: t for n, t in s.items() if "fc" in n})
    ),
    "without its last layer": lambda s: {n: t for n, t in s.items() if "fc" not in n},
    "another number of classes": lambda s: (
        s | {"fc.weight": torch.ones(9, 4), "fc.bias": torch.ones(9)}
    ),
}
NEW_HEAD = ("partly prefixed", "without its last layer", "another number of classes")


def loaded(path: Path) -> nn.Module:
    network = Small()
    load(network, weights_in_file(path.name, path), ())
    return network


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(form: str, tmp_path: Path) -> None:
    state = learnt()
    torch.save(FORMS[form](state), tmp_path / "weights.pth")
    found = loaded(tmp_path / "weights.pth").state_dict()
    wanted = {n: t for n, t in state.items() if form not in NEW_HEAD or not n.startswith("fc")}
    tolerance = 1e-3 if form == "half precision" else 0.0
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=tolerance)


def test_the_line_says_what_was_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "senet_train")
    torch.save(FORMS["partly prefixed"](learnt()), tmp_path / "w.pth")
    loaded(tmp_path / "w.pth")
    assert caplog.messages == [
        "7 of 9 tensors loaded from w.pth; new: fc.weight, fc.bias; left out: head"
    ]


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_safetensors_under_any_name(name: str, tmp_path: Path) -> None:
    save_file(under("model._orig_mod.", learnt()), tmp_path / name)
    assert torch.equal(loaded(tmp_path / name).conv.weight, learnt()["conv.weight"])


def test_torch_under_the_name_of_safetensors(tmp_path: Path) -> None:
    torch.save(learnt(), tmp_path / "w.safetensors")
    assert torch.equal(loaded(tmp_path / "w.safetensors").conv.weight, learnt()["conv.weight"])


def saved(content: object, **how: bool) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path, **how)


def text(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def cut_off(path: Path) -> None:
    torch.save(learnt(), path)
    path.write_bytes(path.read_bytes()[:-300])


ACCURACY = {"state_dict": learnt(), "accuracy": np.float64(0.9)}
SPARSE = torch.eye(4).to_sparse()
UNREAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a whole network": (saved(Small()), "is a whole network (test_files_of_weights.Small), which"),
    "a NumPy number": (saved(ACCURACY), "multiarray.scalar beside its tensors, and only plain dat"),
    "of before 1.6": (
        saved(ACCURACY, _use_new_zipfile_serialization=False),
        "multiarray.scalar beside its tensors, and only plain data are read",
    ),
    "a path": (saved({"model": learnt(), "dir": Path("a")}), "Path beside its tensors, and only"),
    "cut off": (cut_off, "is cut off or damaged: fetch or save it again"),
    "empty": (text(b""), "is empty: fetch or save it again"),
    "a web page": (text(b"<!DOCTYPE html>"), "is a web page and no weights"),
    "Git LFS": (text(b"version https://git-lfs.github.com/spec/v1\n"), "is a pointer of Git LFS"),
    "text": (text(b"hello, this is text"), "is no file of plain tensors ("),
    "an optimizer": (saved({"state_dict": SGD}), "holds no state_dict of tensors: save network."),
    "a list": (saved([torch.ones(1)]), "holds no state_dict of tensors"),
    "twice": (
        saved({"student": learnt(), "teacher": learnt()}),
        "holds several state dicts (student, teacher): save one of them alone",
    ),
    "twice in one": (
        saved(under("student.", learnt()) | under("teacher.", learnt())),
        "has this network 2 times, under student. and teacher.: save one of them alone",
    ),
    "sparse": (saved(learnt() | {"q.w": SPARSE}), "has q.w as a quantized or sparse tensor"),
    "another network": (saved({"stem.0.weight": torch.ones(4)}), "'conv.weight' is missing there"),
    "another width": (
        saved(under("model.", learnt() | {"conv.weight": torch.ones(5, 3, 3, 3)})),
        "'conv.weight' is (5, 3, 3, 3) there and (4, 3, 3, 3) in the network",
    ),
    "another last layer": (
        saved(learnt() | {"fc.weight": torch.ones(3, 5)}),
        "'fc.weight' is (3, 5) there and (3, 4) in the network",
    ),
}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize("case", UNREAD)
def test_what_is_not_read_is_named(case: str, tmp_path: Path) -> None:
    write, message = UNREAD[case]
    write(tmp_path / "w.pth")
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        loaded(tmp_path / "w.pth")
    line = str(raised.value)
    assert "\n" not in line
    assert "\x1b" not in line
    assert "give a .pth" not in line


class Trap:
    """What a harmful file does: a call when it is read."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (Path.touch, (Path("trap"),))  # type: ignore[return-value]


@pytest.mark.parametrize("inside", [lambda o: o, lambda o: argparse.Namespace(a=o)])
def test_no_code_of_a_file_runs(
    inside: Callable[[object], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither beside the tensors nor in a Namespace, which is let through."""
    monkeypatch.chdir(tmp_path)
    torch.save({"model": learnt(), "args": inside(Trap())}, "w.pth")
    with pytest.raises(InputError, match="only plain data are read"):
        read_tensors(tmp_path / "w.pth")
    assert not Path("trap").exists()
    torch.load("w.pth", weights_only=False)  # negative control
    assert Path("trap").exists()


# SE weights for load_published.


def of_senet_pytorch(state: State) -> State:
    """As its SELayer names them: linear layers without biases, in an nn.Sequential."""
    renamed = {}
    for name, tensor in state.items():
        if ".se." in name:
            name = name.replace("fc1", "fc.0").replace("fc2", "fc.2")
            tensor = tensor.flatten(1)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("names", [of_senet_pytorch, dict], ids=["senet.pytorch", "timm"])
def test_published_weights_without_biases(names: Callable[[State], State], prefix: str) -> None:
    theirs = timm.create_model("seresnet18", num_classes=10).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if ".se." in name:
                parameter.zero_() if name.endswith("bias") else parameter.normal_()
            if name.endswith("bn2.weight"):
                parameter.fill_(1.0)
    state = {n: t for n, t in theirs.state_dict().items() if not re.search(r"\.se\..*bias", n)}
    ours = resnet18(10, stem="imagenet").eval()
    assert len(load_published(ours, under(prefix, names(state)))) == 8
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)
    broken = copy.deepcopy(under(prefix, names(state)))
    del broken[f"{prefix}bn1.weight"]
    with pytest.raises(ValueError, match=r"bn1\.weight is missing in the weights"):
        load_published(resnet18(10, stem="imagenet"), broken)
