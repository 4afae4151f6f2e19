"""A whole check: walk the tree, decode what is new, and gather the findings."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from senet_train.commands.data_check.decode import DecodeResult, decode_all
from senet_train.commands.data_check.decode_cache import read_cache, write_cache
from senet_train.commands.data_check.findings import Finding, find_copies, to_exclude
from senet_train.commands.data_check.survey import ImageFile, Survey, survey
from senet_train.commands.progress_bar import progress_counter
from senet_train.data.layout import Layout, split_from

WRITE_EVERY_SECONDS = 60


@dataclass(frozen=True)
class TreeReport:
    """The result of a check; `cache_error` says why the cache could not be written, or is ""."""

    num_images: dict[str, int]  # of each part's folder, the training part first
    num_classes: int
    num_decoded: int
    findings: list[Finding]
    cache_error: str


def inspect_tree(layout: Layout, cache: Path, *, num_jobs: int, fresh: bool) -> TreeReport:
    """Check the tree; `cache` is a file that may be there."""
    seen = survey(layout)
    images = [image for part in seen.images.values() for image in part]
    known = {} if fresh else read_cache(cache)
    results = {image: known[image] for image in images if image in known}
    num_known = len(results)
    cache_error = decode_unknown(images, layout.base, results, cache, num_jobs)
    findings = seen.findings + list(decoding_findings(results))
    pixels = {image.name: result.pixels for image, result in results.items() if result.pixels}
    findings += find_copies(pixels, {image.name for image in seen.images["train"]})
    findings += small_classes(layout, seen, to_exclude(findings))
    return TreeReport(
        {layout.folders[part].name: len(found) for part, found in seen.images.items()},
        len(set().union(*seen.classes.values())),
        len(results) - num_known,
        sorted(findings),
        cache_error,
    )


def decode_unknown(
    images: Sequence[ImageFile],
    base: Path,
    results: dict[ImageFile, DecodeResult],
    cache: Path,
    num_jobs: int,
) -> str:
    """Decode the images that have no result yet and add theirs; the cache's error, or "".

    The cache is written every minute and at the end, also if the check is stopped: the next one
    then continues.
    """
    rest = {str(base / i.path): i for i in images if i not in results}
    cache_error, written_at = "", time.monotonic()
    try:
        with (
            progress_counter(len(rest), "decoded") as count,
            closing(decode_all(list(rest), num_jobs)) as found,
        ):
            for path, result in found:
                results[rest[path]] = result
                count(1)
                if time.monotonic() - written_at > WRITE_EVERY_SECONDS:
                    cache_error, written_at = try_to_write_cache(cache, results), time.monotonic()
    finally:
        if rest:
            cache_error = try_to_write_cache(cache, results)
    return cache_error


def try_to_write_cache(cache: Path, results: dict[ImageFile, DecodeResult]) -> str:
    """Write the cache; the error's text where that fails, else ""."""
    try:
        write_cache(cache, results)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def decoding_findings(results: dict[ImageFile, DecodeResult]) -> Iterator[Finding]:
    """The findings of each file by itself."""
    for image, result in results.items():
        if result.fault:
            yield Finding(result.fault, image.name, result.detail)
        elif result.mode != "RGB":
            yield Finding("not RGB", image.name, result.mode)
        yield from (Finding(kind, image.name, detail) for kind, detail in result.notes)


def small_classes(layout: Layout, seen: Survey, excluded: dict[str, str]) -> Iterator[Finding]:
    """Class folders that have too few images without the excluded ones."""
    for part, folder in layout.folders.items():
        least = len(split_from(layout)) if part == "train" else 1
        names = (image.name for image in seen.images[part] if image.name not in excluded)
        left = Counter(name.split("/")[-2] for name in names)
        for name in seen.classes[part]:
            if left[name] < least:
                yield Finding("too few images", f"{folder.name}/{name}", f"{left[name]} left")
