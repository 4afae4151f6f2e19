"""`data.augment`: torchvision's pixels, a draw for each image, whatever batches and workers."""

import dataclasses
from pathlib import Path

import pytest
import torch
from support import DATA, TINY, config, write_image
from torch import Tensor, nn
from torchvision.transforms import v2

from senet_train.config.schema import Choice, Data
from senet_train.data.fake import fake
from senet_train.data.find import find_data
from senet_train.data.images import Images
from senet_train.data.loaders import TrainingBatches, load_splits
from senet_train.data.policies import POLICIES, augmented, policies_of, resolve_augment
from senet_train.keyed import keyed_seed
from senet_train.training.plan import make_plan

SOURCE = fake(image_size=16, num_classes=3, num_images=60, num_test_images=10)
SMOOTH = v2.InterpolationMode.BILINEAR
# Entry -> the transform that a user of torchvision would write.
THEIRS: dict[str, nn.Module] = {
    "augmix": v2.AugMix(interpolation=SMOOTH),
    "color_jitter": v2.ColorJitter(0.4, 0.4, 0.4),
    "randaugment": v2.RandAugment(interpolation=SMOOTH),
    "random_erasing": v2.RandomErasing(1.0, value=[128, 102, 76]),
    "rotation": v2.RandomRotation(15, SMOOTH),
    "trivial": v2.TrivialAugmentWide(interpolation=SMOOTH),
    "vertical_flip": v2.RandomVerticalFlip(0.5),
}
CERTAIN = {"random_erasing": {"probability": 1.0}}  # so that an image of a test is changed
PLAIN = dataclasses.replace(DATA, image_size=16, crop="none", flip=False, cutout=0)


def with_policies(*names: str, data: Data = PLAIN) -> Data:
    chosen = [Choice(name, CERTAIN.get(name, {})) for name in names]
    return resolve_augment(dataclasses.replace(data, augment=chosen))


def seen_in(data: Data, images: Images, batch_size: int = 7, start: int = 0) -> dict[int, Tensor]:
    """Image index -> what training saw of it, in seed 1 and epoch 2."""
    data = dataclasses.replace(data, batch_size=batch_size)
    seen = {}
    for pixels, _, indices in TrainingBatches(images, data, seed=1, epoch=2, start=start):
        seen.update(zip(indices.tolist(), pixels, strict=True))
    return seen


def same(one: dict[int, Tensor], other: dict[int, Tensor]) -> bool:
    shared = one.keys() & other.keys()
    assert len(shared) > 5
    return all(torch.equal(one[i], other[i]) for i in shared)


def smooth_pictures(num: int) -> Tensor:
    """Pictures with ramps of colour, of which every operation changes something, (N, 16, 16, 3)."""
    ramp = torch.linspace(20, 200, 16)
    planes = torch.stack(
        [ramp[:, None].expand(16, 16), ramp.expand(16, 16), ramp.flip(0).expand(16, 16)], -1
    )
    return (planes + torch.arange(num)[:, None, None, None]).to(torch.uint8)


@pytest.mark.parametrize("height", [16, 6])
@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_is_torchvisions_on_equal_draws(name: str, height: int) -> None:
    """Pixel for pixel: its transform of each image alone, its generator seeded by the key."""
    ours, changed = policies_of(with_policies(name)), 0
    state = torch.get_rng_state()
    for i, pixels in enumerate(smooth_pictures(12)[:, :height]):
        got = ours(pixels, ("crop", 0, 0, i))
        assert torch.equal(torch.get_rng_state(), state)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keyed_seed("augment", "crop", 0, 0, i))
            expected = THEIRS[name](pixels.permute(2, 0, 1))
        assert got.dtype == torch.uint8
        assert torch.equal(got, expected.permute(1, 2, 0))
        changed += not torch.equal(got, pixels)
    assert changed >= 3


