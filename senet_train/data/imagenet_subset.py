"""Any tree of class folders: `train/<class>/*` and `val/<class>/*` (or `test/` in its place).

`val/` or `test/` is the test set; validation is split from `train/`. Class indices come from the
training folders in sorted order, and the other part is mapped by name, so a missing folder can
never shift a label.
"""

import hashlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from senet_train.data.images import FileImages, Source
from senet_train.errors import InputError, RunError
from senet_train.keyed import forked_random, keyed_permutation

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TEST_FOLDERS = ("val", "test")

# https://github.com/fastai/imagenette: ten easy classes, and ten breeds of dog.
IMAGENETTE = """
n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 n03425413 n03445777 n03888257
"""
IMAGEWOOF = """
n02086240 n02087394 n02088364 n02089973 n02093754 n02096294 n02099601 n02105641 n02111889 n02115641
"""
NAMED_CLASSES = {"imagenette": IMAGENETTE.split(), "imagewoof": IMAGEWOOF.split()}


@dataclass(frozen=True)
class Listing:
    """The files of one part of the tree: class -> sorted (name, bytes)."""

    folder: Path
    files: dict[str, list[tuple[str, int]]]


def imagenet_subset(
    *,
    root: str,
    classes: Literal["all", "imagenette", "imagewoof"] | list[str | int],
    images_per_class: Literal["all"] | int,
    image_size: int,
    crop: Literal["none", "pad", "resized"],
    workers: int,
) -> Source:
    """The tree below `root`; `images_per_class` limits the training images alone."""
    base = Path(root).expanduser()
    train_folder, test_folder = find_parts(base)
    wanted = wanted_classes(classes)
    train = list_part(train_folder, wanted)
    test = list_part(test_folder, wanted)
    refuse_mismatch(train, test)
    refuse_single(train)
    if len(train.files) < 2:
        raise InputError(f"{train_folder} gives one class, {wanted or 'all'}: choose two or more")
    if images_per_class != "all":
        train = limit(train, images_per_class)
    load_part = partial(images_of, image_size=image_size, crop=crop, workers=workers)
    return Source(
        tuple(train.files),
        fingerprint(train, test),
        lambda: (load_part(train), load_part(test)),
        from_files=True,
    )


def wanted_classes(classes: str | list[str | int]) -> list[str]:
    """The names of the classes asked for; none of them for `all`."""
    if isinstance(classes, str):
        return NAMED_CLASSES.get(classes, [])
    if not classes:
        raise InputError("data.classes=[] is no class: name some, or choose data.classes=all")
    return [str(name) for name in classes]


def find_parts(base: Path) -> tuple[Path, Path]:
    """The training and the test folder below the root."""
    tests = [base / name for name in TEST_FOLDERS if (base / name).is_dir()]
    if not (base / "train").is_dir() or not tests:
        raise InputError(
            f"data.root={base} holds no train/<class>/ and val/<class>/ (or test/<class>/) "
            "folders: give the folder that does"
        )
    if len(tests) > 1:
        raise InputError(
            f"data.root={base} has both val/ and test/: move one away; "
            "the one that stays is the test set (validation is split from train/)"
        )
    return base / "train", tests[0]


def list_part(folder: Path, wanted: list[str]) -> Listing:
    """The images of every (wanted) class folder, sorted. Raises InputError listing what is odd."""
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    hidden = [name for name in found if name.startswith(".")]
    if hidden:
        raise InputError(f"{folder} has hidden class folders ({', '.join(hidden)}): remove them")
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise InputError(
            f"{folder} lacks the classes {', '.join(missing)}: add them, or change data.classes"
        )
    names = sorted(set(wanted)) if wanted else found
    files = {name: list_images(folder / name) for name in names}
    empty = [name for name, images in files.items() if not images]
    if empty or not files:
        what = f"class folders without an image ({', '.join(empty)})" if files else "no class"
        raise InputError(f"{folder} has {what}: images end in {' '.join(EXTENSIONS)}")
    return Listing(folder, files)


