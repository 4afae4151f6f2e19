"""Names of files and folders, and lengths of paths, that Windows does not take."""

import re
import sys

LONGEST_PATH = 259  # characters, of Windows as it is installed
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
# Devices, in any folder and with anything behind a dot; the last are superscripts.
DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\xb9\xb2\xb3])\s*", re.I)


def possible(name: str) -> str:
    """The name, where this system takes it; on Windows it may be a similar one."""
    return for_windows(name) if sys.platform == "win32" else name


def for_windows(name: str) -> str:
    """`a:b` -> `a_b`, `con.old` -> `con_.old`, `a. ` -> `a__`; any other name is as it was.

    Windows drops dots and spaces at the end, and takes `con.old` for a device.
    """
    name = FORBIDDEN.sub("_", name)
    bare = name.rstrip(". ")
    name = bare + "_" * (len(name) - len(bare))
    stem, dot, rest = name.partition(".")
    return f"{stem}_{dot}{rest}" if DEVICE.fullmatch(stem) else name


def longest_path() -> int:
    """The characters that a path may have: Windows takes longer ones where that is switched on."""
    if sys.platform != "win32":
        return sys.maxsize
    else:
        import winreg

        place = r"SYSTEM\CurrentControlSet\Control\FileSystem"
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
                switched_on, _ = winreg.QueryValueEx(key, "LongPathsEnabled")
        except OSError:  # of before Windows 10
            switched_on = 0
        return sys.maxsize if switched_on else LONGEST_PATH