@pytest.mark.parametrize("names", [*((name,) for name in POLICIES), ("trivial", *POLICIES)])
def test_a_batch_is_its_images_one_by_one(names: tuple[str, ...]) -> None:
    """Images of one operation go through it together: every operation is in 150 images' draws."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 40, (150, 17, 16, 3), dtype=torch.uint8, generator=generator)
    pixels = torch.cat([smooth_pictures(150), smooth_pictures(150)[:, :1]], 1) + noise
    ours, keys = policies_of(with_policies(*names)), [("crop", 0, 0, i) for i in range(150)]
    state = torch.get_rng_state()
    found = augmented(pixels, keys, ours)
    assert torch.equal(torch.get_rng_state(), state)
    alone = torch.stack([ours(image, key) for image, key in zip(pixels, keys, strict=True)])
    assert torch.equal(found, alone)
    assert not torch.equal(found, pixels)


@pytest.mark.parametrize("name", POLICIES)
def test_each_image_of_a_batch_has_its_own_draw(name: str) -> None:
    """One picture, many times in a batch: torchvision would give all of them one draw."""
    images = dataclasses.replace(
        load_splits(SOURCE, PLAIN).train, pixels=smooth_pictures(1).expand(48, 16, 16, 3)
    )
    seen = torch.stack(list(seen_in(with_policies(name), images, batch_size=24).values()))
    assert len(seen.unique(dim=0)) > (1 if name == "vertical_flip" else 8)


def test_batches_order_and_a_start_in_the_middle_change_no_pixel() -> None:
    data = with_policies(
        "randaugment", "random_erasing", data=dataclasses.replace(DATA, image_size=16)
    )
    images = load_splits(SOURCE, data).train
    whole = seen_in(data, images)
    torch.manual_seed(5)
    assert same(whole, seen_in(data, images, batch_size=16))
    assert same(whole, seen_in(data, images, start=3))
    assert not same(whole, seen_in(PLAIN, images))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("tree")
    for part, count in (("train", 9), ("val", 2)):
        for name in ("a", "b"):
            for i in range(count):
                (base / part / name).mkdir(parents=True, exist_ok=True)
                write_image(base / part / name / f"{i}.png", 20 * i + len(name + part), (20, 24))
    return base


def from_files(tree: Path, cache: str, workers: int) -> dict[int, Tensor]:
    options = {"root": str(tree), "classes": "all", "images_per_class": "all"}
    asked = dataclasses.replace(
        with_policies("randaugment", "trivial", "color_jitter"),
        source=Choice("imagenet_subset", options),
        num_classes="auto",
        **{"cache": cache, "workers": workers, "crop": "pad", "flip": True},
    )
    source, data = find_data(asked)
    return seen_in(data, load_splits(source, data).train, batch_size=4)


def test_memory_files_and_workers_give_the_same_pixels(tree: Path) -> None:
    """`data.cache` and `data.workers` are not in the identity of a run."""
    memory = from_files(tree, "memory", 0)
    assert same(memory, from_files(tree, "stream", 0))
    assert same(memory, from_files(tree, "stream", 2))


def test_one_run_has_one_name() -> None:
    """`none` is no crop, flip and cutout; a bundle is its entries, defaults are what they say."""

    def name(*words: str) -> str:
        return make_plan(config(*TINY, *words)).identity.arm

    plain = name()
    assert plain == name("data.augment=standard") == name("data.augment=[standard]")
    off = ("data.crop=none", "data.flip=false", "data.cutout=0")
    assert name("data.augment=none") == name(*off) != plain
    strong = name("data.augment=strong")
    assert strong == name("data.augment=[trivial,random_erasing]")
    assert strong == name("data.augment=[standard,trivial,{name:random_erasing,probability:0.1}]")
    turned = name("data.augment={name:rotation,degrees:30}")
    assert turned == name("data.augment=[{name:rotation,degrees:30.0}]")
    assert turned != name("data.augment=rotation")
    assert len({plain, strong, name("data.augment=trivial"), name("data.mixup=0.2")}) == 4
    assert name("data.cutmix=0.2") not in (plain, name("data.mixup=0.2"))
