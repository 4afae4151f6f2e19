"""No process that we start imports a module from the working folder, which may be anybody's."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

from senet_train.system.safe_path import SAFE_PATH
from senet_train.training.distributed import processes

# Of the standard library and of what we need: each would be imported by some way of starting.
# (`select` is built into some interpreters, Debian's among them; `selectors` into none.)
PLANTED = (
    *("random", "select", "selectors", "profile", "tempfile"),
    *("yaml", "hydra", "omegaconf", "submitit"),
)
PLANTED_TOO = (
    "senet_train"  # for a child of ours: who types `python -m senet_train` there asks for it
)
START = "import os, sys; protected = sys.argv[1] == 'protected'\n"
WITHOUT = "if not protected: del os.environ['PYTHONSAFEPATH']\n"
RUN = "process.start(); process.join(60); assert process.exitcode == 0"
LOCAL = """
from multiprocessing.context import ForkServerContext
from senet_train.sweeps.launchers.local import start_method
ForkServerContext.set_forkserver_preload = lambda *names: None  # it would import torch for 5 s
"""
# How a process is started -> a program that starts one so.
WAYS = {
    "a sweep's fork server": (
        f"{START}{LOCAL}context = start_method()\n{WITHOUT}"
        f"process = context.Process(target=os.getpid); {RUN}"
    ),
    "the processes of senet-data check": (
        f"{START}from senet_train.commands.data_check.decode import start_pool\n"
        f"pool = start_pool(1)\n{WITHOUT}"
        "pool.submit(os.getpid).result(60)\n"
    ),
    "a cluster's job": (
        f"{START}import subprocess, submitit\n"
        "submitit.Job._results_timeout_s = 1\n"  # it waits 15 s for the result of a job that died
        "from senet_train.sweeps.launchers.cluster import SubmititLocalLauncher as Launcher\n"
        "from types import SimpleNamespace\n"
        "launcher = Launcher.__new__(Launcher)\n"
        "launcher.parameters = lambda queue: {'submitit_folder': sys.argv[2]}\n"
        "start = subprocess.Popen\n"
        "def popen(*words, env, **more):\n"
        "    if not protected: env.pop('PYTHONSAFEPATH')\n"
        "    return start(*words, env=env, **more)\n"
        "subprocess.Popen = popen\n"
        "[job] = launcher.submit(None, [os.getpid])\n"
        "job.result()\n"
    ),
}


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with modules that leave a mark where they are imported."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in (*PLANTED, PLANTED_TOO):
        mark = f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})\nraise SystemExit(9)\n"
        (folder / f"{name}.py").write_text(mark)
    monkeypatch.chdir(folder)
    monkeypatch.delenv(SAFE_PATH, raising=False)
    return tmp_path / "imported"


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_start_a_process(planted: Path, way: str, tmp_path: Path) -> None:
    """The control is the same way with the protection taken out after it was set."""
    script = tmp_path / "started.py"  # as a console script is: its own folder is in the path
    script.write_text("if __name__ == '__main__':\n" + indent(WAYS[way], "    "))
    for case in ("protected", "unprotected"):
        program = [sys.executable, str(script), case, str(tmp_path / "jobs")]
        done = subprocess.run(program, capture_output=True, text=True, timeout=100)
        assert (done.returncode == 0) == (case == "protected"), done.stderr
        assert planted.exists() == (case == "unprotected"), done.stderr


@pytest.mark.parametrize("protected", [True, False])
def test_the_processes_of_one_run(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protected: bool
) -> None:
    start = subprocess.Popen

    def without_protection(words: list[str], *, env: dict[str, str], **more: object) -> object:
        left = {name: value for name, value in env.items() if name != SAFE_PATH}
        return start([word for word in words if word != "-P"], env=left, **more)  # type: ignore

    if not protected:
        monkeypatch.setattr(processes.subprocess, "Popen", without_protection)
    process = processes.start_process(["--version"], tmp_path / "store", 0, 1, 1)
    process.wait(timeout=100)
    process.communicate()
    assert (process.returncode == 0) == protected
    assert planted.exists() != protected


def test_a_command_in_the_folder(planted: Path) -> None:
    """`python -m senet_train` typed there, with the control that Python itself would look there."""
    Path(f"{PLANTED_TOO}.py").unlink()
    done = subprocess.run([sys.executable, "-m", "senet_train", "--version"], capture_output=True)
    assert (done.returncode, planted.exists()) == (0, False), done.stderr
    subprocess.run([sys.executable, "-m", "yaml"], capture_output=True)
    assert planted.exists()
    assert os.environ.get(SAFE_PATH) is None
