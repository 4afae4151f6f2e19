"""For the modules of senet-train alone, this Linux is a Windows.

What they import by `import` is another module: one without what Windows has not, and with what it
has. `sys.platform` is "win32" for them, so that they go the ways that they go there. Libraries see
the Linux that is there: what they do on Windows is not shown by this. Nor are Windows' paths, its
files and its console: of those it shows that nothing is renamed or deleted while this process has
it open, that no name is forbidden there, that every text has an encoding, and that locks, stops and
new processes need no signal of POSIX.
"""

import builtins
import errno
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import warnings
from collections import namedtuple
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

OURS = ("senet_train", "hydra_plugins")
MISSING = ("fcntl", "resource", "termios", "pwd", "grp", "pty", "tty", "syslog", "posix")
# Of the module os; mypy --platform win32 knows all of them.
NOT_IN_OS = re.compile(
    r"(get|set)(res|e)?[ug]id|[gs]etgroups|[gs]etpgid|[gs]etpgrp|[gs]etsid|getloadavg|killpg|fork|"
    r"forkpty|register_at_fork|wait(3|4|id)?|sysconf(_names)?|f?pathconf(_names)?|"
    r"f?statvfs|lockf|mkfifo|mknod|[lf]?chown|uname|sched_.*|nice|openpty|p(read|write)v?|posix_.*|"
    r"sendfile|ctermid|tc[gs]etpgrp|ttyname|sync|memfd_.*|W[A-Z]+|F_(?!OK).*|"
    r"O_(CLOEXEC|NOFOLLOW|NONBLOCK|DIRECTORY|SYNC|DSYNC|NOCTTY|NDELAY|PATH|DIRECT|TMPFILE)"
)
SIGNALS = ("SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV", "SIGBREAK")
NOT_IN_SIGNAL = re.compile(
    r"SIG(?!_DFL|_IGN|nals)[A-Z0-9_]+|pthread_.*|pause|alarm|[gs]etitimer|ITIMER_.*|sig(wait|pending).*|"
    r"sigtimedwait|siginterrupt"
)
FORBIDDEN = re.compile(  # of Microsoft's page "Naming Files, Paths, and Namespaces"
    r'.*[<>:"|?*\\\x00-\x1f].*|(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?|.*[. ]', re.I | re.S
)

PRETENDED: dict[str, ModuleType] = {}


def install() -> None:
    """From now on, in this process. Those that it starts do so by `installed/sitecustomize.py`."""
    for name in ("replace", "rename", "unlink", "remove", "rmdir"):
        setattr(os, name, refusing_what_is_open(getattr(os, name)))
    PRETENDED.update(
        os=copy_of(os, NOT_IN_OS, {"O_BINARY": 0, "O_NOINHERIT": os.O_CLOEXEC, "kill": kill}),
        signal=copy_of(signal, NOT_IN_SIGNAL, signals_of_windows()),
        select=copy_of(__import__("select"), re.compile("e?poll.*|kqueue"), {}),
        subprocess=copy_of(
            subprocess,
            re.compile("$."),
            {"CREATE_NEW_PROCESS_GROUP": 0x200, "Popen": PopenOfWindows},
        ),
        multiprocessing=copy_of(
            multiprocessing,
            re.compile("forkserver|resource_tracker"),
            {"get_context": get_context, "set_start_method": set_start_method},
        ),
        ctypes=copy_of(__import__("ctypes"), re.compile("$."), {"WinDLL": Kernel}),
        psutil=copy_of(psutil, re.compile("$."), {"Process": ProcessOfWindows}),
        msvcrt=made("msvcrt", {"LK_NBLCK": 2, "LK_UNLCK": 0, "locking": locking}),
        winreg=made("winreg", {"HKEY_LOCAL_MACHINE": 0, "OpenKey": open_key}),
        sys=SysOfWindows("sys"),
    )
    multiprocessing.set_start_method("spawn", force=True)  # of libraries, too
    builtins.__import__ = import_as_on_windows
    sys.addaudithook(refuse_forbidden_names)
    warnings.filterwarnings("ignore", category=EncodingWarning)
    warnings.filterwarnings("error", category=EncodingWarning, module=r"senet_train\b")


real_import = builtins.__import__


def import_as_on_windows(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: tuple[str, ...] = (),
    level: int = 0,
) -> ModuleType:
    """In the place of `__import__`, which every `import` calls."""
    if level or not is_ours(str((globals or {}).get("__name__", ""))):
        return real_import(name, globals, locals, fromlist, level)
    parts = {*(fromlist or ())} & {"forkserver", "resource_tracker"}
    if name in MISSING or (name == "multiprocessing" and parts):
        raise ModuleNotFoundError(f"Windows has no {name} {fromlist or ''}", name=name)
    return PRETENDED.get(name) or real_import(name, globals, locals, fromlist, level)


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in OURS


