"""What is said of a run before it starts, or of a finished one."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from senet_train.config.image_size import ImageSize, height_width, shorter_side
from senet_train.config.schema import Choice, Config
from senet_train.data.loaders import num_batches
from senet_train.errors import counted
from senet_train.networks.cost import measure_cost
from senet_train.runs.finished import read_finished
from senet_train.runs.network import NetworkBuilder
from senet_train.runs.summary import network_line, print_summary
from senet_train.training.distributed.draws import draws_of_libraries
from senet_train.training.distributed.world import (
    left_behind,
    trains_alone_as_one_of_several,
    world,
)
from senet_train.training.plan import Plan, training_images

log = logging.getLogger("senet_train")

FEW_STEPS = 3  # of an epoch: with fewer, hardly anything is learnt


def announce(plan: Plan) -> None:
    """Log the network in one line, and a warning for settings that are hardly ever intended."""
    line = network_line(plan.identity.label, plan.cost, plan.slots, plan.own_attention)
    log.info("%s%s", line, stem_words(plan))
    if plan.config.dry_run:
        log.info("recipe: %s", recipe_words(plan.config))
        if said := [*known_images(plan), *plan.source.notes]:  # a run counts the images it has read
            log.info("data: %s", "; ".join(said))
    single = sorted({slot.channels for slot in plan.slots if slot.hidden == 1})
    if single:
        log.warning(
            "warning: one hidden unit at %s channels: where it is dead the gate is constant",
            ", ".join(map(str, single)),
        )
    if plan.weights and not plan.starts_as_identity:
        log.warning(
            "warning: attention=%s does not start as the identity: from the first step on the "
            "network's logits are others than those of the weights that it loads",
            plan.config.attention.name,
        )
    if plan.config.trainer.devices > 1 and draws_of_libraries(*meta_network(plan)):
        log.warning(
            "warning: this network draws at random in layers of a library (dropout, say): with "
            "trainer.devices=%d its numbers are not those of one process",
            plan.config.trainer.devices,
        )
    if trains_alone_as_one_of_several():
        log.warning(
            "warning: RANK=%s and WORLD_SIZE=%s are set, and this process trains alone, as no "
            "torchrun has started it: torchrun joins the processes of one run",
            *(os.environ["RANK"], os.environ["WORLD_SIZE"]),
        )
    if variable := left_behind():
        log.warning(
            "warning: %s is set and RANK is not: this process trains alone, as nothing has started "
            "it as one of several",
            variable,
        )
    if plan.config.trainer.kernel == "compiled":
        log.info(
            "trainer.kernel=compiled: torch.compile works on the network in the first step, some "
            "minutes on a GPU; validation and test are not compiled"
        )
    if plan.config.data.test_flips != "none" and not plan.config.data.flip:
        log.warning(
            "warning: data.test_flips=%s, and no image is mirrored in training (data.flip=false)",
            plan.config.data.test_flips,
        )
    if plan.config.optim.frozen == "backbone" and not plan.weights:
        log.warning("warning: optim.frozen=backbone, and the backbone has learnt nothing yet")


def known_images(plan: Plan) -> list[str]:
    """`about 1,152 training images, 9 steps an epoch`; nothing before the images can be counted."""
    if not plan.source.num_images:
        return []
    images = training_images(plan.config, plan.source)
    steps = counted(steps_of_epoch(images, plan.config), "step")
    return [f"about {counted(images, 'training image')}, {steps} an epoch"]


def warn_of_few_steps(num_images: int, config: Config) -> None:
    """Log a warning where a batch is so large for `num_images` that hardly anything is learnt."""
    steps = steps_of_epoch(num_images, config)
    if steps < FEW_STEPS:
        log.warning(
            "warning: an epoch is %s with data.batch_size=%d%s, of %s: a smaller batch, such as "
            "data.batch_size=%d, makes more of each epoch",
            counted(steps, "step"),
            config.data.batch_size,
            f" and optim.accumulate={config.optim.accumulate}" * (config.optim.accumulate > 1),
            counted(num_images, "training image"),
            batch_of_several_steps(num_images // config.optim.accumulate),
        )


def steps_of_epoch(num_images: int, config: Config) -> int:
    """How often the optimizer steps in an epoch."""
    accumulate = config.optim.accumulate
    return num_batches(num_images, config.data.batch_size, accumulate) // accumulate


def batch_of_several_steps(num_images: int) -> int:
    """The largest power of two of which there are six or more batches; 2 where there is none."""
    return max(2, 1 << max(num_images // 6, 1).bit_length() - 1)


def recipe_words(config: Config) -> str:
    """`10 epochs of sgd, lr 0.05 (one_cycle), ...`: what a recipe or an override has set."""
    data, optim, trainer = config.data, config.optim, config.trainer
    batch, mixed = f"batch {data.batch_size}", {"mixup": data.mixup, "cutmix": data.cutmix}
    policies = data.augment if isinstance(data.augment, str) else named(data.augment)
    words = [
        f"{counted(trainer.max_epochs, 'epoch')} of {optim.algorithm.name}",
        f"lr {optim.lr:g} ({optim.schedule.name})",
        f"weight decay {optim.weight_decay:g}",
        batch if optim.accumulate == 1 else f"{batch}, {optim.accumulate} batches a step",
        f"augmentation {policies}",
        *(f"{key} {value}" for key, value in mixed.items() if value != "none"),
        f"precision {trainer.precision}",
        *([f"weights averaged ({trainer.ema_decay})"] if trainer.ema_decay != "none" else []),
    ]
    return ", ".join(words)


def named(choices: Sequence[Choice]) -> str:
    """Their names, in their order."""
    return " + ".join(choice.name for choice in choices)


def meta_network(plan: Plan) -> tuple[nn.Module, ImageSize]:
    """The network of the plan on the meta device, and the size of its images."""
    found = plan.builder.build_on_meta(int(plan.config.data.num_classes))
    return found.network, plan.config.data.image_size


WORTH_SAYING = 1.5  # times
USUAL_SIZE = 32  # pixels, of the images that the CIFAR stem was made for


def stem_words(plan: Plan) -> str:
    """What the CIFAR stem costs on images larger than CIFAR's; "" for all else.

    It keeps every pixel where the ImageNet stem keeps one of 16: images of twice the side mostly
    cost less with that.
    """
    size, model = plan.config.data.size_of_test, plan.config.model
    if shorter_side(size) <= USUAL_SIZE or model.options.get("stem") != "cifar":
        return ""
    other = replace(model, options={**model.options, "stem": "imagenet"})
    builder = NetworkBuilder.of(
        replace(plan.config, model=other), plan.task.bind_network, load_weights=False
    )
    found = builder.build_on_meta(int(plan.config.data.num_classes))
    with torch.device("meta"):
        twice = [2 * side for side in height_width(size)]
        cost = measure_cost(found.network, found.slots, twice)
    times = plan.cost.multiply_adds / cost.multiply_adds
    if times < WORTH_SAYING:
        return ""
    return (
        f"; with model.stem=cifar {size} px cost {times:.1f} times what {2 * size} px cost with "
        "model.stem=imagenet"
    )


def report_finished(plan: Plan) -> float:
    """Print the table of the finished run, by rank 0 alone; its validation score.

    Its files stay as they are. Raises InputError if its record is damaged.
    """
    record = read_finished(plan.folder, plan.identity.sha256, plan.source.doubt)
    if world().is_rank_zero:
        plan.folder.restore_state()
        print_summary(record, plan.folder.path)
    return record.metrics.val_score
