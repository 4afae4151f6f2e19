"""Any tree of class folders: parts of their own, or one folder that is split into them.

Class indices come from the training folders in sorted order, and the other parts are mapped by
name, so a missing folder can never shift a label.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor
from torchvision.transforms import v2

from senet_train.config.image_size import ImageSize, height_width
from senet_train.config.schema import BitDepth, Fraction, HeightWidth
from senet_train.data.class_folders import (
    ClassFolders,
    alike,
    list_part,
    refuse_few,
    refuse_mismatch,
)
from senet_train.data.contents import Content, bit_depth_of, contents_of
from senet_train.data.exclusions import excluded_from
from senet_train.data.file_reader import FileReader
from senet_train.data.fingerprint import earlier_fingerprint, fingerprint, paths_of
from senet_train.data.framing import Fit, Resize, framed, in_shape, margin_of
from senet_train.data.image_files import FULL_DEPTH, Unreadable, read_rgb
from senet_train.data.images import FileImages, Source, joined, resize
from senet_train.data.layout import Layout, Part, find_layout
from senet_train.data.picture_sizes import enlarged_note
from senet_train.errors import InputError, RunError, listed
from senet_train.keyed import forked_random, keyed_permutation

# https://github.com/fastai/imagenette: ten easy classes, and ten breeds of dog.
IMAGENETTE = """
n01440764 n02102040 n02979186 n03000684 n03028079 n03394916 n03417042 n03425413 n03445777 n03888257
"""
IMAGEWOOF = """
n02086240 n02087394 n02088364 n02089973 n02093754 n02096294 n02099601 n02105641 n02111889 n02115641
"""
NAMED_CLASSES = {"imagenette": IMAGENETTE.split(), "imagewoof": IMAGEWOOF.split()}


Number = Annotated[int, Field(ge=1)]
TEST_FRACTION = 0.2


def imagenet_subset(
    *,
    root: str,
    classes: Literal["all", "imagenette", "imagewoof"] | list[str | int],
    images_per_class: Literal["all"] | Annotated[int, Field(ge=2)],
    image_size: Number | HeightWidth,
    crop: Literal["none", "pad", "resized"],
    workers: int,
    split_seed: int = 0,
    exclude: str = "none",
    test_images_per_class: Literal["all"] | Number = "all",
    test_fraction: Fraction = TEST_FRACTION,
    fit: Fit = "crop",
    bit_depth: Literal["auto"] | BitDepth = "auto",
    test_size: Literal["auto"] | Number | HeightWidth = "auto",
    test_resize: Literal["auto"] | Number = "auto",
) -> Source:
    """The tree below `root`; `images_per_class` limits the training images alone.

    `exclude` is a file of paths to leave out, as `senet-data check` writes it, or none.
    `test_fraction` of every class is the test set where the tree has none, chosen by `split_seed`.
    """
    layout = find_layout(Path(root).expanduser(), "data.root")
    if "test" in layout.folders and test_fraction != TEST_FRACTION:
        raise InputError(
            f"data.test_fraction={test_fraction} is for a tree without a test set, and "
            f"{layout.sentence}: leave it out"
        )
    excluded = excluded_from(exclude, layout)
    parts = list_parts(layout, wanted_classes(classes), excluded)
    if "test" not in parts:
        parts |= split_off_test(parts["train"], test_fraction, split_seed)
    parts["train"] = limit(parts["train"], images_per_class, "images_per_class")
    parts["test"] = limit(parts["test"], test_images_per_class, "test_images_per_class")
    load = partial(
        load_image,
        image_size=image_size,
        crop=crop,
        fit=fit,
        test_size=test_size,
        test_resize=test_resize,
    )
    source = source_of(layout, parts, excluded, bit_depth, load, workers)
    paths = [str(layout.base / path) for path in paths_of(parts["train"])]
    notes = (*source.notes, *enlarged_note(paths, image_size))
    return replace(source, origins=(root, exclude), notes=notes)


def source_of(
    layout: Layout,
    parts: dict[Part, ClassFolders],
    excluded: frozenset[str],
    bit_depth: Literal["auto"] | int,
    load: partial[Tensor],
    workers: int,
) -> Source:
    """The parts as a data set: what their files hold says what it is, and how deep they are."""
    paths = [path for part in parts.values() for path in paths_of(part)]
    every = contents_of(layout.base, paths)
    refuse_unreadable(layout, paths, every)
    held = iter(every)
    contents = {part: list(islice(held, len(paths_of(parts[part])))) for part in parts}
    depth = bit_depth_of(every) if bit_depth == "auto" else bit_depth
    reader = FileReader(partial(load, bit_depth=depth), workers)
    images = {part: images_of(layout, folders, reader) for part, folders in parts.items()}
    pool = [images[part] for part in ("train", "validation") if part in images]
    num_train, num_pool = len(images["train"].paths), sum(len(each.paths) for each in pool)
    return Source(
        tuple(parts["train"].files),
        fingerprint(parts, contents),
        lambda: (joined(pool), images["test"]),
        from_files=True,
        validation=range(num_train, num_pool),
        num_images=num_pool,
        bit_depth=depth,
        earlier_fingerprint=earlier_fingerprint(parts, layout.folders, excluded, every),
        notes=(*notes_of(layout, list(parts.values()), depth), *copies_note(contents)),
    )


def refuse_unreadable(layout: Layout, paths: Sequence[str], every: Sequence[Content]) -> None:
    """Raises InputError where files are no images: a run would meet them much later."""
    found = [(p, held.unreadable) for p, held in zip(paths, every, strict=True) if held.unreadable]
    if found:
        path, reason = found[0]
        raise InputError(
            f"{len(found):,} of {len(paths):,} files cannot be read as images, as "
            f"{layout.base / path} ({reason}): senet-data check {layout.base} --exclude FILE lists "
            "them, and data.exclude=FILE leaves them out"
        )


def list_parts(
    layout: Layout, wanted: list[str], excluded: frozenset[str]
) -> dict[Part, ClassFolders]:
    """The images of every part that has a folder. Raises InputError for what cannot be trained."""
    parts = {part: list_part(layout, part, wanted, excluded) for part in layout.folders}
    train = parts["train"]
    refuse_mismatch(parts.values())
    refuse_few(layout, train)
    if len(train.files) < 2:
        raise InputError(
            f"{train.folder} gives one class, {', '.join(train.files)}: two or more are needed"
        )
    return parts


def wanted_classes(classes: str | list[str | int]) -> list[str]:
    """The names of the classes asked for; none of them for `all`."""
    if isinstance(classes, str):
        return NAMED_CLASSES.get(classes, [])
    if not classes:
        raise InputError("data.classes=[] is no class: name some, or choose data.classes=all")
    return [str(name) for name in classes]


def split_off_test(pool: ClassFolders, fraction: float, seed: int) -> dict[Part, ClassFolders]:
    """Training and test images of a tree without a test set: a `fraction` of every class is test.

    At least one is, and at least two stay. A pure function of (seed, class, number of images).
    """
    test = {}
    for name, images in pool.files.items():
        order = keyed_permutation(len(images), "test", seed, name).tolist()
        count = min(max(round(len(images) * fraction), 1), len(images) - 2)
        test[name] = sorted((images[i] for i in order[:count]), key=lambda image: image.name)
    rest = {name: sorted(set(images) - set(test[name])) for name, images in pool.files.items()}
    rest = {name: sorted(each, key=lambda image: image.name) for name, each in rest.items()}
    return {"train": replace(pool, files=rest), "test": ClassFolders(pool.folder, test)}


def limit(part: ClassFolders, most: Literal["all"] | int, key: str) -> ClassFolders:
    """At most so many images of each class, by chance; a larger number keeps a smaller one's."""
    if most == "all":
        return part
    chosen = {}
    for name, images in part.files.items():
        order = keyed_permutation(len(images), key, name).tolist()
        chosen[name] = sorted((images[i] for i in order[:most]), key=lambda image: image.name)
    return replace(part, files=chosen)


