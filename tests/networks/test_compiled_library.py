"""The compiled library: built once, checked before it is loaded, and done without where need be."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes.dying import SERVER
from support import needs_compiler, wait_for

from senet_train.cli import main
from senet_train.networks.hardware import choose_kernel
from senet_train.networks.kernels import library
from senet_train.system.signals import raise_on_signals

KERNEL_LINE = ("data=fake", "model=resnet20", "trainer.accelerator=cpu", "dry_run=true")


@pytest.fixture
def fresh_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache folder, and nothing remembered of earlier attempts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    """What this process remembers: the next attempt is as that of another process."""
    for function in (library.find_library, choose_kernel):
        function.cache_clear()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of this user's first library: compiled here once, it takes 4 s."""
    folder = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        forget()
        library.load_library()
        forget()
    return folder / "senet-train"


@pytest.fixture
def cached(fresh_library: Path, compiled: Path) -> Path:
    """The library in the cache folder of this test."""
    folder = library.cache_folder()
    shutil.copytree(compiled, folder, dirs_exist_ok=True)
    [path] = folder.glob("*.so")
    return path


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, compiled: Path) -> list[Path]:
    """Every build, which takes the compiled library instead of the time to compile it."""
    made: list[Path] = []

    def copy(compiler: str, path: Path) -> None:
        made.append(path)
        for file in compiled.iterdir():
            fresh = path.with_name(f"fresh{file.suffix}")  # another inode: it may be loaded already
            shutil.copy(file, fresh).replace(path.with_suffix(file.suffix))

    monkeypatch.setattr(library, "build", copy)
    return made


