"""Windows, as far as a Linux can show it: pretended.py says what that is, and what it is not."""

import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pretended
import pytest
from processes.dying import SERVER
from support import ROOT

import senet_train

HERE = Path(__file__).parent
STEPS = (
    *("every module", "locks", "one run", "stopped and resumed", "sweep stopped and resumed"),
    *("files with workers", "several processes", "inspected", "predicted", "the other commands"),
)


def on_windows(function: Callable[[], Any], folder: Path) -> Any:
    """What the function returns in a process of a pretended Windows, which has torch already."""
    process = SERVER.Process(target=answer, args=(function, folder))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    return json.loads((folder / "answer.json").read_text("utf-8"))


def answer(function: Callable[[], Any], folder: Path) -> None:
    os.chdir(folder)
    pretended.install()
    found = function()
    (folder / "answer.json").write_text(json.dumps(found), "utf-8")


def import_every_module() -> tuple[int, str, int]:
    for name in [name for name in sys.modules if pretended.is_ours(name)]:
        del sys.modules[name]  # it was loaded for Linux
    names = [each.name for each in pkgutil.walk_packages(senet_train.__path__, "senet_train.")]
    for name in names:
        if name != "senet_train.__main__":
            import_module(name)
    signals = sys.modules["senet_train.system.signals"]
    return len(names), signals.sys.platform, signals.HANDLED[-1]


def test_every_module_is_imported(tmp_path: Path, warm_fork_server: None) -> None:
    count, platform, last = on_windows(import_every_module, tmp_path)
    assert count > 300
    assert (platform, last) == ("win32", 21)


CONTROLS = {
    "import fcntl": "Windows has no fcntl",
    "from multiprocessing import forkserver": "Windows has no multiprocessing",
    "import os; os.getuid()": "has no attribute 'getuid'",
    "import os; os.kill(os.getpid(), 0)": "os.kill sends Ctrl-C",
    "import signal; signal.SIGHUP": "has no attribute 'SIGHUP'",
    "import signal; signal.signal(1, signal.SIG_IGN)": "signal 1 does not exist on Windows",
    "import subprocess as s; s.Popen(['true']).send_signal(2)": "Windows sends no signal",
    "import multiprocessing as m; m.get_context('fork')": "cannot find context for 'fork'",
    "open('con.txt', 'wb')": "Windows forbids the name con.txt",
    "file = open('a', 'wb'); import os; os.replace('a', 'b')": "this process has ",
    "from pathlib import Path; file = open('c', 'wb'); Path('c').unlink()": "this process has ",
    "import msvcrt; file = open('d', 'wb'); file.write(b'd'); file.flush(); file.seek(0); "
    "msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)": "the content is locked",
}


def errors_of_controls() -> list[str]:
    """What each raises as code of ours, and last what a library meets."""
    errors = []
    for program in CONTROLS:
        try:
            exec(program, {"__name__": "senet_train.control"})
            errors.append("none")
        except Exception as error:
            errors.append(str(error))
    exec("import fcntl, os, signal; os.kill(os.getpid(), 0); signal.SIGHUP", {"__name__": "x"})
    return errors


def test_the_pretended_windows_is_one(tmp_path: Path, warm_fork_server: None) -> None:
    for error, words in zip(
        on_windows(errors_of_controls, tmp_path), CONTROLS.values(), strict=True
    ):
        assert words in error


# An encoding that is not named is an error in code of ours, and knows ASCII alone in libraries.
ENVIRONMENT = {
    **{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"},
    **{"PYTHONPATH": str(HERE / "installed"), "PYTHONWARNDEFAULTENCODING": "1"},
}


def interpreter(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **ENVIRONMENT}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, encoding="utf-8"
    )


@pytest.mark.slow
def test_an_encoding_that_is_not_named_is_an_error(tmp_path: Path) -> None:
    program = f"exec(\"open({str(tmp_path / 'text')!r}, 'w')\", {{'__name__': 'senet_train.x'}})"
    done = interpreter("-c", program)
    assert done.returncode == 1
    assert "'encoding' argument not specified" in done.stderr


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path) -> None:
    done = interpreter(HERE / "every_command.py", tmp_path)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == "for senet-train this is win32"
    assert [line.partition(":")[0] for line in lines if ": ok, " in line] == [*STEPS]


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_every_name_is_there_on_other_systems(platform: str, tmp_path: Path) -> None:
    """mypy knows what of Python a system has; the control is a function that Windows has not."""
    control = tmp_path / "control.py"
    control.write_text("import os\nos.getuid()\n", "utf-8")
    check = [sys.executable, "-m", "mypy", "--platform", platform, "--cache-dir", tmp_path / "kept"]
    done = subprocess.run([*check, "senet_train"], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout
    done = subprocess.run([*check, control], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert ("getuid" in done.stdout) == (platform == "win32")


def test_every_text_has_an_encoding(tmp_path: Path) -> None:
    """The rule is a preview of ruff, and with previews on, others of its rules change as well."""
    (tmp_path / "control.py").write_text("open('a')\n", "utf-8")
    ours = [ROOT / "senet_train", ROOT / "scripts", HERE]
    for folders, code in ((ours, 0), ([tmp_path], 1)):
        rule = ["ruff", "check", "--isolated", "--preview", "--select", "PLW1514", *folders]
        done = subprocess.run([sys.executable, "-m", *rule], capture_output=True, encoding="utf-8")
        assert done.returncode == code, done.stdout
