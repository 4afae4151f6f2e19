"""On a GPU no operation mixes devices, no tensor is float64, and no training step waits."""

import io
from collections.abc import Mapping
from itertools import count, product
from pathlib import Path

import pytest
from device.pretended_run import Run, train
from rich.console import Console
from support import TINY

from senet_train.attention import ATTENTIONS
from senet_train.attention.frequency_channel import cosines
from senet_train.backbones import NAMES as BACKBONES
from senet_train.networks.bind import LIBRARIES
from senet_train.training import fit
from senet_train.training.callbacks import heartbeat, progress_bar, speed

# 12 images to train on, in 3 steps of 4. The second step of an epoch asks nothing. Validation has
# one such batch and the test two: oneDNN prepares itself for each size of a batch anew.
IMAGES = ("data.num_images=16", "data.num_test_images=8", "data.val_fraction=0.25")
REPLACED = ("model=", "ratio=", "trainer.max", "data.num_images", "data.num_test", "data.batch")
SMALL = (*(word for word in TINY if not word.startswith(REPLACED)), *IMAGES, "data.batch_size=4")
ONE, TWO = "trainer.max_epochs=1", "trainer.max_epochs=2"
SE = (*SMALL, "model=se_resnet8", "ratio=4")
AUGMENTED = ("data.crop=pad", "data.padding=2", "data.flip=true", "data.cutout=3")
SCENES = (  # the fewest that there can be
    *("data.num_images=40", "data.num_test_images=40", "data.batch_size=12"),
    *("model=se_resnet8", "model.channels=[8,16,32]", "trainer.precision=32"),
)

# A family of backbones is a file of senet_train/backbones/; of each the cheapest.
FAMILIES: dict[str, tuple[str, ...]] = {
    "cifar_resnet": ("model=resnet20",),
    "resnet": ("model=resnet18",),
    "preact_resnet": ("model=preact_resnet20",),
    "mobilenet_v1": ("model=mobilenet_v1",),
    "shufflenet_v1": ("model=shufflenet_v1",),
    "bn_inception": ("model=bn_inception",),
    "csp_sppf": ("model=csp_sppf",),
    "wide_resnet": ("model=wrn16_8", "model.dropout=0.3"),
    "shake_shake": ("model=shakeshake26_2x32d",),
    "torchvision": ("model=torchvision", "model.name=resnet18"),
    "timm": ("model=timm", "model.name=resnet10t"),
}
SETTINGS: dict[str, tuple[str, ...]] = {
    "augmentation": AUGMENTED,
    "policies": ("data.augment=[randaugment,random_erasing]",),
    "mixed": ("data.mixup=0.2", "data.cutmix=1.0", "optim.label_smoothing=0.1"),
    "cut": ("data.cutmix=1.0", "trainer.deterministic=true"),
    "deterministic": ("trainer.deterministic=true",),
    "average": ("trainer.ema_decay=0.9",),
    "clipping": ("trainer.clip_norm=0.1",),
    "loss scale": ("trainer.precision=16-mixed",),
    "loss scale, clipping and average": (
        *("trainer.precision=16-mixed", "trainer.clip_norm=0.1", "trainer.ema_decay=0.9"),
    ),
    "a frozen backbone": ("optim.frozen=backbone", "optim.backbone_lr_factor=1.0"),
    **{name: (f"optim={name}",) for name in ("adamw", "radam", "nadam")},
    "accumulated": ("optim.accumulate=2", "data.batch_size=2"),
    "accumulated with a loss scale, clipping and average": (
        *("optim.accumulate=2", "data.batch_size=2", "optim=adamw"),
        *("trainer.precision=16-mixed", "trainer.clip_norm=0.1", "trainer.ema_decay=0.9"),
    ),
    "AdamW with a loss scale": ("optim=adamw", "trainer.precision=16-mixed"),
    "no momentum": ("optim.momentum=0.0", "optim.nesterov=false"),
}

STEPS = ("_fused_sgd_", "_fused_adamw_", "_foreach_addcmul_")  # kernels that change weights

# Where the host waits in a training step, or between two, and why it may.
TRAINING = {
    "loss_guard.py:LossGuard.ask": "once in many steps: was a loss not finite?",
    "GradScaler.get_scale": "then, too: do the gradients overflow float16 at every scale?",
    "has_len_all_ranks": "between two epochs Lightning asks how long a loader is",
}
# ... in a validation and in the test, of which numbers are wanted.
EVALUATION = {
    "has_len_all_ranks": "Lightning asks how long a loader is",
    "progress.py:MetricSums.sums": "the sums of an epoch become metrics",
    "gate_histograms.py": "the host counts how many gates are how large",
    "checkpoint_files.py:write_checkpoint": "a checkpoint is written",
    "GradScaler": "... with the loss scale",
    "ImageClassifier.evaluate": "predictions are written after the test",
    "SegmentationLearner.evaluate": "predictions are written after the test",
}
# torchvision's detectors choose by values what they compute, in training too.
DETECTORS = {
    "detectors.py:Detector.loss, torchvision": "anchors are chosen by the boxes",
    "detectors.py:Detector.forward, torchvision": "boxes are chosen by their scores",
    "in autograd": "the way back through that choice",
    "detection.py:on_cpu": "pycocotools counts boxes on the host",
}
NOWHERE: dict[str, str] = {}
UNSCALE = {"GradScaler.unscale_": "float64, which torch spares Apple's GPUs"}
COSINES = {"frequency_channel.py:cosines": "made once for each size of maps, in the first step"}