def notes_of(layout: Layout, parts: Sequence[ClassFolders], bit_depth: int) -> tuple[str, ...]:
    """How the tree is used, its depth, and the files that are left out as they are no images."""
    left_out = sum((part.left_out for part in parts), Counter[str]())
    endings = ", ".join(f"{count} {ending}" for ending, count in left_out.most_common(5))
    depth = f"of 16 bits a value the lower {bit_depth} are used" if bit_depth < FULL_DEPTH else ""
    left_out_words = f"left out, as no images: {endings}" if endings else ""
    like = listed([f'"{name}"' for name in alike(next(iter(parts)).files)])
    alike_words = f"the classes {like} differ in case or in spaces alone" if like else ""
    return tuple(filter(None, (layout.sentence, depth, left_out_words, alike_words)))


def copies_note(contents: Mapping[Part, Sequence[Content]]) -> list[str]:
    """A sentence if files of the test set are in training too: what it measures is memory then."""
    trained = {content.sha256 for content in contents["train"]}
    copies = sum(content.sha256 in trained for content in contents["test"])
    if not copies:
        return []
    every = len(contents["test"])
    return [f"{copies:,} of {every:,} test images are training images too: senet-data check DIR"]


def images_of(layout: Layout, part: ClassFolders, reader: FileReader) -> FileImages:
    """One part of the tree as images to read."""
    rows = [(image, label) for label, images in enumerate(part.files.values()) for image in images]
    return FileImages(
        paths=[str(layout.base / image.path) for image, _ in rows],
        labels=torch.tensor([label for _, label in rows]),
        ids=[image.name for image, _ in rows],
        reader=reader,
    )


