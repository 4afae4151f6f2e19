"""Whatever is asked wrongly: one line, exit code 2, not a file written."""

from pathlib import Path

import pytest
from support import TINY, Senet, write_image

CASES = [
    ("optim.lr=abc", "optim.lr=abc: must be a valid number"),
    ("trainer.max_epochs=0", "trainer.max_epochs=0: must be greater than or equal to 1"),
    ("--config-dir /nowhere", "--config-dir=/nowhere is no folder: give one that exists"),
    ("ratio=0", "ratio=0: must be greater than or equal to 1"),
    ("ratio=abc", "ratio=abc: must be a valid integer"),
    ("ratio=1.5", "ratio=1.5: must be a valid integer"),
    ("model=se_resnet20 ratio=32", "ratio=32 leaves no hidden channel for a layer of 16 channels"),
    ("raito=8", "there is no key raito: did you mean ratio?"),
    ("trainer.epochs=8", "there is no key trainer.epochs: did you mean trainer.max_epochs?"),
    ("+optim.lrr=8", "optim has no option lrr: did you mean lr?"),
    ("model=se_resnet81", "did you mean model=se_resnet8 or model=se_resnet18? senet-train --help"),
    ("model=resnet18 ratio=8", "ratio=8 changes nothing, as nothing reads it with attention=none"),
    ("attention.ratio=4 ratio=8", "ratio=8 changes nothing, as nothing reads it with attention=se"),
    ("model=resnet18 placement.stages=[3]", "placement.stages=[3] changes nothing"),
    ("data=imagenet_subset data.root=/nowhere", "data.root=/nowhere does not exist"),
    ("placement.stages=[7]", "placement.stages=[7]: the network has stages [1, 2, 3, 4]"),
    ("placement.stages=[]", "placement.stages=[]: the network has stages"),
    ("placement.position=bogus", "placement.position=bogus: must be 'standard'"),
    ("optim.lr=-1", "optim.lr=-1: must be greater than 0"),
    ("optim.lr=inf", "optim.lr="),
    ("seed=null", "seed=null: must be a valid integer"),
    ('placement.stages="[1]"', 'placement.stages="[1]": must be'),
    ("optim.lr=true", "optim.lr=true: must be a valid number"),
    ("seed=-1", "seed=-1: must be greater than or equal to 0"),
    (
        "trainer.precision=64",
        "trainer.precision=64: must be 'auto', 'bf16-mixed', '16-mixed' or 32",
    ),
    ("data.crop=resized", "choose data.crop=pad or none"),
    ("data.augment=rand", "there is no data.augment named rand: choose one of augmix"),
    ("data.augment=[]", "data.augment=[] names nothing: choose data.augment=standard, none, or"),
    ("data.augment=[none,trivial]", "there is no data.augment named none: choose one of augmix"),
    ("data.augment=3", "data.augment=3: must be"),
    ("data.augment=[{name:randaugment,magnitude:31}]", "data.augment.magnitude=31: must be less"),
    ("data.augment=[{name:rotation,angle:9}]", "data.augment has no option angle"),
    ("data.augment=[{name:strong,magnitude:9}]", "data.augment has no option magnitude"),
    ("data.augment=[{magnitude:9}]", "data.augment needs a name: choose one"),
    ("data.mixup=0", "data.mixup=0: must be 'none' or must be greater than 0"),
    ("data.cutmix=-1", "data.cutmix=-1: must be 'none' or must be greater than 0"),
    ("data.mixup=all", "data.mixup=all: must be 'none'"),
    ("data.cutmix=1.0 data.batch_size=1", "choose data.batch_size at least 2"),
    (
        "data.mixup=0.2 trainer.devices=2 data.batch_size=6",
        "choose data.batch_size a multiple of 4",
    ),
    ("data.cache=stream", "choose data.cache=auto or memory"),
    ("model=resnet18 ++ratio=8", "ratio=8 changes nothing"),
    ("data.num_classes=3", "choose data.num_classes >= 10, or auto"),
    ("optim.schedule.rise=2", "optim.schedule.rise=2: must be less than 1"),
    ("optim.schedule.final=-1", "optim.schedule.final=-1: must be greater than or equal to 0"),
    ("optim.schedule.final=nan", "optim.schedule.final=nan: must be"),
    ("optim=he_cifar optim.schedule.milestones=[30]", "optim.schedule.milestones.0=30: must be"),
    ("optim.momentum=0", "choose optim.nesterov=false"),
    ("optim.momentum=1", "optim.momentum=1: must be less than 1"),
    ("optim=adamw optim.momentum=0.9", "optim.momentum belongs to optim=he_cifar, "),
    ("optim=adamw +optim.nesterov=true", "optim.nesterov belongs to optim=he_cifar, "),
    ("optim.betas=[0.9,0.99]", "optim.betas belongs to optim=adamw, optim=nadam or optim=radam"),
    ("optim=adamw optim.betas=[0.9,1]", "optim.betas.1=1: must be less than 1"),
    ("optim=adamw optim.betas=[0.9]", "optim.betas=[0.9]: "),
    ("optim=radam optim.eps=0", "optim.eps=0: must be greater than 0"),
    ("optim.layer_decay=0", "optim.layer_decay=0: must be greater than 0"),
    ("optim.layer_decay=1.1", "optim.layer_decay=1.1: must be less than or equal to 1"),
    ("optim.layer_decay=0.9 optim.frozen=backbone", "optim.layer_decay=0.9 changes nothing with"),
    ("logger=neptune", "logger=neptune is none of the options: csv, mlflow, tensorboard, wandb"),
    ("logger.online=true", "logger.online belongs to logger=wandb: choose one that has it, or"),
    ("logger=wandb logger.online=1", "logger.online=1: must be a valid boolean"),
    ("logger=wandb logger.project=a/b", "logger.project=a/b is no name at Weights & Biases: write"),
    ("logger=mlflow logger.tracking_uri=ftp://x", "tracking_uri=ftp://x is no address of a server"),
    ("logger=mlflow logger.tracking_uri=http://x:0", "is no address of a server: write local, or"),
    ("arms=[[logger=csv],[logger=wandb]]", "sets logger, which holds for the whole table: set it"),
    ("trainer.score=f1", "trainer.score=f1: must be 'auto', 'macro_f1' or 'balanced_accuracy'"),
    ("task=segmentation trainer.score=macro_f1", "trainer.score=macro_f1 is not for task=segm"),
    ("optim.class_weights=balanced", "optim.class_weights=balanced: must be 'none', 'inverse' or"),
    ("optim.class_weights_beta=0.9", "optim.class_weights_beta=0.9 changes nothing with"),
    (
        "optim.class_weights=effective optim.class_weights_beta=1.0",
        "optim.class_weights_beta=1.0: must be less than 1",
    ),
    ("optim.class_weights=inverse trainer.devices=2", "optim.class_weights=inverse with trainer.d"),
    ("task=segmentation optim.class_weights=inverse", "optim.class_weights=inverse is not for"),
    ("task=detection optim.focal_gamma=2.0", "optim.focal_gamma=2.0 is not for task=detection"),
    ("optim.focal_gamma=2.0", "optim.focal_gamma=2.0 with optim.label_smoothing=0.1"),
    ("optim.focal_gamma=2.0 data.mixup=0.2", "optim.focal_gamma=2.0 with data.mixup or data.cutmi"),
    ("optim.focal_gamma=-1.0", "optim.focal_gamma=-1.0: must be greater than or equal to 0"),
    ("data.test_flips=vertical", "data.test_flips=vertical: must be 'none' or 'horizontal'"),
    ("data.image_size=[128]", "data.image_size=[128]: give a number from 1 on, the side of square"),
    ("data=digits data.image_size=[8,12]", "data.image_size=[8,12] is for image files and digits"),
    (
        "data.image_size=128x256",
        "data.image_size=128x256: give a number from 1 on, the side of square images, or for f",
    ),
    ("data.image_size=max", "data.image_size=max: give a number from 1 on, the side"),
    ("data.padding_mode=edge", "data.padding_mode=edge: must be 'zeros' or 'reflect'"),
    (
        "data.padding_mode=reflect data.padding=8",
        "data.padding=8 is more than 8 pixels can reflect: choose data.padding < 8, or",
    ),
    ("data.padding_mode=reflect data.padding=0", "and data.padding=0: leave it out"),
    ("data.padding_mode=reflect data.augment=none", "here data.crop=none and data.padding="),
    ("data.test_flips=true", "data.test_flips=true: must be 'none' or 'horizontal'"),
    ("data.sampling=weighted", "data.sampling=weighted: must be 'shuffle' or 'balanced'"),
    ("trainer.patience=0", "trainer.patience=0: must be"),
    ("trainer.max_minutes=0", "trainer.max_minutes=0: must be"),
    ("trainer.max_minutes=-1.0", "trainer.max_minutes=-1.0: must be"),
    ("optim.accumulate=0", "optim.accumulate=0: must be greater than or equal to 1"),
    ("optim.accumulate=1.5", "optim.accumulate=1.5: must be a valid integer"),
    ("optim/schedule=warm_restarts optim.schedule.cycles=0", "optim.schedule.cycles=0: must be"),
    ("optim/schedule=warm_restarts optim.schedule.growth=1.5", "optim.schedule.growth=1.5: must"),
    ("optim.schedule.cycles=2", "optim.schedule.cycles belongs to optim/schedule=warm_restarts"),
    ("recipe=rsb_a4", "recipe=rsb_a4 is none of the options"),
    ("recipe=rsb_a3_like", "data.crop=resized crops image files and digits has none"),
    ("optim=adam", "did you mean optim=adamw?"),
    ("optim.name=lamb", "there is no optim named lamb: choose one of adamw, nadam, radam, sgd"),
    ("optim=nadam trainer.precision=16-mixed", "choose trainer.precision=bf16-mixed or 32"),
    ("optim.warmup_epochs=10", "choose optim.warmup_epochs < 10"),
    ("placement.stages=[x]", "placement.stages"),
    ("data=imagenet_subset data.root=. data.classes=[]", "holds no train/<class>/"),
    ("output_dir=", "output_dir=: "),
    ("output_dir=${nope}", "nope"),
    ("--config-name foo", "foo"),
    ("+optim.schedule.rize=2", "optim.schedule has no option rize: did you mean rise?"),
    ("optim.schedule.name=linear", "there is no optim.schedule named linear"),
    ("attention.bias=maybe", "attention.bias=maybe: must be a valid boolean"),
    ("+attention._target_=os.system", "attention._target_ is not obeyed here"),
    ("+model.block=x", "model has no option block"),
    ("data=cifar10 data.download=false", "is not the official archive: put the file"),
    ("data.batch_size=1", "choose data.batch_size >= 2"),
    ("output_dir=/proc/none", "/proc cannot be written"),
    ("ratio=4,8", "add --multirun"),
    ("ratio", "ratio is no setting: write key=value"),
    ("--no-such-flag", "--no-such-flag is no option: settings are written key=value"),
    ("--ratio 16", "--ratio 16 is no option: write ratio=16"),
    ("--model=SE-ResNet18 -m", "--model=SE-ResNet18 is no option: write model=se_resnet18"),
    ("lr=0.1", "there is no key lr: did you mean optim.lr?"),
    ("+lr=0.1", "there is no key lr: did you mean optim.lr?"),
    ("-m lr=0.1,0.2", "there is no key lr: did you mean optim.lr?"),
    ("data=CIFAR10", "did you mean data=cifar10?"),
    ("data.root=x", "data.root belongs to data=cifar10, data=cifar100 or data=imagenet_subset"),
    ("+model.channels=[8]", "model.channels belongs to model=resnet110, "),
    ("optim.schedule=cosine", "optim.schedule=cosine names an option: write optim/schedule=cosine"),
    ("+experiment=se_ratio", "experiment has a value already: write experiment=se_ratio, without"),
    ("optim.lr=logspace(1,2,3)", "there is no function logspace here; there are choice(a,b), "),
    ("optim.lr=0.1, 0.2", "optim.lr=0.1, ends with a comma"),
    ("seed=(1)", "write 'seed=\"(1)\"'"),
    ("output_dir=${oc.env:NOT_SET_AT_ALL}/x", "the environment variable NOT_SET_AT_ALL is not set"),
    ("hydra.job.env_copy=[NOPE]", "Hydra cannot use hydra.job.env_copy=[NOPE] (KeyError: 'NOPE')"),
    ("hydra.verbose=3", "Hydra cannot use hydra.verbose=3"),
    ("hydra.run.dir=logs", "is not obeyed, as Hydra writes nothing here: output_dir=DIR is where"),
    ("-m hydra.sweep.dir=logs seed=0,1", "hydra.sweep.dir=logs is not obeyed"),
    ("hydra.sweep.subdir=x", "hydra.sweep.subdir=x is not obeyed"),
    ("hydra.job.chdir=true", "hydra.job.chdir=true is not obeyed"),
    ("hydra.output_subdir=.hydra", "leave it out, each run writes config.yaml"),
    ("hydra/job_logging=default", "leave it out, each run writes run.log"),
    ("--experimental-rerun=x.pickle", "reads a pickle"),
]


