"""Where attention can sit in a residual block: one slot a position, Identity until it is filled.

Positions, after the figures of https://arxiv.org/abs/1709.01507 (section 6.5):
`pre` before the residual branch, `inner` after the first 3x3 convolution's BatchNorm and ReLU,
`standard` on the branch before the addition, `identity` on the shortcut after its projection,
`post` after the addition and ReLU. Pre-activation blocks have theirs in `preact_resnet`.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from senet_train.backbones.tail import Tail, composed

POSITIONS = ("pre", "inner", "standard", "identity", "post")


class Slots(nn.Module):
    """Slots for attention, Identity until they are filled; `slot_channels` has their channels."""

    def __init__(self, slot_channels: dict[str, int]) -> None:
        super().__init__()
        self.slot_channels = slot_channels
        self.attend = nn.ModuleDict({position: nn.Identity() for position in slot_channels})


class ResidualBlock(Slots):
    """A residual block with a slot at every position.

    `inner_channels` are those of its first 3x3 convolution. `tail` computes what follows a
    convolution.
    """

    tail: Tail = staticmethod(composed)

    def __init__(self, in_channels: int, inner_channels: int, out_channels: int) -> None:
        channels = {"pre": in_channels, "inner": inner_channels}
        super().__init__(channels | dict.fromkeys(("standard", "identity", "post"), out_channels))


class Backbone(nn.Module):
    """A network whose `by_stage()` lists the units that attention goes into, by number from 1.

    `taken_out` are the paths of attention modules of its own that were taken out.
    """

    taken_out: Sequence[str] = ()
    tail: Tail = staticmethod(composed)

    def by_stage(self) -> Mapping[int, Sequence[Slots]]:
        """Every stage's blocks in order: `layer1` is stage 1 (the paper's conv2_x)."""
        layers = [child for name, child in self.named_children() if name.startswith("layer")]
        return {
            stage: [block for block in layer.modules() if isinstance(block, ResidualBlock)]
            for stage, layer in enumerate(layers, start=1)
        }

    def units_at(self, pattern: str) -> Mapping[int, Sequence[Slots]]:
        """The same for modules whose paths match. Raises ValueError: this network has blocks."""
        raise ValueError(
            f"placement.modules={pattern} is for networks of a library (model=torchvision): "
            "this one has placement.position"
        )

    def part(self, name: str) -> "Backbone":
        """A part to put attention into instead. Raises ValueError: this network is one part."""
        raise ValueError(
            f"placement.part={name} is for detectors and segmenters (task=detection): leave it out"
        )

    def part_name(self, name: str) -> str:
        """The canonical name of a part, which may have several."""
        return name

    def maps(self, images: Tensor) -> list[Tensor]:
        """The feature map of each stage for images (B, 3, H, W), for the head of another task.

        Raises ValueError for a network without such maps.
        """
        raise ValueError(
            f"{type(self).__name__} returns no maps of its stages, which another task's head "
            "needs: choose a ResNet such as model=resnet18"
        )

    def use_tail(self, tail: Tail) -> None:
        """Compute what follows every convolution by `tail` from now on."""
        for module in self.modules():
            if isinstance(module, ResidualBlock | Backbone):
                module.tail = tail
