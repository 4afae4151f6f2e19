"""A wrong argument is refused before anything slow is imported."""

import json
import subprocess
import sys
from pathlib import Path

WRONG = {
    "senet-predict": (["nothing", "image.png"], ["run", "image.png"], ["run", "--top", "0"]),
    "senet-evaluate": (["nothing"], ["run", "no-folder"], ["run", "data=cifar11"], ["run", "a=b"]),
    "senet-export": (["nothing", "--format", "onnx"], ["run", "--format", "gif"]),
    "senet-inspect": (["nothing"], ["run", "--part", "train"]),
    "senet-profile": (["nothing"], ["no/run"], ["ratio=0"], ["model=resnet17"]),
    "senet-data": (["check", "nothing"], ["look", "nothing"], ["show", "nothing"]),
    "senet-compare": (["nothing"], ["run", "--margin", "wide"]),
    "senet-board": (["nothing"], [".", "--port", "99999999"]),
}
PROGRAM = """
import json, sys
from importlib.metadata import entry_points

HEAVY = {"torch", "torchvision", "pytorch_lightning", "matplotlib", "tensorboard"}
commands = {entry.name: entry for entry in entry_points(group="console_scripts")}
ends = []
for command, lines in json.loads(sys.argv[1]).items():
    for line in lines:
        code = commands[command].load()(line)
        ends.append((command, line, code, sorted(HEAVY & sys.modules.keys())))
print(json.dumps(ends))
"""


def test_nothing_slow_is_imported_for_a_wrong_argument(tmp_path: Path) -> None:
    """Every command in one process: what an earlier one has imported, a later one would show."""
    (tmp_path / "run").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(WRONG)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    assert len(ends) == sum(map(len, WRONG.values()))
    for command, line, code, imported in ends:
        assert (code, imported) == (2, []), (command, line, done.stderr)
    assert done.stderr.count("error: ") == len(ends)