@pytest.fixture(autouse=True)
def brief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder; latency is measured of one image, once."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("SECONDS", 0.0), ("BATCHES", (1,))):
        monkeypatch.setattr(speed, f"LATENCY_{name}", value)
    monkeypatch.setattr(speed, "LEAST_PASSES", 1)


def beyond(waits: Mapping[str, int], allowed: Mapping[str, str]) -> dict[str, int]:
    """The waits at no allowed place."""
    return {
        what: number
        for what, number in waits.items()
        if not any(where in what for where in allowed)
    }


def keeps_its_promises(run: Run, further: Mapping[str, str] = NOWHERE) -> None:
    """No mixed devices, no float64, no wait in a training step but at `further` places."""
    parts = run.parts
    kernels = parts.of("kernels", "training")
    assert sum(kernels[step] for step in STEPS) > 1, "nothing was trained"
    assert parts.of("mixed") == {}
    assert beyond(parts.of("float64"), further) == {}
    training = parts.of("waits", "training")
    assert beyond(training, {**TRAINING, **further}) == {}
    asked = sum(number for what, number in training.items() if "LossGuard.ask" in what)
    assert asked == 2 * len(parts.counts["training"])  # after an epoch's first and last step
    evaluation = parts.of("waits", "validation", "test")
    assert beyond(evaluation, {**EVALUATION, **further}) == {}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_every_attention(name: str) -> None:
    run = train([*SMALL, ONE, "model=resnet8", f"attention={name}", "ratio=4"])
    keeps_its_promises(run, COSINES if name == "fca" else NOWHERE)


def test_the_cosines_are_made_once() -> None:
    """For each of three sizes of maps, and not in each step."""
    cosines.cache_clear()
    run = train([*SMALL, TWO, "model=resnet8", "attention=fca", "ratio=4"])
    [made] = beyond(run.parts.of("waits", "training"), TRAINING).values()
    assert made == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_backbones(family: str) -> None:
    keeps_its_promises(train([*SMALL, ONE, *FAMILIES[family], "attention=se", "ratio=4"]))


def test_families_are_all() -> None:
    files = {where.partition(":")[0] for where in BACKBONES.values()}
    assert files | set(filter(None, LIBRARIES)) == set(FAMILIES)


@pytest.mark.parametrize(("task", "further"), [("segmentation", NOWHERE), ("detection", DETECTORS)])
def test_every_further_task(task: str, further: dict[str, str]) -> None:
    keeps_its_promises(train([f"task={task}", *SCENES, ONE]), further)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name: str) -> None:
    keeps_its_promises(train([*SE, TWO, *SETTINGS[name]]), UNSCALE)


def test_every_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that write only now and then, in every step."""
    monkeypatch.setattr(heartbeat, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(progress_bar.time, "monotonic", count(step=1.0).__next__)
    bar = progress_bar.ProgressBar(Console(file=io.StringIO()), "bar")
    monkeypatch.setattr(fit, "progress_bar", lambda plan: [bar])
    run = train([*SE, TWO, "trainer.ema_decay=0.9"])
    keeps_its_promises(run)
    assert set(run.parts.seen) >= {
        *("SpeedMeter", "Journal", "GateHistograms", "ProgressBar", "Heartbeat", "StopOnRequest"),
        *("Averaging", "Agreement", "Checkpoints"),
    }


NETWORKS = {
    "resnet20": ("model=resnet20",),
    "resnet18": ("model=resnet18",),
    "preact_resnet20": ("model=preact_resnet20",),
    "mobilenet_v1": ("model=mobilenet_v1",),
    "torchvision": ("model=torchvision", "model.name=resnet50"),
}


# Deep networks diverge in batches of 4 images, and `fca` takes 16 channels or more.
WHOLE = tuple(word for word in TINY if not word.startswith(("model=", "ratio=", "trainer.max")))
CHANNELS = "model.channels=[16,32,64]"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "network"), [*product(ATTENTIONS, NETWORKS)])
def test_every_attention_in_every_network(name: str, network: str) -> None:
    run = train([*WHOLE, ONE, *NETWORKS[network], f"attention={name}", "ratio=4"])
    keeps_its_promises(run, COSINES if name == "fca" else NOWHERE)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [*product(ATTENTIONS, ["segmentation", "detection"])])
def test_every_attention_in_every_task(name: str, task: str) -> None:
    further = {**COSINES, **(DETECTORS if task == "detection" else {})}
    words = [f"task={task}", *SCENES, CHANNELS, ONE, "model=resnet8"]
    run = train([*words, f"attention={name}", "ratio=4"])
    keeps_its_promises(run, further)
