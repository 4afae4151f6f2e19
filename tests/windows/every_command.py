"""What runs on Windows: a line for each thing that did, an error for the first that did not.

    python tests/windows/every_command.py FOLDER [STEP...]

Here it is run by test_windows.py on a pretended Windows, and by the workflow on a real one. Nothing
in it is of one system.
"""

import contextlib
import csv
import io
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

TINY = (
    *("data=digits", "data.image_size=8", "data.batch_size=64", "model=resnet8", "attention=se"),
    *("ratio=4", "trainer.precision=32", "trainer.max_epochs=2"),
)
SWEEP = (
    *("hydra/launcher=local", "hydra.launcher.jobs=2", "output_dir=outputs/sweep"),
    'arms=[["attention=none"],["attention=se","ratio=4"]]',
)
HOLD = """
import sys
from pathlib import Path
from senet_train.system.lock import file_lock
with file_lock(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


def main(folder: Path, names: Sequence[str]) -> None:
    """Everything, in an empty folder; or the steps of these names."""
    from senet_train.system.start import start_process

    os.chdir(folder)
    start_process()
    said(f"for senet-train this is {seen()}")
    for step in [step for step in STEPS if not names or step.__name__ in names]:
        start = time.monotonic()
        step()
        said(f"{step.__name__.replace('_', ' ')}: ok, {time.monotonic() - start:.0f} s")


def seen() -> str:
    """The system for which its modules go their ways."""
    from senet_train.system import signals

    return signals.sys.platform


def said(line: str) -> None:
    print(line, file=sys.__stdout__, flush=True)


def senet(*words: str, code: int = 0) -> str:
    """What `senet-train` prints on standard error, in this process."""
    from senet_train.cli import main

    return printed(lambda: main(words), f"senet-train {' '.join(words)}", code)


def command(module: str, *words: str, code: int = 0) -> str:
    """What one of the small commands prints, in this process."""
    run = import_module(f"senet_train.commands.{module}").main
    return printed(lambda: run(words), f"{module} {' '.join(words)}", code)


def printed(run: Callable[[], int], line: str, code: int) -> str:
    both = io.StringIO()
    with contextlib.redirect_stdout(both), contextlib.redirect_stderr(both):
        found = run()
    assert found == code, f"{line}: exit code {found}, not {code}\n{both.getvalue()}"
    return both.getvalue()


def runs() -> list[Path]:
    return sorted(file.parent for file in Path("outputs").glob("*/*/seed*/status.json"))


def states() -> list[str]:
    return [json.loads((run / "status.json").read_text("utf-8"))["state"] for run in runs()]


@contextmanager
def ctrl_c(when: Callable[[], bool]) -> Iterator[None]:
    """Ctrl-C, as it comes to this process, once the condition holds."""

    def press() -> None:
        while not when():
            time.sleep(0.01)
        if sys.platform == "win32":  # wakes the main thread, as a console's does
            signal.raise_signal(signal.SIGINT)
        else:
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    yield


def every_module() -> None:
    import senet_train

    names = [module.name for module in pkgutil.walk_packages(senet_train.__path__, "senet_train.")]
    for name in names:
        if name != "senet_train.__main__":
            import_module(name)
    assert len(names) > 300


def locks() -> None:
    """Held by another process, which is named; waited for; free as soon as that is killed."""
    from senet_train.errors import HeldError
    from senet_train.runs.status import is_alive
    from senet_train.system.lock import file_lock

    lock = Path("a.lock")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdin=-1, stdout=-1) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        assert is_alive(holder.pid)
        try:
            with file_lock(lock, "it"):
                words = "two processes hold the lock"
        except HeldError as error:
            words = str(error)
        assert f"it is held by process {holder.pid} on " in words, words
        threading.Timer(0.5, holder.kill).start()
        with file_lock(lock, "it", wait=True):
            assert holder.wait(10) != 0
    assert not is_alive(holder.pid)
    with file_lock(lock, "it"):
        pass


def one_run() -> None:
    assert "test top-1" in senet(*TINY)
    assert states() == ["finished"]
    assert "found finished" in senet(*TINY)
    assert "no such file" not in senet(*TINY, "overwrite=true")


def stopped_and_resumed() -> None:
    line = (*TINY, "seed=1", "trainer.max_epochs=4")
    with ctrl_c(lambda: len(list(Path("outputs").glob("*/*/seed1/checkpoints/last.ckpt"))) > 0):
        assert "stopped by SIGINT: the same line again goes on with" in senet(*line, code=130)
    assert sorted(states()) == ["finished", "interrupted"]
    assert "going on after" in senet(*line)
    assert states() == ["finished"] * 2


def sweep_stopped_and_resumed() -> None:
    """Two runs, each an interpreter of its own; they are asked to stop, and save themselves."""
    words = [word for word in TINY if not word.startswith(("attention", "ratio"))]
    line = (*words, *SWEEP, "trainer.max_epochs=12")

    def both_have_saved() -> bool:
        return len(list(Path("outputs/sweep").glob("*/*/seed0/checkpoints/last.ckpt"))) == 2

    with ctrl_c(both_have_saved):
        out = senet(*line, code=130)
    assert "stopped by SIGINT: 0 of 2 runs have finished" in out, out
    found = [
        json.loads(file.read_text("utf-8")) for file in Path("outputs/sweep").rglob("status.json")
    ]
    assert [(each["state"], each["reason"]) for each in found] == [
        ("interrupted", "Stopped: SIGTERM")
    ] * 2, found
    out = senet(*line)
    assert out.count("going on after") == 2, out
    assert "finished 2 of 2 runs" in out, out


def draw_images() -> None:
    """Three classes of noise."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog", "eel")):
        for part in ("train", "val"):
            (Path("tree") / part / name).mkdir(parents=True)
            for i in range(12):
                noise = random.integers(0, 200, (12, 12, 3), dtype=np.uint8)
                noise[..., number] += 50
                Image.fromarray(noise).save(Path("tree") / part / name / f"{i}.png")


