"""task=segmentation and task=detection: counted right, trained in pairs, gone on with, compared."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import ROOT, Senet, brief_runs_in
from torch import Tensor
from torchmetrics.classification import MulticlassJaccardIndex
from torchvision.ops import masks_to_boxes

from senet_train.cli import main
from senet_train.commands.compare import main as compare
from senet_train.compare.statistics.bootstrap import resampled_miou
from senet_train.config.compose import composed
from senet_train.data.augment import Augment, draw_table
from senet_train.data.placement import rows_of
from senet_train.data.scenes import Scene, SceneImages, mirror
from senet_train.data.shapes import shapes
from senet_train.runs.checkpoint_files import read_checkpoint
from senet_train.runs.trained.load import load_run
from senet_train.training.callbacks import speed
from senet_train.training.fit import build_learner
from senet_train.training.learner import Learner
from senet_train.training.pictures import scenes
from senet_train.training.plan import make_plan
from senet_train.training.progress import MetricSums
from senet_train.training.tasks.detection import average_precision, box_means
from senet_train.training.tasks.segmentation import overlaps, pixel_counts, pixel_means

SMALL = (
    "model.channels=[8,16,32]",
    "data.num_images=40",
    "data.num_test_images=40",
    "data.batch_size=12",
    "trainer.max_epochs=2",
    "trainer.precision=32",
)
SEGMENT = ("task=segmentation", *SMALL)
DETECT = ("task=detection", *SMALL)
QUICK = "model=se_resnet8"  # in place of the default of both tasks, se_resnet20
LINES = {"segmentation": (*SEGMENT, QUICK), "detection": (*DETECT, QUICK, "optim.lr=0.05")}
SCENES = shapes(12, seed=3)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency of one image alone."""
    monkeypatch.setattr(speed, "LATENCY_BATCHES", (1,))


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture is drawn: that takes longer than these runs."""
    monkeypatch.setattr(
        "senet_train.training.callbacks.journal.Journal.save_figure", lambda *arguments: None
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`trained("detection")` is the folder of an undisturbed run of its line, trained once."""

    @cache
    def run_of(task: str) -> Path:
        base = tmp_path_factory.mktemp(task)
        with brief_runs_in(base):
            assert main(LINES[task]) == 0
        [folder] = runs_in(base)
        return folder

    return run_of


