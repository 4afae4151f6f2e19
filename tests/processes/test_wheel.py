"""The wheel, installed somewhere and run from somewhere else, is the same program."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import CONF, ROOT, TINY, run_folders


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [built] = folder.glob("*.whl")
    return built


def test_it_carries_conf_and_code_only(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {name for name in names if name.startswith("senet_train/conf/")}
    here = {f"senet_train/conf/{f.relative_to(CONF)}" for f in CONF.rglob("*.yaml")}
    assert shipped == here
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"senet_train", "hydra_plugins"}
    assert not [name for name in names if "_plugins/" in name.removeprefix("hydra_plugins/")]
    assert "senet_train/py.typed" in names


def test_it_runs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work dir"
    work.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    done = subprocess.run(
        [sys.executable, "-m", "senet_train", *TINY],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "test top-1" in done.stdout
    [folder] = run_folders(work)
    assert '"git": ""' in (folder / "result.json").read_text()  # not the checkout's code
    here = subprocess.run(
        [sys.executable, "-c", "import senet_train; print(senet_train.__file__)"],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=work,
        capture_output=True,
        text=True,
    )
    assert str(site) in here.stdout
