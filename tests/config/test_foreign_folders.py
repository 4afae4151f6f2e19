"""A configuration folder of a stranger: nothing runs, nothing is written, no secret is read."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from support import TINY, Result, Senet, own_presets

from senet_train.config.resolvers import config_dir, register_resolvers
from senet_train.config.strangers import leaves

RAN: list[str] = []


def run_by_a_stranger(*arguments: Any, **options: Any) -> Any:
    """What a stranger's configuration names, as `test_foreign_folders.run_by_a_stranger`."""
    RAN.append("ran")
    raise AssertionError("a stranger's configuration was obeyed")


HERE = f"{__name__}.run_by_a_stranger"


@pytest.fixture
def strangers(senet: Senet, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Senet:
    """`strangers(content, *words)` runs the command with a preset of this content, nothing else."""

    def run(content: str, *words: str, folder: Path | None = None) -> Result:
        own = folder or own_presets(tmp_path_factory.mktemp("own"), content)
        before = sorted(tmp_path.rglob("*"))
        settings = [word for word in TINY if not word.startswith("seed")]
        result = senet(
            "--config-dir", str(own), "experiment=own", *settings, "dry_run=true", *words
        )
        assert RAN == []
        assert sorted(tmp_path.rglob("*")) == before
        assert "Traceback" not in result.err
        return result

    return run


ATTACKS = {
    "callbacks": f"hydra: {{callbacks: {{x: {{_target_: {HERE}}}}}}}",
    "job_logging.handlers.x.()": f'hydra: {{job_logging: {{handlers: {{x: {{"()": "{HERE}"}}}}}}}}',
    "hydra_logging.handlers.x.class": (
        "hydra: {hydra_logging: {handlers: {x: {class: logging.FileHandler, filename: a}}}}"
    ),
    "job.env_set.A": "hydra: {job: {env_set: {A: b}}}",
    "job.env_copy.0": "hydra: {job: {env_copy: [HOME]}}",
    "launcher._target_": f"hydra: {{launcher: {{_target_: {HERE}}}}}",
    "sweeper._target_": f"hydra: {{sweeper: {{_target_: {HERE}}}}}",
    "output_subdir": "hydra: {output_subdir: /tmp/elsewhere}",
    "run.dir": "hydra: {run: {dir: elsewhere}}",
    "help.template": "hydra: {help: {template: other}}",
}


@pytest.mark.parametrize("key", ATTACKS)
def test_what_would_act_is_refused(strangers: Senet, key: str) -> None:
    result = strangers(ATTACKS[key])
    assert result.code == 2
    name = key.partition(".")[0]
    assert f"error: hydra.{name}" in result.err
    assert "is set by a file of a configuration folder" in result.err


def test_what_reaches_a_shell_is_for_the_command_line(strangers: Senet) -> None:
    slurm = "hydra/launcher=submitit_slurm"
    for field in ("setup: [touch x]", "partition: gpu", "additional_parameters: {a: b}", "name: x"):
        result = strangers(f"hydra: {{launcher: {{{field}}}}}", slurm)
        assert (result.code, f"hydra.launcher.{field.split(':')[0]}" in result.err) == (2, True)
    assert strangers("hydra: {launcher: {timeout_min: 5}}", slurm).code == 0
    assert strangers("seed: 1", slurm, "hydra.launcher.name=x").code == 0


def test_an_option_of_a_strangers_own_is_refused(
    strangers: Senet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = own_presets(tmp_path_factory.mktemp("own"), "seeds: 2")
    (own / "hydra" / "launcher").mkdir(parents=True)
    (own / "hydra" / "launcher" / "evil.yaml").write_text(f"_target_: {HERE}\n")
    assert strangers("", "hydra/launcher=evil", folder=own).code == 2


@pytest.mark.parametrize(
    "content",
    [
        "seed: 3\noptim: {lr: 0.01}",
        "seeds: 2\nhydra: {launcher: {jobs: 1}}",
        "arms: [[attention=none], [attention=se]]",
    ],
)
def test_ordinary_presets_are_used(strangers: Senet, content: str) -> None:
    assert strangers(content).code == 0


def test_an_arm_sets_nothing_of_hydras(strangers: Senet) -> None:
    for word in ("hydra.launcher.jobs=3", "hydra/job_logging=default", "+hydra.x=1"):
        result = strangers(f'arms: [["{word}"]]')
        assert result.code == 2
        assert "which is no setting of a run" in result.err


SENDS = {
    "logger.online": "defaults: [{override /logger: wandb}]\nlogger: {online: true}",
    "logger.project": "defaults: [{override /logger: wandb}]\nlogger: {project: theirs}",
    "logger.entity": "defaults: [{override /logger: wandb}]\nlogger: {entity: them}",
    "logger.tracking_uri": (
        "defaults: [{override /logger: mlflow}]\nlogger: {tracking_uri: 'http://theirs:5000'}"
    ),
}


@pytest.mark.parametrize("key", SENDS)
def test_nothing_is_sent_for_a_stranger(strangers: Senet, key: str) -> None:
    result = strangers(SENDS[key])
    assert result.code == 2
    assert f"{key} is set by a file of a configuration folder" in result.err


def test_a_stranger_may_choose_a_logger(strangers: Senet) -> None:
    """It writes to this disk."""
    assert strangers(SENDS["logger.online"].partition("\n")[0]).code == 0


def test_a_logger_of_a_strangers_own_sends_nothing(
    strangers: Senet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is typed is obeyed, whatever the file says."""
    own = own_presets(tmp_path_factory.mktemp("own"), "seed: 1")
    (own / "logger").mkdir()
    file = own / "logger" / "theirs.yaml"
    file.write_text("name: mlflow\ntracking_uri: http://theirs:5000\n")
    refused = strangers("", "logger=theirs", folder=own)
    assert refused.code == 2
    assert "logger.tracking_uri is set by a file" in refused.err
    typed = ("logger=theirs", "logger.tracking_uri=http://ours:5000")
    assert strangers("", *typed, folder=own).code == 0
    params = "hydra: {sweeper: {params: {logger.tracking_uri: 'http://theirs:5000'}}}"
    basic = strangers(params, "-m", "hydra/sweeper=basic", "logger=mlflow")
    assert basic.code == 2
    assert "hydra.sweeper.params.logger.tracking_uri is set by a file" in basic.err
    assert "holds for the whole table" in strangers('arms: [["+logger.online=true"]]').err


def folder_behind_a_link(base: Path) -> Path:
    """A configuration folder, a part of which lies behind a symbolic link."""
    (base / "away").mkdir()
    (base / "away" / "evil.yaml").write_text(f"# @package _global_\n{ATTACKS['callbacks']}\n")
    own = base / "own"
    own.mkdir()
    own_presets(own, "defaults: [linked/evil]\nseeds: 2")
    (own / "experiment" / "linked").symlink_to(base / "away")
    return own


def folder_above(base: Path) -> Path:
    """A configuration folder whose preset names a file outside of it."""
    (base / "evil.yaml").write_text(f"# @package hydra.launcher\n_target_: {HERE}\n")
    own = base / "own"
    own.mkdir()
    return own_presets(own, "defaults: [../../evil]\nseeds: 2")


@pytest.mark.parametrize("place", [folder_behind_a_link, folder_above])
def test_files_elsewhere_are_seen_as_well(
    strangers: Senet, tmp_path_factory: pytest.TempPathFactory, place: Any
) -> None:
    own = place(tmp_path_factory.mktemp("base"))
    assert strangers("", folder=own).code == 2


def test_a_second_value_of_a_sweep_is_seen_as_well(
    strangers: Senet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = own_presets(tmp_path_factory.mktemp("own"), ATTACKS["callbacks"])
    (own / "experiment" / "good.yaml").write_text("# @package _global_\nseed: 1\n")
    words = ("-m", "experiment=good,own", "hydra/launcher=basic")
    assert strangers("", *words, folder=own).code == 2


def test_a_main_file_names_no_further_places(
    senet: Senet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`pkg://x` imports x."""
    own = tmp_path_factory.mktemp("own")
    (own / "mine.yaml").write_text("defaults: [config]\nhydra: {searchpath: ['pkg://antigravity']}")
    result = senet("--config-dir", str(own), "--config-name", "mine", "dry_run=true")
    assert result.code == 2
    assert "sets hydra.searchpath: write it on the command line" in result.err


def test_a_secret_is_not_read(strangers: Senet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    monkeypatch.setenv("SECRET2", "other")
    for content in (
        'factor: ["${oc.env:SECRET}"]',
        'factor: ["${oc.${which}:SECRET}"]\nwhich: env',
        "factor: ['${oc.decode:\"\\${oc.env:SECRET}\"}']",
        'arms: [["output_dir=${oc.env:SECRET}"]]',
        "arms: [['optim.lr=${oc.env:SECRET}']]",
        'defaults: [{override /model: "${oc.env:SECRET}"}]',
    ):
        result = strangers(content, "trainer.max_epochs=${oc.decode:'2'}")
        assert result.code == 2, content
        assert "s3cret" not in result.out + result.err
    typed = strangers('output_dir: "${oc.env:SECRET}"', "optim.lr=${oc.env:SECRET2}")
    assert typed.code == 2
    assert "reads the environment variable SECRET" in typed.err
    assert strangers("seed: 1", 'output_dir="${oc.env:SECRET}"').code == 0
    monkeypatch.setenv("DATA_ROOT", "pictures")
    assert strangers('output_dir: "${oc.env:DATA_ROOT}"').code == 0


def keys_of_hydra() -> list[str]:
    """Every key of Hydra's own part, and some that it has without saying."""
    register_resolvers()
    with initialize_config_dir(config_dir(), version_base="1.3"):
        node = compose("config", return_hydra_config=True).hydra
    found = [key for key, _ in leaves(OmegaConf.to_container(node))]
    extra = ["callbacks.x._target_", "launcher._target_", "sweeper._target_", "launcher._args_"]
    return sorted({*found, *extra, "job_logging.root.handlers", "searchpath", "job.config.x"})


def nested(key: str, value: Any) -> Any:
    for part in reversed(key.split(".")):
        value = {part: value}
    return {"hydra": value}


CALLS = ({"_target_": HERE}, {"()": HERE}, [HERE])
VALUES: tuple[Any, ...] = ("/tmp/elsewhere", HERE, True, 3, None, *CALLS, "${oc.env:HOME}")


def generated() -> Iterator[str]:
    """A preset for each key of Hydra's and each value, and for each option of its groups."""
    for key in keys_of_hydra():
        for value in VALUES:
            yield yaml.safe_dump(nested(key, value))
    for group in ("launcher", "sweeper", "job_logging", "hydra_logging", "help", "output", "env"):
        for option in ("default", "none", "basic", "disabled", "colorlog", "../../x", HERE):
            yield f"defaults: [{{override /hydra/{group}: {option}}}]"
            yield f"defaults: [{{/hydra/{group}: {option}}}]"


def refused_or_harmless(strangers: Senet, contents: Sequence[str]) -> int:
    """How many of the presets are refused; the others, as by `strangers`, do nothing."""
    return sum(strangers(content).code == 2 for content in contents)


def test_generated_presets_do_nothing(strangers: Senet) -> None:
    """A part of them, always the same; all of them in the slow set."""
    contents = random.Random(0).sample(list(generated()), 24)
    assert refused_or_harmless(strangers, contents) >= 16


@pytest.mark.slow
def test_all_generated_presets_do_nothing(strangers: Senet) -> None:
    contents = list(generated())
    refused = refused_or_harmless(strangers, contents)
    print(f"{len(contents)} presets, {refused} refused, the others do nothing")
    assert refused > len(contents) // 2
