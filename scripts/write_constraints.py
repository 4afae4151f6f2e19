"""Resolve the dependencies anew and pin them: constraints.txt for pip, pyproject.toml for uv.

    uv run scripts/write_constraints.py

uv reads no constraints file, so the same lines stand in `[tool.uv] constraint-dependencies`; a
test compares the two. No line names a registry.
"""

import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"constraint-dependencies = \[\n(?:    .*\n)*\]\n")
COMPILE = (
    "uv pip compile --universal --python-version 3.11 --group dev --group docs --all-extras "
    "--no-header --no-annotate --no-emit-index-url --quiet pyproject.toml"
)


def main() -> None:
    """Rewrite both files."""
    project = ROOT / "pyproject.toml"
    text = project.read_text()
    lines = resolve(BLOCK.sub("constraint-dependencies = [\n]\n", text))
    (ROOT / "constraints.txt").write_text("".join(f"{line}\n" for line in lines))
    block = "".join(f'    "{line}",\n' for line in lines)
    project.write_text(BLOCK.sub(lambda _: f"constraint-dependencies = [\n{block}]\n", text))


def resolve(pyproject: str) -> list[str]:
    """`name==version ; marker` for everything the project needs, with the groups dev and docs."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(pyproject)
        done = subprocess.run(COMPILE.split(), cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [line for line in done.stdout.splitlines() if line and not line.startswith("#")]


if __name__ == "__main__":
    main()
