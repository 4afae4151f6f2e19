"""Runs commands on damaged copies of a table of runs, and says what they did that they must not."""

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from damaged_files import DAMAGES, Damage, Other, no_permission, state_of

SECONDS, CPU_SECONDS, BYTES = 60, 15, 16 << 20  # of one command
MADE_BY_THE_CASE = 4 << 30  # bytes; a larger file is the damage, not what a command wrote

Command = tuple[Callable[[Path], int], bool]  # of a run; whether the run's folder is its own


class Fuzz:
    """Damages copies of a table, one case after the other, and remembers what was not as it is."""

    def __init__(
        self,
        commands: Mapping[str, Command],
        table: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.commands, self.table, self.tmp_path, self.capsys = commands, table, tmp_path, capsys
        self.num_cases, self.found = 0, list[str]()
        self.codes = Counter[object]()
        [self.before] = (table / "before").glob("outputs/*/*a489505d/seed0")

    def try_case(self, file: str, kind: str, command: str, damage: Damage | None = None) -> None:
        """One file, damaged in one way, before one command."""
        base = self.tmp_path / str(self.num_cases)
        self.num_cases += 1
        (base / "outside").mkdir(parents=True)
        shutil.copytree(self.table / "outputs", base / "outputs")
        shutil.copy(self.table / "image.png", base)
        another, run = sorted(base.glob("outputs/*/*/seed0"))
        target = run / file
        (damage or DAMAGES[kind])(target, file, Other(self.before, another, base / "outside"))
        wrong = self.run_command(base, run, target, kind, command)
        self.found += [f"{command}, {file} {kind}: {line}" for line in wrong]
        shutil.rmtree(base)

    def run_command(
        self, base: Path, run: Path, target: Path, kind: str, command: str
    ) -> list[str]:
        """What the command did that it must not do, in words."""
        call, own_folder = self.commands[command]
        before, start = state_of(base), time.process_time()
        with ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.chdir(base)
            if kind == "unreadable":
                stack.enter_context(no_permission(Path(os.path.abspath(target))))
            stack.enter_context(alarm(SECONDS))
            try:
                code: object = call(run.relative_to(base))
            except BaseException as error:
                code = f"{type(error).__name__}: {error}"
        self.codes[code] += 1
        printed = self.capsys.readouterr()
        wrong = self.wrong_end(code, printed.err, command)
        if time.process_time() - start > CPU_SECONDS:
            wrong.append(f"took {time.process_time() - start:.1f} s of the processor")
        return wrong + wrong_writes(before, base, run, own_folder)

    def wrong_end(self, code: object, err: str, command: str) -> list[str]:
        """What is wrong with the exit code and the lines on standard error."""
        writes_to_the_run = self.commands[command][1]
        allowed = (0, 1, 2) if writes_to_the_run else (0, 2, 3)
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        wrong = [] if code in allowed else [f"ended with {code}"]
        if "Traceback" in err:
            wrong.append("a traceback")
        if isinstance(code, int) and len(errors) != (code != 0):
            wrong.append(f"exit code {code} and {len(errors)} lines of error")
        return wrong + [f"not for a user: {line}" for line in errors if "Error:" in line]

    def report(self) -> None:
        """Say what was found; fails if anything was."""
        codes = ", ".join(f"{number} ended with {code}" for code, number in self.codes.items())
        print(f"{self.num_cases} cases ({codes}), {len(self.found)} found")
        assert not self.found, "\n".join(self.found)


@contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the block if it takes longer: what hangs fails and does not wait."""

    def stop(signum: int, frame: object) -> None:
        raise TimeoutError(f"hangs: over {seconds} s")

    usual = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)


def wrong_writes(
    before: dict[str, tuple[int, int, int]], base: Path, run: Path, own_folder: bool
) -> list[str]:
    """What was written beside the command's own output and, if it is its own, the run's folder."""
    after = state_of(base)
    own = [os.path.relpath(base / "out", base)]
    if own_folder:
        own.append(os.path.relpath(run.parent, base))
    changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    foreign = [p for p in sorted(changed) if not any(p == o or p.startswith(f"{o}/") for o in own)]
    foreign = [path for path in foreign if not path.endswith("/.aside")]
    grown = sum(a[1] for p, a in after.items() if p in changed and a[1] < MADE_BY_THE_CASE)
    wrong = [f"touched {path}" for path in foreign if path != "outputs/.aside"]
    return wrong + ([f"wrote {grown:,} bytes"] if grown > BYTES else [])
