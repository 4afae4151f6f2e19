"""What makes two data sets the same data: a hash of the names and the contents of their files."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from senet_train.data.class_folders import ClassFolders, ImageEntry
from senet_train.data.contents import Content
from senet_train.data.layout import Part

# In this order.
PARTS: tuple[Part, ...] = ("train", "test", "validation")
# Until 2026-12 images were listed by these endings, and known by names and sizes alone.
EARLIER_ENDINGS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def paths_of(part: ClassFolders) -> list[str]:
    """The paths of its images, class after class."""
    return [image.path for images in part.files.values() for image in images]


def fingerprint(
    parts: Mapping[Part, ClassFolders], contents: Mapping[Part, Sequence[Content]]
) -> str:
    """A hash of class names, file names and what the files hold."""
    digest = hashlib.sha256(b"contents\n")
    for part in filter(parts.__contains__, PARTS):
        held = iter(contents[part])
        for name, images in parts[part].files.items():
            for image in images:
                held_by = f"{part}/{name}/{file_of(image)}/{next(held).sha256}\n"
                digest.update(held_by.encode())
    return digest.hexdigest()


def earlier_fingerprint(
    parts: Mapping[Part, ClassFolders],
    own_folders: Iterable[Part],
    excluded: frozenset[str],
    contents: Iterable[Content],
) -> str:
    """The hash of names and sizes by which runs were known before contents were read.

    "" where such a run cannot have seen the same images in the same way. `own_folders` are the
    parts that have a folder of their own.
    """
    names = [path.lower() for part in parts.values() for path in paths_of(part)]
    listed_then = all(name.endswith(EARLIER_ENDINGS) for name in names)
    seen_alike = all(content.plain for content in contents)
    if set(own_folders) != {"train", "test"} or not listed_then or not seen_alike:
        return ""
    digest = hashlib.sha256()
    for number, part in enumerate((parts["train"], parts["test"])):
        for name, images in part.files.items():
            for image in images:
                digest.update(f"{number}/{name}/{file_of(image)}/{image.num_bytes}\n".encode())
    for path in sorted(excluded):
        digest.update(f"excluded/{path}\n".encode())
    return digest.hexdigest()


def file_of(image: ImageEntry) -> str:
    """The name of the file alone."""
    return image.name.rpartition("/")[2]