def test_without_a_compiler(
    fresh_library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(library, "COMPILERS", ("no-such-compiler",))
    argv = ["data=fake", "model=resnet20", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
    argv += [f"output_dir={fresh_library / 'outputs'}"]
    assert main([*argv, "trainer.kernel=folded"]) == 2
    assert "no C++ compiler" in capsys.readouterr().err
    assert not (fresh_library / "outputs").exists()
    assert main([*argv, "dry_run=true"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "kernel=joined" in line]
    assert len(lines) == 1


def test_without_a_home(fresh_library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(library.NoLibrary, match=r"no home folder|no C\+\+ compiler"):
        library.load_library()


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


@needs_compiler
def test_built_once(fresh_library: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [path.suffix for path in sorted(compiled.iterdir())] == [".sha256", ".so"]
    assert compiled.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled.parent))
    monkeypatch.setattr(library, "build", None)  # it would be called, and fail
    library.load_library()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9000])


def holed(path: Path) -> None:
    """As a power cut leaves a file: its size, and zeros in it."""
    content = bytearray(path.read_bytes())
    content[4096 : len(content) // 2] = bytes(len(content) // 2 - 4096)
    path.write_bytes(content)


def one_bit_changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def without_its_checksum(path: Path) -> None:
    path.with_suffix(".sha256").unlink()


def its_checksum_cut(path: Path) -> None:
    path.with_suffix(".sha256").write_bytes(b"\xff\x00")


DAMAGES = (cut, holed, one_bit_changed, emptied, without_its_checksum, its_checksum_cut)


@needs_compiler
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_library_is_built_anew(
    cached: Path, builds: list[Path], damage: Callable[[Path], None]
) -> None:
    """And not loaded: its code would end this process by a signal."""
    damage(cached)
    library.load_library()
    assert builds == [cached]
    forget()
    library.load_library()
    assert builds == [cached]  # once


@needs_compiler
def test_a_whole_library_is_loaded_as_it_is(cached: Path, builds: list[Path]) -> None:
    library.load_library()
    assert builds == []


@needs_compiler
def test_a_cache_that_damages_what_it_holds(
    cached: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One rebuild; then the other kernel, with a line, in this process and in the next."""
    built: list[str] = []
    monkeypatch.setattr(library, "COMPILERS", library.COMPILERS[:1])
    monkeypatch.setattr(library, "build", lambda compiler, path: built.append(compiler))
    cut(cached)
    for _ in range(2):
        forget()
        assert main(KERNEL_LINE) == 0
        [line] = [line for line in capsys.readouterr().err.splitlines() if "kernel=" in line]
        assert "trainer.kernel=joined" in line
        assert "is not read as it was written" in line
    assert len(built) == 1


@needs_compiler
def test_a_source_that_does_not_compile(
    fresh_library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is tried once an hour, and what was complained of is said each time."""
    broken = tmp_path / "broken.cpp"
    broken.write_text("this is no C++\n")
    monkeypatch.setattr(library, "SOURCE", broken)
    with pytest.raises(library.NoLibrary, match=r"broken\.cpp"):
        library.load_library()
    marks = list(library.cache_folder().iterdir())
    assert {path.suffix for path in marks} == {".failed"}
    forget()
    tried = compilations(monkeypatch)
    with pytest.raises(
        library.NoLibrary, match=r"broken\.cpp.*0 min ago, delete .*\.failed to try"
    ):
        library.load_library()
    assert tried == []
    for mark in marks:
        os.utime(mark, (time.time() - library.REMEMBERED_SECONDS - 1,) * 2)
    forget()
    with pytest.raises(library.NoLibrary, match=r"broken\.cpp"):
        library.load_library()
    assert len(tried) == len(marks)


def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on, the compiler of every compilation."""
    tried: list[str] = []
    compile_in = library.compile_in

    def counted(folder: str, command: list[str]) -> None:
        tried.append(command[0])
        compile_in(folder, command)

    monkeypatch.setattr(library, "compile_in", counted)
    return tried


@needs_compiler
def test_a_full_cache_is_not_compiled_for_in_every_process(
    fresh_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no room for the words of the failure either."""
    tried: list[str] = []

    def no_room(folder: str, command: list[str]) -> None:
        tried.append(command[0])
        raise OSError(28, "No space left on device")

    def empty(path: Path, *content: object, **named: object) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(library, "compile_in", no_room)
    monkeypatch.setattr(Path, "write_text", empty)
    for _ in range(3):
        forget()
        with pytest.raises(library.NoLibrary):
            library.load_library()
    assert len(tried) == len(set(tried))  # each compiler once


@needs_compiler
def test_a_library_that_cannot_be_loaded_is_remembered(
    fresh_library: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cache is mounted noexec, say."""

    def noexec(name: str) -> None:
        raise OSError(f"{name}: failed to map segment from shared object")

    monkeypatch.setattr(library.ctypes, "CDLL", noexec)
    monkeypatch.setattr(library, "COMPILERS", library.COMPILERS[:1])
    for _ in range(2):
        forget()
        with pytest.raises(library.NoLibrary, match="failed to map segment"):
            library.load_library()
    assert len(builds) == 1


@needs_compiler
def test_the_second_compiler_is_tried(
    fresh_library: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "COMPILERS", ("false", *library.COMPILERS))
    library.load_library()
    assert len(builds) == 1


@needs_compiler
def test_a_library_from_others_is_not_loaded(fresh_library: Path) -> None:
    (fresh_library / "senet-train").mkdir()
    (fresh_library / "senet-train").chmod(0o777)
    with pytest.raises(library.NoLibrary, match="can be written by others"):
        library.load_library()


def test_there_is_a_compiler_where_there_is_one() -> None:
    """The skips above must not hide a broken build."""
    if any(map(shutil.which, library.COMPILERS)):
        library.load_library()


def compile_in(folder: Path, *command: str) -> None:
    """What a process of its own does, until a signal comes."""
    with (folder / "printed").open("ab") as file:
        os.dup2(file.fileno(), 2)
    with raise_on_signals():
        library.compile_in(str(folder), [*command])


def test_a_signal_ends_what_the_compiler_has_started(
    tmp_path: Path, warm_fork_server: None
) -> None:
    """The driver of a compiler starts others, which went on for seconds and left their files."""
    started = tmp_path / "started"
    script = f"sleep 60 & echo $! > {started}; wait"
    process = SERVER.Process(target=compile_in, args=(tmp_path, "sh", "-c", script))
    process.start()
    try:
        wait_for(lambda: started.exists() and started.read_text().strip() != "")
        process.terminate()
        process.join(30)
    finally:
        process.kill()
    assert "Interrupted: SIGTERM" in (tmp_path / "printed").read_text()
    wait_for(lambda: not Path(f"/proc/{started.read_text().strip()}").exists(), seconds=5)
