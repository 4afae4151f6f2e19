"""The tutorial: DataLoader, PIL transforms, `.item()` every step."""

from collections.abc import Callable

from torch import nn
from torch.nn import functional as F

from benchmarking.flags import Flags, sgd
from benchmarking.pil_images import torchvision_loader
from benchmarking.workload import Workload


def train(network: nn.Module, workload: Workload, flags: Flags, tell: Callable[[], None]) -> None:
    """As torchvision's tutorial trains."""
    network = flags.prepare(network)
    optimizer, running = sgd(network, flags), 0.0
    loader = torchvision_loader(workload, flags)
    while True:
        for images, labels in loader:
            images, labels = flags.lay_out(images, labels)
            optimizer.zero_grad()
            with flags.autocast():
                loss = F.cross_entropy(network(images).float(), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
            tell()