def list_images(folder: Path) -> list[tuple[str, int]]:
    """(name, bytes) of the images in one class folder, sorted by name; hidden files left out."""
    images = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                raise InputError(f"{entry.path} is a folder: images lie in their class folder")
            if entry.name.lower().endswith(EXTENSIONS) and not entry.name.startswith("."):
                if not entry.is_file():
                    raise InputError(f"{entry.path} is a broken link: mend or remove it")
                images.append((entry.name, entry.stat().st_size))
    return sorted(images)


def refuse_mismatch(train: Listing, test: Listing) -> None:
    """Both parts must have the same classes."""
    for have, lack in ((train, test), (test, train)):
        missing = sorted(set(have.files) - set(lack.files))
        if missing:
            raise InputError(
                f"{have.folder} has classes that {lack.folder} lacks ({', '.join(missing)}): "
                "add or remove them, or name the shared ones in data.classes"
            )


def refuse_single(train: Listing) -> None:
    """A class needs an image to train on and one to validate on."""
    single = [name for name, images in train.files.items() if len(images) < 2]
    if single:
        raise InputError(
            f"{train.folder} has class folders with a single image ({', '.join(single)}): "
            "training and validation each need one"
        )


def limit(part: Listing, images_per_class: int) -> Listing:
    """A random choice of images of each class; a larger number keeps a smaller one's images."""
    short = [name for name, images in part.files.items() if len(images) < images_per_class]
    if images_per_class < 2 or short:
        have = min(len(images) for images in part.files.values())
        raise InputError(
            f"data.images_per_class={images_per_class}: choose 2 to {have}, "
            f"the size of the smallest class in {part.folder}, or all"
        )
    chosen = {}
    for name, images in part.files.items():
        order = keyed_permutation(len(images), "images_per_class", name).tolist()
        chosen[name] = sorted(images[i] for i in order[:images_per_class])
    return Listing(part.folder, chosen)


def fingerprint(*parts: Listing) -> str:
    """A hash of class names, file names and sizes: contents are not read."""
    digest = hashlib.sha256()
    for number, part in enumerate(parts):
        for name, images in part.files.items():
            for file, size in images:
                digest.update(f"{number}/{name}/{file}/{size}\n".encode())
    return digest.hexdigest()


def images_of(part: Listing, *, image_size: int, crop: str, workers: int) -> FileImages:
    """One part of the tree as images to read."""
    rows = [
        (f"{name}/{file}", label)
        for label, (name, images) in enumerate(part.files.items())
        for file, _ in images
    ]
    return FileImages(
        paths=[str(part.folder / name) for name, _ in rows],
        labels=torch.tensor([label for _, label in rows]),
        ids=[f"{part.folder.name}/{name}" for name, _ in rows],
        load=partial(load_image, image_size=image_size, crop=crop),
        workers=workers,
    )


def load_image(path: str, key: tuple[int | str, ...], *, image_size: int, crop: str) -> Tensor:
    """Decode one image and bring it to (image_size, image_size, 3) uint8.

    With a key and `crop="resized"`, by a random resized crop (8 to 100 % of the area) drawn under
    that key; otherwise the middle is cut out by `centre`. Raises RunError naming the path.
    """
    try:
        with Image.open(path) as file:
            picture = to_rgb(file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RunError(f"{path} cannot be read as an image ({error}): mend or remove it") from error
    if crop == "resized" and key:
        with forked_random(*key):
            picture = v2.RandomResizedCrop(image_size)(picture)
    elif picture.size != (image_size, image_size):
        picture = centre(picture, image_size, 256 / 224 if crop == "resized" else 1.0)
    return torch.from_numpy(np.array(picture))


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode as 8-bit RGB; Pillow alone would clip 16-bit greys to white.

    A palette with transparency goes by RGBA, as Pillow asks for.
    """
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"its mode is {picture.mode}: save it with 8 or 16 bits")
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def centre(picture: Image.Image, size: int, margin: float) -> Image.Image:
    """The middle square, 1 / `margin` of the shorter side, scaled to `size` x `size`.

    The margin of 256 / 224 is the paper's single-crop evaluation (section 5.1).
    """
    width, height = picture.size
    side = min(width, height) / margin
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return picture.resize((size, size), Image.Resampling.BILINEAR, box)
