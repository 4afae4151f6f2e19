"""A run from a stranger is data: whatever it holds, it is read or refused, and never obeyed.

Each attack would leave `owned` behind, or read or write what is not the run's; each is refused in
one line with exit code 2, and the same run without it is accepted.
"""

import json
import os
import pickle
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support import config

from senet_train import load_run
from senet_train.commands.inspect.cli import main as inspect
from senet_train.errors import InputError
from senet_train.runs.checkpoint_files import read_checkpoint
from senet_train.runs.inputs import (
    CONFIG_FILE,
    MOST_CONFIG_BYTES,
    read_config_file,
    write_config,
)


class Touch:
    """Pickled, it makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.file}",)


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "arm" / "seed0"))


def settings(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change config.yaml."""
    file = run / "config.yaml"
    tree = yaml.safe_load(file.read_text())
    change(tree)
    file.write_text(yaml.safe_dump(tree))


def append(run: Path, text: str) -> None:
    (run / "config.yaml").write_text((run / "config.yaml").read_text() + text)


def link_out(run: Path, name: str) -> None:
    """Replace a file of the run by a link to a copy of it elsewhere."""
    (run / name).replace(run.parent / "elsewhere")
    (run / name).symlink_to(run.parent / "elsewhere")


def pickled(run: Path, owned: Path) -> None:
    with open(run / "checkpoints" / "best.ckpt", "wb") as file:
        pickle.dump({"state_dict": {}, "x": Touch(owned)}, file)


def pickled_by_torch(run: Path, owned: Path, legacy: bool) -> None:
    file = run / "checkpoints" / "best.ckpt"
    whole = read_checkpoint(file)
    torch.save(whole | {"x": Touch(owned)}, file, _use_new_zipfile_serialization=not legacy)


def cifar10_at(root: Path, data: dict[str, Any]) -> dict[str, Any]:
    """The data configuration of a run that would have CIFAR-10 fetched to `root`."""
    kept = {
        key: value for key, value in data.items() if key not in ("num_images", "num_test_images")
    }
    return {**kept, "name": "cifar10", "root": str(root), "download": True}


LAUGHS = "a0: &a0 [1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)