def copy_of(module: ModuleType, missing: re.Pattern[str], own: Mapping[str, object]) -> ModuleType:
    """The module without some names and with others."""
    names = {name: value for name, value in vars(module).items() if not missing.fullmatch(name)}
    return made(module.__name__, {**names, **own})


def made(name: str, content: Mapping[str, object]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    return module


class SysOfWindows(ModuleType):
    """The module sys, but for its platform."""

    platform = "win32"

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(sys, name, value)


def kill(pid: int, signum: int) -> None:
    raise AssertionError(
        "os.kill sends Ctrl-C, which is 0, or Ctrl-Break; any other number ends the process"
    )


def signals_of_windows() -> dict[str, object]:
    """The numbers of signal.h there; SIGBREAK has that of one that nobody sends here."""
    numbers = {name: getattr(signal, name) for name in SIGNALS[:-1]} | {
        "SIGBREAK": signal.SIGTTIN,
        "CTRL_C_EVENT": 0,
        "CTRL_BREAK_EVENT": 1,
    }

    def set_handler(signum: int, handler: object) -> object:
        if signum not in [numbers[name] for name in SIGNALS]:
            raise ValueError(f"signal {signum} does not exist on Windows")
        return signal.signal(signum, handler)  # type: ignore[arg-type]

    return {**numbers, "signal": set_handler}


class PopenOfWindows(subprocess.Popen):  # type: ignore[type-arg]
    """With the flag of Windows, in the place of a session."""

    def __init__(
        self, *arguments: Any, creationflags: int = 0, start_new_session: bool = False, **named: Any
    ) -> None:
        assert creationflags in (0, 0x200)
        super().__init__(*arguments, process_group=0 if creationflags else None, **named)

    def send_signal(self, sig: int) -> None:
        """Of subprocess on Windows: SIGTERM ends it, the events go to its group, others raise."""
        raise AssertionError("Windows sends no signal to another process")

    def kill(self) -> None:
        super().send_signal(signal.SIGKILL)

    terminate = kill


def get_context(method: str | None = None) -> object:
    if method not in (None, "spawn"):
        raise ValueError(f"cannot find context for {method!r}")
    return multiprocessing.get_context("spawn")


def set_start_method(method: str | None, force: bool = False) -> None:
    assert method in (None, "spawn")
    multiprocessing.set_start_method("spawn", force=force)


class Kernel:
    """kernel32.dll."""

    before: Any = signal.SIG_DFL

    def __init__(self, name: str) -> None:
        assert name == "kernel32"

    def SetConsoleCtrlHandler(self, handler: None, ignore: bool) -> None:
        """As processes inherit it there, so they inherit a signal that is ignored."""
        assert handler is None
        if ignore:
            Kernel.before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        else:
            signal.signal(signal.SIGINT, Kernel.before)


class ProcessOfWindows(psutil.Process):
    def memory_info(self) -> Any:
        found = super().memory_info()
        return namedtuple("pmem", ["rss", "peak_wset"])(found.rss, found.rss)


def locking(descriptor: int, mode: int, length: int) -> None:
    """`msvcrt.locking`: from the position of the file on. Nobody else can read what is locked."""
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    assert place >= os.fstat(descriptor).st_size, "the content is locked"
    try:
        os.lockf(descriptor, os.F_ULOCK if mode == 0 else os.F_TLOCK, length)
    except (BlockingIOError, PermissionError):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def open_key(*arguments: object) -> None:
    raise FileNotFoundError


def refusing_what_is_open(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that renames or deletes, as Windows has it: not what this process has open."""

    def refuse(path: object, *more: object, **named: object) -> Any:
        if called_by_us():
            for one in (path, *more):
                if used := [
                    open_path
                    for open_path in opened()
                    if open_path.is_relative_to(os.path.realpath(str(one)))
                ]:
                    error = PermissionError(
                        errno.EACCES, f"this process has {used[0]} open", str(one)
                    )
                    error.winerror = 32  # type: ignore[attr-defined]
                    raise error
        return function(path, *more, **named)

    return refuse


def called_by_us() -> bool:
    """Whether a module of senet-train calls, itself or by pathlib or shutil."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name not in (__name__, "pathlib", "shutil", "contextlib"):
            return is_ours(name)
        frame = frame.f_back  # type: ignore[assignment]
    return False


def opened() -> set[Path]:
    """The files that this process has open, or mapped into its memory."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(link.readlink())
        except FileNotFoundError:  # of the listing itself
            continue
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    return found | {Path(line.split(maxsplit=5)[5]) for line in mapped if "/" in line}


def refuse_forbidden_names(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: no file or folder below the working folder has a name that Windows forbids."""
    if event in ("open", "os.mkdir", "os.rename"):
        for path in arguments[: 2 if event == "os.rename" else 1]:
            if isinstance(path, str | os.PathLike):
                parts = Path(os.path.relpath(os.path.abspath(path))).parts
                if parts[:1] != ("..",):
                    bad = [part for part in parts if FORBIDDEN.fullmatch(part)]
                    assert not bad, f"Windows forbids the name {bad[0]} of {path!s}"