def result_of(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


def runs_in(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.rglob("result.json"))


def counted(logits: Tensor, classes: Tensor) -> MetricSums:
    """In batches of unequal size."""
    num_classes = logits.shape[1]
    sums = MetricSums(
        torch.zeros(num_classes**2 + 2).double(), lambda s: pixel_means(num_classes, s)
    )
    for part in (slice(0, 5), slice(5, None)):
        loss = torch.nn.functional.cross_entropy(logits[part], classes[part])
        sums.update(pixel_counts(loss, logits[part], classes[part]))
    return sums


@pytest.mark.parametrize("num_present", [4, 3])
def test_mean_iou_is_that_of_torchmetrics(num_present: int) -> None:
    """Also where a class is neither there nor said."""
    logits = torch.randn(8, 4, 9, 9)
    logits[:, num_present:] = -9.0
    classes = torch.randint(num_present, (8, 9, 9))
    metric = MulticlassJaccardIndex(4)
    metric.update(logits.argmax(1), classes)
    means = counted(logits, classes).compute("val")
    assert means["val_miou"] == pytest.approx(float(metric.compute()), abs=1e-6)
    assert means["val_pixels"] == pytest.approx(float((logits.argmax(1) == classes).float().mean()))
    loss = torch.nn.functional.cross_entropy(logits, classes)
    assert means["val_loss"] == pytest.approx(float(loss), rel=1e-6)


def test_overlaps_of_images_make_the_mean_iou_of_any_sample() -> None:
    said, truth = torch.randint(4, (6, 8, 8)), torch.randint(4, (6, 8, 8))
    hits, unions = (counts.numpy() for counts in overlaps(said, truth, 4))
    drawn = [0, 0, 2, 5, 5, 5]
    weights = np.array([np.bincount(drawn, minlength=6), np.ones(6)], np.float32)
    for row, images in zip(resampled_miou(hits, unions, weights), (drawn, range(6)), strict=True):
        metric = MulticlassJaccardIndex(4)
        metric.update(said[list(images)], truth[list(images)])
        assert row == pytest.approx(float(metric.compute()), abs=1e-6)


def test_a_mirrored_target_is_that_of_the_mirrored_scene() -> None:
    for scene in SCENES:
        masks = scene.masks.flip(2)
        boxes = masks_to_boxes(masks)
        boxes[:, 2:] += 1
        expected = Scene(scene.pixels.flip(1), boxes, scene.labels, masks).target()
        found = mirror(scene.target())
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_pixels_and_targets_are_mirrored_together() -> None:
    images = SceneImages.of(SCENES, [""] * len(SCENES))
    [rows] = rows_of([torch.arange(12)], draw_table(12, 0, 0), images.device)
    pixels, targets = images.augmented(images.pixels, rows, Augment(0, True, 0))
    flipped = [not torch.equal(a, b) for a, b in zip(pixels, images.pixels, strict=True)]
    assert 0 < sum(flipped) < 12
    for scene, seen, target, flip in zip(SCENES, pixels, targets, flipped, strict=True):
        # The noise is dark: what is not background is what shows a shape.
        assert torch.equal(seen.amax(2) >= 128, target["classes"] > 0)
        assert torch.equal(target["classes"], scene.classes().flip(1) if flip else scene.classes())
    still, same = images.augmented(images.pixels, rows, Augment(0, False, 0))
    assert torch.equal(still, images.pixels)
    assert all(torch.equal(a["boxes"], b.boxes) for a, b in zip(same, SCENES, strict=True))


def test_average_precision_of_known_answers() -> None:
    """The truth gives 1; boxes of other classes 0; each second box missing about a half."""
    truth = [{"boxes": scene.boxes, "labels": scene.labels} for scene in SCENES]

    def precision(answers: list[dict[str, Tensor]]) -> float:
        metric = average_precision()
        sure = [{**a, "scores": torch.ones(len(a["labels"]))} for a in answers]
        metric.update(sure, truth)
        return box_means(metric, torch.zeros(1))["map"]

    assert precision(truth) == pytest.approx(1.0)
    assert precision([{**t, "labels": t["labels"] % 3 + 1} for t in truth]) < 0.1
    halves = [{name: tensor[::2] for name, tensor in t.items()} for t in truth]
    assert 0.4 < precision(halves) < 0.8


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize(
    ("task", "key"), [(SEGMENT, "miou"), pytest.param(DETECT, "map", marks=pytest.mark.slow)]
)
def test_trained_compared_and_found_again(
    senet: Senet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    task: Any,
    key: str,
) -> None:
    for arm in ("model=resnet8", "model=se_resnet8"):
        for seed in ("seed=0", "seed=1"):
            result = senet(*task, arm, seed, "trainer.max_epochs=1")
            assert result.code == 0, result.err
            # The first shows eight images, which takes as long as the rest of a run.
            monkeypatch.setattr(scenes, "NUM_SHOWN", 1)
    runs = runs_in(tmp_path / "outputs")
    assert len(runs) == 4
    for run in runs:
        metrics = result_of(run)["metrics"]
        assert 0 <= metrics[f"test_{key}"] <= 1
        for file in ("predictions.npz", "predictions.png", "checkpoints/best.ckpt"):
            assert (run / file).is_file()
    plain, attended = (result_of(run)["cost"] for run in (runs[0], runs[2]))
    more = attended["parameters"] - plain["parameters"]
    assert more == attended["attention_parameters"] > 0
    assert "found finished" in senet(*task, QUICK, "trainer.max_epochs=1").err
    assert compare(["outputs", "--out", "report", "--tensorboard", "board"]) == 0
    title = {"miou": "mIoU", "map": "mAP"}[key]
    assert f"test {title} %" in " ".join(capsys.readouterr().out.split())
    assert f"points of test {title}" in (tmp_path / "report" / "forest-1.svg").read_text()


@pytest.mark.usefixtures("unseen")
def test_predictions_make_the_record(trained: Callable[[str], Path]) -> None:
    run = trained("segmentation")
    with np.load(run / "predictions.npz") as file:
        said = torch.from_numpy(file["classes"])
    truth = torch.stack([scene.classes() for scene in shapes(40, seed=1)])
    metric = MulticlassJaccardIndex(4)
    metric.update(said, truth)
    recorded = result_of(run)["metrics"]["test_miou"]
    assert recorded == pytest.approx(float(metric.compute()), abs=1e-6)


@pytest.mark.usefixtures("unseen")
def test_boxes_make_the_record(trained: Callable[[str], Path]) -> None:
    """After an epoch little is found; what counts is that both say the same."""
    run = trained("detection")
    with np.load(run / "predictions.npz") as file:
        found = {name: torch.from_numpy(file[name]) for name in ("box", "label", "score", "image")}
    metric = average_precision()
    for number, scene in enumerate(shapes(40, seed=1)):
        own = found["image"] == number
        said = {"boxes": "box", "labels": "label", "scores": "score"}
        answer = {name: found[key][own] for name, key in said.items()}
        answer["labels"] = answer["labels"].long()
        metric.update([answer], [{"boxes": scene.boxes, "labels": scene.labels}])
    metrics = result_of(run)["metrics"]
    recorded = {name: metrics[f"test_{name}"] for name in ("map", "map50", "map75")}
    assert recorded == pytest.approx(box_means(metric, torch.zeros(1)), abs=1e-6)
    assert len(found["label"]) > 40


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("task", LINES)
def test_what_stopped_goes_on_to_the_same_end(
    senet: Senet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: Callable[[str], Path],
    task: str,
) -> None:
    """Cut in the second epoch, it goes on from the first: to the same weights, bit for bit."""
    whole = trained(task)
    step, calls = Learner.training_step, []

    def fail_later(*arguments: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 4:  # of two steps an epoch
            raise OSError("no space left on device")
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "training_step", fail_later)
        assert senet(*LINES[task]).code == 1
    assert "going on after 1 epoch and " in senet(*LINES[task], "retry=failed").err
    [cut] = runs_in(tmp_path)
    assert result_of(whole)["metrics"] == result_of(cut)["metrics"]
    weights = [read_checkpoint(run / "checkpoints/last.ckpt")["state_dict"] for run in (whole, cut)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.usefixtures("unseen")
def test_other_commands_say_that_they_are_for_classifiers(trained: Callable[[str], Path]) -> None:
    run = trained("segmentation")
    with pytest.raises(ValueError, match="this is for classifiers"):
        load_run(run)


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_arms_of_one_seed_share_every_other_weight(task: str) -> None:
    plans = [
        make_plan(composed([f"task={task}", *words]))
        for words in (["model=resnet8"], ["model=se_resnet8"], ["model=resnet8", "seed=1"])
    ]
    plain, attended, other = (build_learner(plan, 3).network.state_dict() for plan in plans)
    assert len(attended) > len(plain)
    assert all(torch.equal(plain[name], attended[name]) for name in plain)
    assert not all(torch.equal(plain[name], other[name]) for name in plain)


def test_two_tasks_are_never_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """In one folder they are two blocks; nothing sets the task free."""
    folder = ROOT / "docs/evidence/studies"
    studies = [str(folder / f"shapes_{name}") for name in ("segmentation", "detection")]
    assert compare(studies) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "test mIoU %" in printed
    assert "test mAP %" in printed
    free = ["--allow", "trainer", "--allow", "optim", "--allow", "data"]
    assert compare([*studies, *free]) == 0
    assert "+21" not in capsys.readouterr().out
    assert compare([*studies, *free, "--allow", "task"]) == 2
    assert "scores of two tasks are no one scale" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["backbone", "aspp", "classifier.aspp"])
def test_a_part_has_one_name(name: str) -> None:
    words = ["task=segmentation", "model=se_resnet8"]
    plan = make_plan(composed([*words, f"placement.part={name}"]))
    usual = [] if name == "backbone" else ["placement.part=aspp"]
    assert plan.identity == make_plan(composed([*words, *usual])).identity


REFUSED = [
    (
        ("task=segmentation", "data=digits"),
        "data=digits is not for task=segmentation: choose one of shapes",
    ),
    (("data=shapes",), "data=shapes is not for task=classification: choose one of cifar10"),
    (
        ("task=detection", "data.augment=trivial"),
        "data.augment is not for task=detection, whose boxes and masks would have to",
    ),
    (("task=segmentation", "data.mixup=0.2"), "data.mixup=0.2 is not for task=segmentation"),
    (("task=detection", "+data.test_flips=horizontal"), "choose data.test_flips=none"),
    (("task=segmentation", "+data.padding_mode=reflect"), "choose data.padding_mode=zeros"),
    (("task=segmentation", "+data.test_size=96"), "data.test_size=96 is not for task=segm"),
    (("task=detection", "data.cutmix=1.0"), "data.cutmix=1.0 is not for task=detection"),
    (("task=segmentation", "data.crop=pad"), "data.crop=pad is not for task=segmentation"),
    (("task=detection", "trainer.precision=bf16-mixed"), "choose trainer.precision=32"),
    (("task=detection", "optim.label_smoothing=0.1"), "choose optim.label_smoothing=0.0"),
    (("task=detection", "optim.frozen=backbone"), "optim.frozen=backbone is not for"),
    (("task=detection", "data.image_size=32"), "data.image_size=32 is too small for shapes"),
    (("task=detection", "model=bn_inception"), "returns no maps of its stages"),
    (
        ("task=detection", "model=torchvision", "model.name=fcos_resnet50"),
        "did you mean fcos_resnet50_fpn?",
    ),
    (
        ("task=detection", "model=torchvision", "model.name=maskrcnn_resnet50_fpn"),
        "learns masks or keypoints besides boxes",
    ),
    (
        ("task=segmentation", "model=torchvision", "model.name=resnet50"),
        "there is no segmenter of torchvision named resnet50",
    ),
    (
        ("task=segmentation", "model=torchvision", "model.name=fcn_resnet50", "model.pretrained=x"),
        "model.pretrained=x is for task=classification",
    ),
    (("task=segmentation", "placement.part=neck"), "placement.part=neck"),
    (("task=segmentation", "data.padding=4"), "choose data.padding=0"),
    (("task=detection", "data.image_size=100"), "choose a multiple of 32"),
    (("task=detection", "model=timm", "model.name=resnet18"), "is for task=classification"),
    (("placement.part=aspp", "attention=se"), "placement.part=aspp is for detectors"),
]


@pytest.mark.parametrize(("settings", "line"), REFUSED)
def test_bad_input(senet: Senet, tmp_path: Path, settings: tuple[str, ...], line: str) -> None:
    result = senet(*settings)
    assert result.code == 2
    assert line in result.err
    assert len(result.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_aspp_is_a_part_of_its_own(senet: Senet, tmp_path: Path) -> None:
    """SE-ASPP: 2 C^2 / r parameters on five branches of 64 channels; the control is the usual."""
    dry = senet(*SEGMENT, "model=resnet8", "attention=se", "placement.part=aspp", "dry_run=true")
    assert dry.code == 0, dry.err
    assert f"attention {2 * 320**2 // 4:,}" in dry.err
    assert "in_aspp" in dry.err


@pytest.mark.parametrize("position", ["pre", "standard"])
def test_before_and_behind_the_pools(senet: Senet, position: str) -> None:
    """The tutorials' YOLO: one SE layer of 512 channels."""
    where = ("placement.stages=[5]", f"placement.position={position}")
    dry = senet(*DETECT[:1], "model=csp_sppf", "attention=se", *where, "dry_run=true")
    assert dry.code == 0, dry.err
    assert f"attention {2 * 512**2 // 4:,}" in dry.err


TORCHVISION = [
    ("segmentation", "lraspp_mobilenet_v3_large"),
    *(
        pytest.param(task, name, marks=pytest.mark.slow)
        for task, name in [
            ("segmentation", "deeplabv3_mobilenet_v3_large"),
            ("detection", "ssdlite320_mobilenet_v3_large"),
            ("segmentation", "deeplabv3_resnet50"),
            ("segmentation", "fcn_resnet50"),
            ("detection", "fasterrcnn_resnet50_fpn"),
            ("detection", "fasterrcnn_mobilenet_v3_large_320_fpn"),
            ("detection", "retinanet_resnet50_fpn"),
            ("detection", "fcos_resnet50_fpn"),
            ("detection", "ssd300_vgg16"),
        ]
    ),
]


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize(("task", "name"), TORCHVISION)
def test_networks_of_torchvision(senet: Senet, task: str, name: str) -> None:
    """One step and an evaluation of each, with SE in its backbone."""
    few = ("data.num_images=40", "data.num_test_images=40", "data.batch_size=36")
    network = ("model=torchvision", f"model.name={name}", "attention=se")
    result = senet(f"task={task}", *network, *few, "trainer.max_epochs=1", "trainer.precision=32")
    assert result.code == 0, result.err
