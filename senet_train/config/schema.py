"""The schema of the configuration: a dataclass for each group, checked by pydantic."""

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from senet_train.config.image_size import num_pixels

STRICT = ConfigDict(extra="forbid", strict=True)


Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Precision = Literal["auto", "bf16-mixed", "16-mixed", 32]
PRECISIONS: tuple[Precision, ...] = ("bf16-mixed", "16-mixed", 32)  # what `auto` may become
Accelerator = Literal["auto", "cpu", "gpu", "mps"]
Kernel = Literal["auto", "folded", "joined", "composed", "compiled"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
BitDepth = Annotated[int, Field(ge=8, le=16)]
HeightWidth = Annotated[list[Count], Field(min_length=2, max_length=2)]


EARLIER_OPTIMIZER = "sgd"  # of runs that were made before there were others
EARLIER_LOGGER = "tensorboard"  # likewise

SWEEP_KEYS = (  # of tables
    *("arms", "seeds", "first_seed", "max_seeds"),
    *("primary", "reserve", "margin"),
)


@dataclass(frozen=True, config=STRICT)
class Choice:
    """One named option of a group and the keyword arguments its constructor gets.

    `library` is the library that the name belongs to, "" for senet-train.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    library: str = ""

    @property
    def title(self) -> str:
        """The name, with its library in front if it has one."""
        return f"{self.library}_{self.name}" if self.library else self.name


@dataclass(frozen=True, config=STRICT)
class Data:
    """How any data set is split, stored, augmented and batched; `source` is the data set."""

    source: Choice
    image_size: Count | HeightWidth
    num_classes: Literal["auto"] | Count
    mean: Annotated[list[Number], Field(min_length=3, max_length=3)]
    std: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    crop: Literal["none", "pad", "resized"]
    padding: Natural
    flip: bool
    cutout: Natural
    batch_size: Count
    val_fraction: Fraction
    split_seed: Seed
    cache: Literal["auto", "memory", "stream"]
    workers: Literal["auto"] | Natural
    fit: Literal["crop", "resize", "pad"] = "crop"
    bit_depth: Literal["auto"] | BitDepth = 16
    augment: Literal["none", "standard"] | list[Choice] = "standard"
    mixup: Literal["none"] | Positive = "none"
    cutmix: Literal["none"] | Positive = "none"
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    test_size: Literal["auto"] | Count | HeightWidth = "auto"
    test_resize: Literal["auto"] | Count = "auto"
    test_flips: Literal["none", "horizontal"] = "none"
    padding_mode: Literal["zeros", "reflect"] = "zeros"

    @property
    def size_of_test(self) -> int | list[int]:
        """The size in pixels of the images that are validated and tested on."""
        return self.image_size if self.test_size == "auto" else self.test_size

    @property
    def most_pixels(self) -> int:
        """Of an image, of training or of the test."""
        return max(num_pixels(self.image_size), num_pixels(self.size_of_test))


@dataclass(frozen=True, config=STRICT)
class Placement:
    """Where attention sits: in which stages, at which position of a block, from which width on.

    `modules` is a pattern of module paths to put it behind instead, or `auto`; `part` the part of a
    detector or segmenter that it goes into, or `auto`, its backbone.
    """

    stages: Literal["all", "but_last"] | list[Count] = "all"
    position: Literal["standard", "pre", "post", "identity", "inner", "stage"] = "standard"
    min_channels: Count = 1
    modules: Annotated[str, Field(min_length=1)] = "auto"
    part: Annotated[str, Field(min_length=1)] = "auto"


@dataclass(frozen=True, config=STRICT)
class Optim:
    """The optimizer, the loss, which parameters are trained, and the schedule of the rate.

    `algorithm` is the optimizer with the options that it alone has, such as SGD's momentum.
    """

    algorithm: Choice
    lr: Positive
    weight_decay: NotNegative
    decay_norm_and_bias: bool
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    warmup_epochs: NotNegative
    schedule: Choice
    frozen: Literal["none", "backbone"] = "none"
    backbone_lr_factor: Positive = 1.0
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    accumulate: Count = 1
    class_weights: Literal["none", "inverse", "effective"] = "none"
    class_weights_beta: Fraction = 0.999
    focal_gamma: NotNegative = 0.0


@dataclass(frozen=True, config=STRICT)
class Trainer:
    """How long to train, on which hardware, and in which precision."""

    max_epochs: Count
    precision: Precision
    deterministic: bool
    channels_last: bool
    kernel: Kernel
    ema_decay: Literal["none"] | Fraction
    clip_norm: Literal["none"] | Positive
    accelerator: Accelerator
    devices: Count
    checkpoint_minutes: Annotated[float, Field(ge=0)]
    score: Literal["auto", "macro_f1", "balanced_accuracy"] = "auto"
    patience: Literal["none"] | Count = "none"
    max_minutes: Literal["none"] | Positive = "none"


@dataclass(frozen=True, config=STRICT)
class Config:
    """The whole configuration of one run."""

    data: Data
    model: Choice
    attention: Choice
    placement: Placement
    optim: Optim
    trainer: Trainer
    ratio: Count
    seed: Seed
    factor: list[str]
    output_dir: Annotated[str, Field(min_length=1)]
    overwrite: bool
    retry: Literal["none", "failed"]
    dry_run: bool
    task: Literal["classification", "segmentation", "detection"] = "classification"
    logger: Choice = field(default_factory=lambda: Choice(EARLIER_LOGGER))
