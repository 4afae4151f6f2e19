"""Names of files and folders in a tree of images: which are images, which a system left there."""

import os
import unicodedata

from senet_train.data.image_files import EXTENSIONS

# What NAS boxes, archivers and systems leave behind; hidden folders are left out too.
FOREIGN_FOLDERS = (
    *("#recycle", "$recycle.bin", "@eadir", "__macosx", "__pycache__", "lost+found"),
    "system volume information",
)

FOREIGN_FILES = ("desktop.ini", "ehthumbs.db", "icon\r", "thumbs.db")


def is_image_name(name: str) -> bool:
    """Whether a file of this name is listed as an image."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def is_foreign(name: str) -> bool:
    """Whether it is hidden, or a folder that a system left there."""
    return name.startswith(".") or name.lower() in FOREIGN_FOLDERS


def ending(name: str) -> str:
    """The ending of a file's name, in lower case, or "no ending"."""
    return os.path.splitext(readable(name))[1].lower() or "no ending"


def readable(path: str) -> str:
    """A path as text. Bytes that are no UTF-8, from archives of old systems, are read as Latin-1.

    Letters with accents are composed (NFC): a Mac writes them in two characters.
    """
    raw = os.fsencode(path)
    try:
        return composed(raw.decode())
    except UnicodeDecodeError:
        return composed(raw.decode("latin-1"))


def composed(text: str) -> str:
    """Text in Unicode's form NFC."""
    return unicodedata.normalize("NFC", text)