def load_image(
    path: str,
    key: tuple[int | str, ...],
    *,
    image_size: ImageSize,
    crop: str,
    fit: Fit = "crop",
    test_size: Literal["auto"] | ImageSize = "auto",
    test_resize: Resize = "auto",
    bit_depth: int = FULL_DEPTH,
) -> Tensor:
    """Decode one image and bring it to (H, W, 3) uint8. Raises RunError naming the path.

    With a key it is to train on, of `image_size`: of `crop="resized"` by a random resized crop
    (8 to 100 % of the area) drawn under that key, otherwise as `fit` says. Without a key it is to
    be tested on, of `test_size`, or of `image_size` where that is auto.
    """
    try:
        picture = read_rgb(path, bit_depth)
    except (OSError, Unreadable) as error:
        raise RunError(f"{path} cannot be read as an image ({error}): mend or remove it") from error
    if not key:
        size = image_size if isinstance(test_size, str) else test_size
        picture = framed(picture, size, fit, margin_of(crop), test_resize)
    elif crop == "resized":
        with forked_random(*key):
            return random_part(in_shape(picture, image_size, fit), *height_width(image_size))
    else:
        picture = framed(picture, image_size, fit, 1.0)
    return torch.from_numpy(np.array(picture))


def random_part(picture: Image.Image, height: int, width: int) -> Tensor:
    """A random crop of a picture, (H, W, 3) uint8.

    Scaled by torch, in a third of Pillow's time; the values differ by 1 in some 3 % of pixels.
    Only the part is copied out of Pillow's memory: a photograph may be large.
    """
    place = random_crop(height, width).make_params([picture])
    left, top = place["left"], place["top"]
    part = picture.crop((left, top, left + place["width"], top + place["height"]))
    return resize(torch.from_numpy(np.array(part))[None], [height, width])[0]


@cache
def random_crop(height: int, width: int) -> v2.RandomResizedCrop:
    """A part of 8 to 100 % of the area, of the shape of H x W or up to 4/3 wider or higher."""
    shape = width / height
    return v2.RandomResizedCrop((height, width), ratio=(3 / 4 * shape, 4 / 3 * shape))
