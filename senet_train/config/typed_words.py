"""Words as a person types them -> words that Hydra reads as they are meant.

Hydra's grammar gives a meaning to spaces, quotes and `( ) [ ] { } = # , ~ &`, and reads `1_1` as 11
and `1e3` as 1000.0. A path or the name of a class folder means itself.
"""

import re
import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, OverrideParseException

# Keys whose value is text: a path, a name, a pattern.
TEXT_KEYS = ("data.root", "data.exclude", "model.pretrained", "output_dir", "placement.modules")
NAME_LIST_KEYS = ("data.classes",)
PLAIN_LIST = re.compile(r"\[[^\[\]{}'\"$()\\]*\]")  # without lists, quotes or functions inside
PLAIN_TEXT = re.compile(r"[^\[\]{}'\"$()]*")
ANY_LIST = re.compile(r"^\[.*\]$", re.DOTALL)
WINDOWS_PATH = re.compile(r"\\\\[^\\]|[A-Za-z]:\\")  # \\server\share, C:\data
KEY = re.compile(r"[+~]*[A-Za-z_][\w./@-]*")
SETTING = r"[+~]?[A-Za-z_][\w./@-]*=[^\[\]{}'\"$()\\,\s]*"
A_TABLE = """'arms=[["attention=none"],["attention=se","ratio=4"]]'"""
# A table as it comes from a shell that has taken its quotes away.
BARE_ARMS = re.compile(rf"\[(?:\[{SETTING}(?:,{SETTING})*\],?)+\]")


def key_of(setting: str) -> str:
    """`+data.flip=true` -> `data.flip`; `a@b=c` -> `a`."""
    return setting.lstrip("+~").partition("=")[0].partition("@")[0]


def of_logger(setting: str) -> bool:
    """Whether a setting chooses the logger, or is one of its own: `logger=csv`, `+logger.x=1`."""
    return key_of(setting).partition(".")[0] == "logger"


def as_meant(words: Sequence[str]) -> list[str]:
    """Each setting with the quotes that its text needs; all else is left as it is."""
    return [quoted_where_needed(word) for word in words]


def quoted_where_needed(word: str) -> str:
    """`data.root=photos (1)` -> `data.root="photos (1)"`; `data.classes=[1_1]` -> `["1_1"]`.

    `arms=[[ratio=4],[ratio=8]]` -> `[["ratio=4"],["ratio=8"]]`.
    """
    key, sign, value = word.partition("=")
    if sign and key_of(word) in TEXT_KEYS:
        return f"{key}={text_as_meant(value, key_of(word))}"
    if sign and key == "arms" and BARE_ARMS.fullmatch(value):
        return f"{key}={re.sub(SETTING, lambda setting: quoted(setting[0]), value)}"
    if sign and key_of(word) in NAME_LIST_KEYS:
        lists = PLAIN_LIST if is_readable(word) else ANY_LIST
        return f"{key}={lists.sub(names_as_meant, value)}"
    return word


def is_readable(word: str) -> bool:
    """Whether Hydra's grammar has a meaning for the word."""
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True


def text_as_meant(text: str, key: str) -> str:
    """The text, in quotes where Hydra would read something else, or nothing at all.

    Of several values (`a,b`) each is read so. `choice(a,b)`, what is in quotes and what is escaped
    stay as they are.
    In a path of Windows a backslash escapes nothing: Hydra would read `\\\\server` as `\\server`.
    """
    try:
        found = OverridesParser.create().parse_override(f"{key}={text}")
    except HydraException:
        return quoted(text)
    if found.is_sweep_override():
        each = text.split(",") if PLAIN_TEXT.fullmatch(text) else []
        return ",".join(text_as_meant(one.strip(), key) for one in each) or text
    value: Any = found.value()
    if isinstance(value, str):
        escaped = "\\" in text and not WINDOWS_PATH.match(text)
        return text if value == text or text[:1] in ("'", '"') or escaped else quoted(text)
    is_answer = isinstance(value, bool) and key == "model.pretrained"
    return text if is_answer or isinstance(value, list | dict) else quoted(text)


def names_as_meant(names: re.Match[str]) -> str:
    """`[cat,1_1,golden (old)]` -> `[cat,"1_1","golden (old)"]`; `[]` and `[1,2]` as they are."""
    each = names[0][1:-1].split(",")
    return f"[{','.join(map(name_as_meant, each))}]" if any(each) else names[0]


def name_as_meant(name: str) -> str:
    """A name in a list, in quotes where Hydra would read a number, a truth value or nothing."""
    name = name.strip()
    try:
        value = OverridesParser.create().parse_override(f"name={name}").value()
    except HydraException:
        return quoted(name)
    same = isinstance(value, str | int) and not isinstance(value, bool) and str(value) == name
    return name if same else quoted(name)


def quoted(text: str) -> str:
    """The text as Hydra reads it in quotes."""
    return QuotedString(text, Quote.double).with_quotes()


def unreadable(error: OverrideParseException) -> str:
    """Why Hydra cannot read a word, with the word that would mean its text."""
    word = str(error.override)
    key, sign, value = word.partition("=")
    if not sign or not KEY.fullmatch(key):
        return f"{word} is no setting: write key=value (and a list as key=[a,b])"
    if unknown := re.search(r"Unknown function '(\w+)'", str(error)):
        return (
            f"{word}: there is no function {unknown[1]} here; there are choice(a,b), "
            "range(start,stop,step), interval(low,high) and glob(pattern)"
        )
    if value.endswith(","):
        return f"{word} ends with a comma: write the values with no space between them"
    if key == "arms":
        return f"{word} is no table: each setting is a text in quotes, as in {A_TABLE}"
    return f"{word} has signs that mean something else here: write {in_quotes(key, value)}"


def ambiguous(word: str) -> str:
    """What can be done about `ratio=4,8` without --multirun."""
    key, _, value = word.partition("=")
    a_list = "" if key_of(word) in TEXT_KEYS else f" write {key}=[{value}] for a list,"
    return (
        f"{word} is several values: add --multirun (or -m) to train each,{a_list} or write "
        f"{in_quotes(key, value)} for one text with commas"
    )


def in_quotes(key: str, value: str) -> str:
    """The word as it is typed in a shell, its value in quotes for Hydra."""
    return shlex.quote(f"{key}={quoted(value)}")
