"""What is said of a key, an option or a flag that there is not."""

from pathlib import Path

import pytest
from support import Senet

from senet_train.config.aliases import KEY_OF, NAMES_ELSEWHERE, NOT_HERE, OPTION_OF, REASON_OF
from senet_train.config.conf_keys import groups_of_conf, keys_of_conf
from senet_train.config.suggest import no_such_flag, no_such_key, no_such_option, suggestion

MEANT = {
    "learning_rate": "optim.lr",
    "Learning-Rate": "optim.lr",
    "solver.base_lr": "optim.lr",
    "num_train_epochs": "trainer.max_epochs",
    "trainer.gpus": "trainer.devices",
    "device": "trainer.accelerator",
    "batchSize": "data.batch_size",
    "num_workers": "data.workers",
    "dataset": "data=NAME",
    "arch": "model=NAME",
    "scheduler": "optim/schedule=NAME",
    "augmentation": "data.augment",
    "pretrained": "model.pretrained (it belongs to model=timm or model=torchvision)",
    "image-size": "data.image_size",
    "RATIO": "ratio",
    "raito": "ratio",
    "modle": "model=NAME",
    "data.Batch_Size": "data.batch_size",
    "optim.lrr": "optim.lr",
    "optimizer": "optim=NAME",
    "weight_deacy": "optim.weight_decay",
}


@pytest.mark.parametrize("typed", MEANT)
def test_a_key_of_another_trainer_leads_to_ours(typed: str) -> None:
    assert no_such_key(typed) == f"there is no key {typed}: did you mean {MEANT[typed]}?"


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("autoaugment", "data.augment has randaugment, trivial and augmix"),
        ("neptune", "logger=NAME is tensorboard, csv, wandb or mlflow"),
        ("project", "with logger=wandb logger.project=NAME is the project there"),
        ("optim.adam", "there are optim=adamw, "),
        ("resume", "the same line again goes on with an unfinished run"),
        ("trainer.fast_dev_run", "trainer.max_epochs=1"),
        ("kfold", "not supported"),
    ],
)
def test_what_is_not_supported_says_so(typed: str, reason: str) -> None:
    said = no_such_key(typed)
    assert said.startswith(f"there is no key {typed}: ")
    assert reason in said
    assert "did you mean" not in said


def test_a_key_of_other_options_names_them() -> None:
    assert no_such_key("data.num_images").startswith(
        "data.num_images belongs to data=fake or data=shapes: "
    )
    assert "model=resnet32 or 3 others" in no_such_key("model.shortcut")
    assert keys_of_conf()["optim.lr"] == []  # every option has it
    assert "optim.schedule.gamma belongs to optim/schedule=step" in no_such_key(
        "optim.schedule.gamma"
    )


def test_a_folder_of_images_is_no_data_set_by_name(senet: Senet, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for typed in ("photos", "./elsewhere", str(tmp_path)):
        result = senet(f"data={typed}")
        assert result.code == 2
        way = f"for images of your own write data=imagenet_subset data.root={typed}\n"
        assert result.err == f"error: data={typed} is none of the options: {way}"
    assert "choose data=imagenet_subset for images of your own" in senet("data.root=photos").err


def test_nothing_is_made_up_for_a_word_like_no_other() -> None:
    assert no_such_key("xyzzy") == "there is no key xyzzy: senet-train --help lists them"
    assert suggestion("xyzzy", [f"option{i}" for i in range(40)]) == ""


OPTIONS = {
    ("model", "SE_ResNet18"): "did you mean model=se_resnet18? ",
    ("model", "se-resnet-18"): "did you mean model=se_resnet18? ",
    ("model", "se_resnet81"): "did you mean model=se_resnet8 or model=se_resnet18? ",
    ("data", "CIFAR-10"): "did you mean data=cifar10? ",
    ("data", "ImageNet"): "did you mean data=imagenet_subset data.root=DIR?",
    ("trainer", "gpu"): "did you mean trainer.accelerator=gpu?",
    ("optim", "AdamW"): "did you mean optim=adamw?",
    ("optim", "lamb"): "are adamw, he_cifar, nadam, one_cycle, paper_imagenet, radam, wrn: ",
    ("optim", "SGD"): "did you mean optim=one_cycle?",
    ("optim/schedule", "SGDR"): "did you mean optim/schedule=warm_restarts?",
    ("optim/schedule", "CosineAnnealingLR"): "did you mean optim/schedule=cosine?",
    ("attention", "senet"): "did you mean attention=se?",
    ("attention", "what"): "cbam, coord, ",
}


@pytest.mark.parametrize(("group", "typed"), OPTIONS)
def test_an_option_that_is_not_there(group: str, typed: str) -> None:
    known = groups_of_conf()[group]
    said = no_such_option(group, typed, known)
    assert said.startswith(f"{group}={typed} is none of the options")
    assert OPTIONS[group, typed] in said
    assert len(said) < 260
    assert ("model=torchvision" in said) == (group == "model")


def test_many_options_are_counted_not_listed() -> None:
    said = no_such_option("model", "vgg16", groups_of_conf()["model"])
    assert "options: senet-train --help lists all 46; a library's network is" in said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--ratio 16", "--ratio 16 is no option: write ratio=16"),
        ("--lr=0.1", "--lr=0.1 is no option: write optim.lr=0.1"),
        ("--dataset CIFAR10 lr=1", "--dataset CIFAR10 is no option: write data=cifar10"),
        ("-b 64", "-b 64 is no option: write data.batch_size=64"),
        ("--epochs", "--epochs is no option: write trainer.max_epochs=VALUE"),
        ("--epochs -m", "--epochs is no option: write trainer.max_epochs=VALUE"),
        ("--force", "--force is no option: write overwrite=true"),
        ("--model", "--model is no option: write model=NAME"),
        ("--image-size 64", "--image-size 64 is no option: write data.image_size=64"),
    ],
)
def test_a_flag_leads_to_its_setting(typed: str, said: str) -> None:
    assert no_such_flag(typed.split()) == said


def test_every_alias_leads_to_a_key_that_there_is() -> None:
    """And no word is in two rows, of which one would never be read."""
    known = {
        *keys_of_conf(),
        "experiment=NAME",
        "recipe=NAME",
        "task=NAME",
    }
    known |= {f"{group}=NAME" for group in groups_of_conf()}
    known |= {"overwrite=true", "retry=failed", "dry_run=true"}
    known |= {f"logger={name}" for name in groups_of_conf()["logger"]}
    known |= {"hydra.sweeper.num_trials", "hydra.launcher.jobs"}
    assert set(NAMES_ELSEWHERE) <= known
    words = [
        word
        for table in (NAMES_ELSEWHERE.values(), NOT_HERE)
        for row in table
        for word in row.split()
    ]
    assert len(words) == len(set(words)) == len(KEY_OF) + len(REASON_OF)
    for (group, _), setting in OPTION_OF.items():
        first, _, option = setting.split(" ")[0].partition("=")
        in_conf = option in groups_of_conf().get(first, [])
        assert in_conf or first in keys_of_conf() or group.startswith("hydra/")
