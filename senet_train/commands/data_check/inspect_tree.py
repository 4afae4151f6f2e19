"""A whole check: walk, decode what is new, compare, and say what was found."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from senet_train.commands.data_check.decode import Verdict, judged
from senet_train.commands.data_check.findings import Finding, repeats, to_exclude
from senet_train.commands.data_check.known import read_known, write_known
from senet_train.commands.data_check.survey import ImageFile, Survey, survey
from senet_train.commands.progress_bar import counted

KEEP_EVERY_SECONDS = 60


@dataclass(frozen=True)
class TreeReport:
    """What a check saw. `unkept` says why its verdicts could not be kept, "" if they were."""

    num_images: dict[str, int]  # of each part, the training part first
    num_classes: int
    num_decoded: int
    findings: list[Finding]
    unkept: str


def inspect_tree(
    parts: tuple[Path, Path], cache: Path, *, num_jobs: int, fresh: bool
) -> TreeReport:
    """Check the tree with these training and test folders; verdicts are kept in `cache`."""
    seen = survey(parts)
    known = {} if fresh else read_known(cache)
    verdicts = {image: known[image] for image in seen.images if image in known}
    num_known = len(verdicts)
    unkept = decode_rest(seen, parts[0].parent, verdicts, cache, num_jobs)
    findings = seen.findings + list(faults(verdicts))
    pixels = {image.path: verdict.pixels for image, verdict in verdicts.items() if verdict.pixels}
    findings += repeats(pixels, parts[0].name)
    findings += too_few(seen, to_exclude(findings))
    sizes = Counter(image.path.partition("/")[0] for image in seen.images)
    return TreeReport(
        {part: sizes[part] for part in seen.classes},
        len(set().union(*seen.classes.values())),
        len(verdicts) - num_known,
        sorted(findings),
        unkept,
    )


def decode_rest(
    seen: Survey, base: Path, verdicts: dict[ImageFile, Verdict], cache: Path, num_jobs: int
) -> str:
    """Add the missing verdicts; why they could not be kept, or "".

    They are kept every minute and on the way out, so that a check that is stopped goes on.
    """
    rest = {str(base / i.path): i for i in seen.images if i not in verdicts}
    unkept, kept_at = "", time.monotonic()
    try:
        with counted(len(rest), "decoded") as count, closing(judged(list(rest), num_jobs)) as found:
            for path, verdict in found:
                verdicts[rest[path]] = verdict
                count(1)
                if time.monotonic() - kept_at > KEEP_EVERY_SECONDS:
                    unkept, kept_at = keep(cache, verdicts), time.monotonic()
    finally:
        if rest:
            unkept = keep(cache, verdicts)
    return unkept


def keep(cache: Path, verdicts: dict[ImageFile, Verdict]) -> str:
    """Write the verdicts; why that could not be, or ""."""
    try:
        write_known(cache, verdicts)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def faults(verdicts: dict[ImageFile, Verdict]) -> Iterator[Finding]:
    """What decoding showed of each file alone."""
    for image, verdict in verdicts.items():
        if verdict.fault:
            yield Finding(verdict.fault, image.path, verdict.detail)
        elif verdict.mode != "RGB":
            yield Finding("not RGB", image.path, verdict.mode)


def too_few(seen: Survey, excluded: dict[str, str]) -> Iterator[Finding]:
    """Class folders that are too small once the exclusions are out."""
    paths = (image.path for image in seen.images if image.path not in excluded)
    left = Counter(path.rpartition("/")[0] for path in paths)
    for (part, names), least in zip(seen.classes.items(), (2, 1), strict=True):
        for folder in (f"{part}/{name}" for name in names):
            if left[folder] < least:
                yield Finding("too few images", folder, f"{left[folder]} left")