@pytest.mark.parametrize(("arguments", "message"), CASES, ids=[case for case, _ in CASES])
def test_one_line_and_nothing_written(
    senet: Senet, tmp_path: Path, arguments: str, message: str
) -> None:
    result = senet(*arguments.split())
    assert result.code == 2
    # The plan's line about the network comes first where only the folder is at fault.
    last = result.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert result.err.count("\n") == (2 if "output_dir=/proc" in arguments else 1)
    assert result.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_class_missing_in_val(senet: Senet, tmp_path: Path, tmp_path_factory) -> None:
    tree = tmp_path_factory.mktemp("tree")
    for part, name in (("train", "a"), ("train", "b"), ("val", "a"), ("val", "c")):
        for i in range(2):
            write_image(tree / part / name / f"{i}.png", i)
    result = senet("data=imagenet_subset", f"data.root={tree}", "data.classes=all")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "train has classes that" in result.err
    assert "lacks (b, in place of c)" in result.err
    assert list(tmp_path.iterdir()) == []


def test_the_traceback_is_there_for_those_who_ask(
    senet: Senet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Traceback" not in senet("ratio=0").err
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert "Traceback" in senet("ratio=0").err


def test_a_sweep_skips_what_cannot_exist(senet: Senet, tmp_path: Path) -> None:
    arguments = [word for word in TINY if not word.startswith("ratio")]
    result = senet("-m", "hydra/launcher=basic", *arguments, "trainer.max_epochs=1", "ratio=32,4")
    assert result.code == 0
    assert "skipped: " in result.err
    assert "ratio=32 leaves no hidden channel" in result.err
    assert len(list(tmp_path.glob("outputs/fake/*/seed0/result.json"))) == 1