ATTACKS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "pickle": (pickled, "is no checkpoint of plain tensors"),
    "torch pickle": (
        lambda run, owned: pickled_by_torch(run, owned, legacy=False),
        "is no checkpoint of plain tensors",
    ),
    "legacy pickle": (
        lambda run, owned: pickled_by_torch(run, owned, legacy=True),
        "is no checkpoint of plain tensors",
    ),
    "target": (
        lambda run, owned: settings(
            run, lambda c: c["model"].update(_target_="os.system", command=f"touch {owned}")
        ),
        "model._target_ is not obeyed here",
    ),
    "tag": (
        lambda run, owned: append(run, f"x: !!python/object/apply:os.system ['touch {owned}']\n"),
        "is no plain YAML",
    ),
    "name": (
        lambda run, owned: settings(run, lambda c: c["model"].update(name="os.system")),
        "there is no model named os.system",
    ),
    "callbacks": (
        lambda run, owned: append(run, "hydra: {callbacks: {a: {b: c}}}\n"),
        "there is no key hydra",
    ),
    "environment": (
        lambda run, owned: settings(run, lambda c: c["data"].update(image_size="${oc.env:HOME}")),
        "data.image_size=${oc.env:HOME}: give a number from 1 on",
    ),
    "laughs": (lambda run, owned: append(run, LAUGHS), "is no plain YAML (it has aliases)"),
    "depth": (lambda run, owned: append(run, f"x: {'[' * 5000}{']' * 5000}\n"), "no plain YAML"),
    "large": (
        lambda run, owned: append(run, f"# {'x' * MOST_CONFIG_BYTES}\n"),
        f"config.yaml cannot be read (it has more than {MOST_CONFIG_BYTES:,} bytes)",
    ),
    "no keys": (
        lambda run, owned: (run / "config.yaml").write_text("[1, 2]"),
        "is no run's configuration: it holds no keys",
    ),
    **{
        f"linked {name}": (
            lambda run, owned, name=name: link_out(run, name),
            "leads out of the run's folder",
        )
        for name in ("checkpoints/best.ckpt", "config.yaml", "classes.json", "result.json")
    },
    "classes": (
        lambda run, owned: (run / "classes.json").write_text(json.dumps({"a": 1})),
        "is no list of class names",
    ),
    "more classes": (
        lambda run, owned: (run / "classes.json").write_text(json.dumps(["a"] * 99)),
        "names 99 classes and its network has 2",
    ),
    "width": (
        lambda run, owned: settings(run, lambda c: c["data"].update(num_classes=90_000)),
        "does not fit the run's configuration: fc.weight is (2, 64), the network's (90000, 64)",
    ),
    "no end of classes": (
        lambda run, owned: settings(run, lambda c: c["data"].update(num_classes=10**12)),
        "is no number of classes of a run",
    ),
    "other network": (
        lambda run, owned: settings(run, lambda c: c["model"].update(name="resnet56")),
        "does not fit the run's configuration",
    ),
    "download": (
        lambda run, owned: settings(run, lambda c: c.update(data=cifar10_at(owned, c["data"]))),
        "is not the official archive",
    ),
    "no end of images": (
        lambda run, owned: settings(run, lambda c: c["data"].update(num_images=10**12)),
        "data.num_images=1000000000000 of data.image_size=8 are more than 8 GiB of pixels",
    ),
    "record": (
        lambda run, owned: (run / "result.json").write_text('{"_target_": "os.system"}'),
        "is no result of schema 2",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_in_one_line(
    attack: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owned, (change, message) = tmp_path / "owned", ATTACKS[attack]
    load_run(run)  # before, it is accepted
    change(run, owned)
    before = sorted(tmp_path.rglob("*"))
    start = time.monotonic()
    assert inspect([str(run), "--no-knockout"]) == 2
    assert time.monotonic() - start < 20
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not owned.exists()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_payload_works_where_it_is_obeyed(tmp_path: Path) -> None:
    """The control: these pickles do make their file if somebody unpickles them."""
    owned = tmp_path / "owned"
    pickle.loads(pickle.dumps(Touch(owned)))
    assert owned.exists()


@pytest.mark.usefixtures("unrendered")  # test_hostile_text.py has a page with its pictures
def test_names_neither_steer_a_terminal_nor_a_page(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["\x1b]0;owned\x07\x1b[31mred", "<script>alert(1)</script>[bold]$x$"]
    (run / "classes.json").write_text(json.dumps(names))
    assert inspect([str(run), "--no-knockout"]) == 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    page = (run / "inspect" / "index.html").read_text()
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page


def test_a_secret_is_not_copied(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    settings(run, lambda c: c.update(output_dir="${oc.env:SECRET}"))
    assert load_run(run).config.output_dir == "${oc.env:SECRET}"


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run: give the folder"):
        load_run(tmp_path)
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(InputError, match=r"has no best\.ckpt yet"):
        load_run(tmp_path)


def test_a_configuration_of_many_classes_is_read(tmp_path: Path) -> None:
    """As many bytes as twelve thousand names of folders, which a run of ours has written itself."""
    names = [f"{number:05d}_Plantae_Tracheophyta_{'x' * 220}" for number in range(4_500)]
    checked = config("data=imagenet_subset", "model=resnet8")
    source = replace(checked.data.source, options=checked.data.source.options | {"classes": names})
    write_config(tmp_path, replace(checked, data=replace(checked.data, source=source)))
    assert (tmp_path / CONFIG_FILE).stat().st_size > 1 << 20
    assert read_config_file(tmp_path / CONFIG_FILE).data.source.options["classes"] == names
