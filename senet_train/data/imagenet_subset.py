"""Any tree of class folders: `train/<class>/*` and `val/<class>/*` (or `test/` in its place).

`val/` or `test/` is the test set; validation is split from `train/`. Class indices come from the
training folders in sorted order, and the other part is mapped by name, so a missing folder can
never shift a label.
"""

import hashlib
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from senet_train.data.class_folders import (
    ClassFolders,
    excluded_from,
    find_parts,
    list_part,
    refuse_mismatch,
    refuse_single,
)
from senet_train.data.image_files import Unreadable, read_rgb
from senet_train.data.images import FileImages, Source
from senet_train.errors import InputError, RunError
from senet_train.keyed import forked_random, keyed_permutation

# https://github.com/fastai/imagenette: ten easy classes, and ten breeds of dog.
IMAGENETTE = """
n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 n03425413 n03445777 n03888257
"""
IMAGEWOOF = """
n02086240 n02087394 n02088364 n02089973 n02093754 n02096294 n02099601 n02105641 n02111889 n02115641
"""
NAMED_CLASSES = {"imagenette": IMAGENETTE.split(), "imagewoof": IMAGEWOOF.split()}


def imagenet_subset(
    *,
    root: str,
    classes: Literal["all", "imagenette", "imagewoof"] | list[str | int],
    images_per_class: Literal["all"] | int,
    image_size: int,
    crop: Literal["none", "pad", "resized"],
    workers: int,
    exclude: str = "none",
) -> Source:
    """The tree below `root`; `images_per_class` limits the training images alone.

    `exclude` is a file of paths to leave out, as `senet-data check` writes it, or none.
    """
    base = Path(root).expanduser()
    train_folder, test_folder = find_parts(base, "data.root")
    wanted = wanted_classes(classes)
    excluded = excluded_from(exclude, (train_folder, test_folder))
    train = list_part(train_folder, wanted, excluded)
    test = list_part(test_folder, wanted, excluded)
    refuse_mismatch(train, test)
    refuse_single(train)
    if len(train.files) < 2:
        raise InputError(f"{train_folder} gives one class, {wanted or 'all'}: choose two or more")
    if images_per_class != "all":
        train = limit(train, images_per_class)
    load_part = partial(images_of, image_size=image_size, crop=crop, workers=workers)
    return Source(
        tuple(train.files),
        fingerprint(train, test, excluded=excluded),
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


def limit(part: ClassFolders, images_per_class: int) -> ClassFolders:
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
    return ClassFolders(part.folder, chosen)


def fingerprint(*parts: ClassFolders, excluded: frozenset[str]) -> str:
    """A hash of class names, file names and sizes, and of excluded paths; contents are not read.

    Without exclusions it is the hash of runs that were made before exclusions existed.
    """
    digest = hashlib.sha256()
    for number, part in enumerate(parts):
        for name, images in part.files.items():
            for file, size in images:
                digest.update(f"{number}/{name}/{file}/{size}\n".encode())
    for path in sorted(excluded):
        digest.update(f"excluded/{path}\n".encode())
    return digest.hexdigest()


def images_of(part: ClassFolders, *, image_size: int, crop: str, workers: int) -> FileImages:
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
        picture, _ = read_rgb(path)
    except (OSError, Unreadable) as error:
        raise RunError(f"{path} cannot be read as an image ({error}): mend or remove it") from error
    if crop == "resized" and key:
        with forked_random(*key):
            picture = v2.RandomResizedCrop(image_size)(picture)
    elif picture.size != (image_size, image_size):
        picture = centre(picture, image_size, 256 / 224 if crop == "resized" else 1.0)
    return torch.from_numpy(np.array(picture))


def centre(picture: Image.Image, size: int, margin: float) -> Image.Image:
    """The middle square, 1 / `margin` of the shorter side, scaled to `size` x `size`.

    The margin of 256 / 224 is the paper's single-crop evaluation (section 5.1).
    """
    width, height = picture.size
    side = min(width, height) / margin
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return picture.resize((size, size), Image.Resampling.BILINEAR, box)
