"""The kinds of finding of a check, the remedy of each, and copies among images."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# exclude: goes into the list of exclusions; mend: a person has to repair it; note: training copes.
Remedy = Literal["exclude", "mend", "note"]


# In the order of the report.
KINDS: dict[str, tuple[Remedy, str]] = {
    "leak": ("exclude", "a test or validation image in training: the training copy goes"),
    "duplicate in training": ("exclude", "validation is split from it: one copy stays"),
    "unreadable": ("exclude", "not an image, or a damaged one"),
    "truncated": ("exclude", "the file ends early"),
    "zero bytes": ("exclude", "an empty file"),
    "too many pixels": ("exclude", "a decompression bomb, or as large as one"),
    "ends its decoder": ("exclude", "the process that decodes it dies"),
    "broken link": ("exclude", "what it points to is gone"),
    "symlink loop": ("exclude", "a link that leads to itself"),
    "no regular file": ("exclude", "a pipe, a socket or a device"),
    "two classes": ("mend", "one picture under two labels: one is wrong"),
    "class in one part only": ("mend", "all parts need the same classes"),
    "one class": ("mend", "two or more are needed"),
    "names alike": ("mend", "class names that differ in case or in spaces alone: most likely one"),
    "one name twice": ("mend", "two folders that are called the same: join them"),
    "too few images": ("mend", "each of training, validation and test needs one of a class"),
    "folder in a class": ("mend", "images lie in their class folder"),
    "folder loop": ("mend", "a link to a folder that holds it"),
    "not opened": ("mend", "the system cannot open it"),
    "odd name": ("mend", "with a control character: rename it"),
    "duplicate in test": ("note", "counts more than once"),
    "not RGB": ("note", "trained on as RGB"),
    "deep": ("note", "more than 8 bits: the highest of data.bit_depth bits is shown as white"),
    "16-bit colour": ("note", "the upper 8 bits of each value are used"),
    "narrow range": ("note", "nearly one colour"),
    "transparent": ("note", "shown on white"),
    "turned": ("note", "shown upright"),
    "colour profile": ("note", "not applied"),
    "several pictures": ("note", "in one file: the first is used"),
    "elongated": ("note", "data.fit=crop sees its middle, resize and pad see all of it"),
    "name not UTF-8": ("note", "read as Latin-1"),
    "hidden file": ("note", "left out of training"),
    "hidden folder": ("note", "or one that a system left there: left out of training"),
    "no image ending": ("note", "left out of training"),
    "beside the classes": ("note", "left out of training"),
}


@dataclass(frozen=True, order=True)
class Finding:
    """One fault or oddity; `path` is relative to the root of the tree."""

    kind: str
    path: str
    detail: str = ""

    @property
    def remedy(self) -> Remedy:
        """What is to be done about it: exclude, mend or note."""
        return KINDS[self.kind][0]


def to_exclude(findings: Iterable[Finding]) -> dict[str, str]:
    """Path -> reason, of everything that goes into the list of exclusions."""
    reasons: dict[str, list[str]] = {}
    for finding in sorted(findings, key=lambda each: list(KINDS).index(each.kind)):
        if finding.remedy == "exclude":
            reason = f"{finding.kind}: {finding.detail}" if finding.detail else finding.kind
            reasons.setdefault(finding.path, []).append(reason)
    return {path: "; ".join(each) for path, each in reasons.items()}


def find_copies(pixels: Mapping[str, str], trained_on: Container[str]) -> Iterator[Finding]:
    """Leaks and duplicates, from path -> hash of pixels; `trained_on` are paths of training."""
    groups: dict[str, list[str]] = {}
    for path in sorted(pixels):
        groups.setdefault(pixels[path], []).append(path)
    for paths in groups.values():
        trained = [path for path in paths if path in trained_on]
        tested = [path for path in paths if path not in trained_on]
        yield from copies_in_part(tested, "duplicate in test")
        if tested:
            yield from leaks(trained, tested)
        else:
            yield from copies_in_part(trained, "duplicate in training")


def leaks(trained: Sequence[str], tested: Sequence[str]) -> Iterator[Finding]:
    """Every training copy of a test image; the detail says so if its label is another one."""
    for path in trained:
        alike = [other for other in tested if class_of(other) == class_of(path)]
        detail = f"same pixels as {(alike or tested)[0]}"
        yield Finding("leak", path, detail + ("" if alike else ", of another class"))


def copies_in_part(paths: Sequence[str], kind: str) -> Iterator[Finding]:
    """Copies in one part: all but the first of each class, and copies in several classes."""
    first: dict[str, str] = {}
    for path in paths:
        if class_of(path) in first:
            yield Finding(kind, path, f"same pixels as {first[class_of(path)]}")
        else:
            first[class_of(path)] = path
    if len(first) > 1:
        for path in first.values():
            others = ", ".join(other for other in first.values() if other != path)
            yield Finding("two classes", path, f"same pixels as {others}")


def class_of(path: str) -> str:
    """The class in [part/]class/name."""
    return path.split("/")[-2]
