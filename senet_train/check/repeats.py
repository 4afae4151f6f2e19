"""The same pixels in more than one file: leaks from test to training, copies, two labels."""

from collections.abc import Iterator, Mapping, Sequence

from senet_train.check.findings import Finding


def repeats(pixels: Mapping[str, str], train: str) -> Iterator[Finding]:
    """Findings from path -> hash of pixels; `train` is the name of the training part."""
    groups: dict[str, list[str]] = {}
    for path in sorted(pixels):
        groups.setdefault(pixels[path], []).append(path)
    for paths in groups.values():
        trained = [path for path in paths if path.startswith(f"{train}/")]
        tested = [path for path in paths if path not in trained]
        yield from within(tested, "duplicate in test")
        if tested:
            yield from leaks(trained, tested)
        else:
            yield from within(trained, "duplicate in training")


def leaks(trained: Sequence[str], tested: Sequence[str]) -> Iterator[Finding]:
    """Every training copy of a test image; that its label is another one is said too."""
    for path in trained:
        alike = [other for other in tested if class_of(other) == class_of(path)]
        detail = f"same pixels as {(alike or tested)[0]}"
        yield Finding("leak", path, detail + ("" if alike else ", of another class"))


def within(paths: Sequence[str], kind: str) -> Iterator[Finding]:
    """Copies in one part: all but the first of each class, and each class's first beside others."""
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
    """The class in part/class/name."""
    return path.split("/")[1]
