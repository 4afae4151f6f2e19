"""What tests of several rooms share: commands, small settings, small data, waiting, counting."""

import json
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
from PIL import Image
from processes.dying import Forked
from torch import nn

from senet_train.config.compose import composed
from senet_train.config.schema import Choice, Config, Data, Optim
from senet_train.data.imagenet_subset import imagenet_subset
from senet_train.data.images import Source
from senet_train.networks.kernels import library

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"

# Where there is a compiler, passes that it cannot build fail these tests; they are not skipped.
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, library.COMPILERS)),
    reason="no C++ compiler here: senet-train trains with trainer.kernel=joined, tested everywhere",
)


def own_presets(folder: Path, content: str) -> Path:
    """A user's folder for --config-dir, with the preset `experiment=own` of this content."""
    (folder / "experiment").mkdir()
    (folder / "experiment" / "own.yaml").write_text(f"# @package _global_\n{content}\n")
    return folder


# The smallest real run: seconds, every part of the program.
TINY = (
    "data=fake",
    "data.num_images=60",
    "data.num_test_images=20",
    "data.num_classes=2",
    "data.image_size=8",
    "data.batch_size=16",
    "model=se_resnet8",
    "ratio=4",
    "trainer.max_epochs=2",
    "trainer.precision=32",
)

DATA = Data(
    source=Choice("fake"),
    image_size=8,
    num_classes=3,
    mean=[0.5, 0.4, 0.3],
    std=[0.2, 0.3, 0.4],
    crop="pad",
    padding=2,
    flip=True,
    cutout=3,
    batch_size=7,
    val_fraction=0.2,
    split_seed=0,
    cache="auto",
    workers=0,
)
OPTIM = Optim(
    algorithm=Choice("sgd", {"momentum": 0.9, "nesterov": False}),
    lr=0.1,
    weight_decay=0.01,
    decay_norm_and_bias=True,
    label_smoothing=0.0,
    warmup_epochs=0,
    schedule=Choice("constant"),
)


@dataclass(frozen=True)
class Result:
    """How one command ended and what it printed."""

    code: int
    out: str
    err: str


Senet = Callable[..., Result]
Command = Callable[..., Forked]


@cache
def config(*settings: str) -> Config:
    """The configuration that senet-train makes of these settings, composed once."""
    return composed(settings)


def arms(*lists: list[str] | str) -> str:
    """`arms=[["attention=none"],...]`: Hydra wants quotes round what holds an equals sign."""
    return f"arms={json.dumps(lists)}"


@contextmanager
def brief_runs_in(folder: Path) -> Iterator[None]:
    """For the block, commands run in this folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


@contextmanager
def pictures_unrendered() -> Iterator[None]:
    """For the block, a figure becomes an SVG of its texts alone, or one pixel: it takes no time."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    def savefig(figure: Figure, file: IO[Any], *, format: str, **options: object) -> None:
        if format == "svg":
            texts = (escape(text.get_text()) for text in figure.findobj(Text))
            file.write(f'<svg viewBox="0 0 1 1"><text>{" ".join(texts)}</text></svg>')
        else:
            Image.new("RGB", (1, 1)).save(file, format)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield


def run_folders(base: Path) -> list[Path]:
    """Every run folder below a working folder."""
    return sorted(file.parent for file in base.glob("outputs/*/*/seed*/status.json"))


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Look every hundredth of a second whether it holds; the test fails if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def count(module: nn.Module) -> int:
    """Elements of all parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def randomise_norms(network: nn.Module) -> None:
    """BatchNorms that do something in evaluation."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.2, 1.5)
            module.bias.data.neg_()


def status_of(folder: Path) -> dict[str, Any]:
    """The status.json of a run folder."""
    content: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return content


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    """The state_dict in the last checkpoint of a run folder."""
    checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    state: dict[str, torch.Tensor] = checkpoint["state_dict"]
    return state


OPEN = partial(
    imagenet_subset, classes="all", images_per_class="all", image_size=8, crop="pad", workers=0
)


def open_tree(tree: Path, **changes: object) -> Source:
    """The data set in a tree of class folders."""
    return OPEN(root=str(tree), **changes)


def write_image(path: Path, value: int, size: tuple[int, int] = (12, 10)) -> None:
    """An image of noise; `value` is its seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def draw_tree(base: Path) -> None:
    """cat, dog and eel, noise of three hues that overlap: 24 images to train on, 9 to test on."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog", "eel")):
        for part, images in (("train", 24), ("val", 9)):
            (base / part / name).mkdir(parents=True)
            for i in range(images):
                noise = random.integers(0, 200, (9 + i % 4, 10, 3), dtype=np.uint8)
                noise[..., number] += 25
                Image.fromarray(noise).save(base / part / name / f"{i}.png")


def draw_smallest_tree(base: Path) -> Path:
    """Two classes, with two images each to train on and to test on; the folder itself."""
    for part in ("train", "val"):
        for name in ("a", "b"):
            (base / part / name).mkdir(parents=True)
            for i in range(2):
                Image.new("RGB", (8, 8), (i, 0, 0)).save(base / part / name / f"{i}.png")
    return base


def png_that_claims(side: int, *, bits: int = 8, data: bytes = bytes(1000)) -> bytes:
    """A PNG whose header says `side` x `side` pixels of RGB, whatever its data are."""

    def block(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return len(data).to_bytes(4, "big") + kind + data + checksum.to_bytes(4, "big")

    size = side.to_bytes(4, "big")
    header = size + size + bytes([bits, 2, 0, 0, 0])  # 2: RGB
    start = b"\x89PNG\r\n\x1a\n" + block(b"IHDR", header)
    return start + block(b"IDAT", zlib.compress(data)) + block(b"IEND", b"")