def files_with_workers() -> None:
    """Images of files, decoded by a process that Windows starts as an interpreter of its own."""
    draw_images()
    words = [word for word in TINY if not word.startswith(("data", "trainer.max_epochs"))]
    files = ("data=imagenet_subset", f"data.root={Path('tree').absolute()}", "data.image_size=8")
    more = ("data.batch_size=8", "data.crop=pad", "data.workers=1", "data.cache=stream")
    senet(*words, *files, *more, "trainer.max_epochs=1", "output_dir=outputs/files")


def several_processes() -> None:
    """Two processes train one run, are stopped, and go on."""
    line = (*TINY, "trainer.devices=2", "output_dir=outputs/two", "trainer.max_epochs=4")

    def saved() -> bool:
        return len(list(Path("outputs/two").glob("*/*/seed0/checkpoints/last.ckpt"))) == 1

    with ctrl_c(saved):
        senet(*line, code=130)
    [status] = [
        json.loads(file.read_text("utf-8")) for file in Path("outputs/two").rglob("status.json")
    ]
    assert status["state"] == "interrupted", status
    senet(*line)


def the_run() -> str:
    return str(next(run for run in runs() if run.name == "seed0"))


def inspected() -> None:
    command("inspect.cli", the_run())
    assert (Path(the_run()) / "inspect" / "index.html").is_file()


def predicted() -> None:
    images = [str(file) for file in sorted(Path("tree/val/cat").iterdir())]
    command("predict.cli", the_run(), *images, "--out", "predictions.csv")
    with open("predictions.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(images)


def the_other_commands() -> None:
    """Compared, checked, profiled, exported, evaluated; `--help` of the board."""
    command("compare", "outputs/sweep", "--out", "comparison")
    command("data_check.cli", "check", "tree")
    command("profile.cli", "model=resnet8", "model=se_resnet8", "ratio=4")
    command("export.cli", the_run(), "--format", "safetensors", "--out", "exported")
    command("board.cli", "--help")


STEPS = (
    every_module,
    locks,
    one_run,
    stopped_and_resumed,
    sweep_stopped_and_resumed,
    files_with_workers,
    several_processes,
    inspected,
    predicted,
    the_other_commands,
)
if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
