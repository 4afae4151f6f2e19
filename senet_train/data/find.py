"""Find the data set that `data=` names, and refuse settings that it cannot satisfy."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pkgutil import resolve_name

from senet_train.config.image_size import shorter_side, typed_size
from senet_train.config.options import bind, keyword_options, look_up
from senet_train.config.schema import Choice, Data
from senet_train.data.framing import refuse_test_frame, resolve_sizes
from senet_train.data.images import Source
from senet_train.data.policies import resolve_augment
from senet_train.data.workers import num_workers
from senet_train.errors import InputError, RunError

# What `data.name` may say: the file and its `source(*, options)`, which finds the data and returns
# a `Source`. Further names come from the entry points `senet_train.data`.
NAMES = {
    "cifar10": "cifar:cifar10",
    "cifar100": "cifar:cifar100",
    "digits": "digits:digits",
    "fake": "fake:fake",
    "imagenet_subset": "imagenet_subset:imagenet_subset",
}
SOURCES: dict[str, Callable[..., Source]] = {
    name: resolve_name(f"senet_train.data.{where}") for name, where in NAMES.items()
}


def find_data(
    data: Data, sources: Mapping[str, Callable[..., Source]] = SOURCES
) -> tuple[Source, Data]:
    """The data set, found and not yet read; its options in full. Raises InputError.

    `data.workers=auto` becomes a number: 0 where there are no files to read.
    """
    constructor = look_up(data.source.name, sources, "data", "senet_train.data")
    data = resolve_sizes(resolve_augment(data))
    asked, data = data.workers, replace(data, workers=num_workers(data))
    wanted = set(keyword_options(constructor)) & (set(Data.__dataclass_fields__) - {"source"})
    shared = {key: getattr(data, key) for key in wanted}
    choice = Choice(data.source.name, data.source.options | shared)
    bound, full = bind(choice, sources, "data", "senet_train.data")
    source: Source = bound()
    refuse_storage(data, source)
    refuse_test_frame(data, from_files=source.from_files)
    refuse_padding(data)
    own = {key: value for key, value in full.options.items() if key not in shared}
    if "classes" in own:  # all, a name or a list in any order: the same classes are the same run
        own["classes"] = list(source.class_names)
    if asked == "auto" and not source.from_files:
        data = replace(data, workers=0)
    return source, replace(data, source=Choice(data.source.name, own))


def refuse_changed(
    data: Data, source: Source, sources: Mapping[str, Callable[..., Source]] = SOURCES
) -> None:
    """Raises RunError if the files are no longer what they were when the data set was found."""
    if source.from_files and find_data(data, sources)[0].fingerprint != source.fingerprint:
        raise RunError(
            "the images have changed since the run was begun, and it has seen some of both: "
            "the same line again makes a run of those that are there now"
        )


def refuse_storage(data: Data, source: Source) -> None:
    """Refuse a crop, a fit or a cache that the source does not support. Raises InputError."""
    if data.cache == "stream" and not source.from_files:
        raise InputError(
            f"data.cache=stream reads image files and {data.source.name} has none: "
            "choose data.cache=auto or memory"
        )
    if data.crop == "resized" and not source.from_files:
        raise InputError(
            f"data.crop=resized crops image files and {data.source.name} has none: "
            "choose data.crop=pad or none"
        )
    if not isinstance(data.image_size, int) and not source.from_files:
        raise InputError(
            f"data.image_size={typed_size(data.image_size)} is for image files and "
            f"{data.source.name} has none: give one number, the side"
        )
    if data.fit != "crop" and not source.from_files:
        raise InputError(
            f"data.fit={data.fit} is for image files and {data.source.name} has none: leave it out"
        )
    if data.crop == "resized" and data.cache == "memory":
        raise InputError(
            "data.cache=memory keeps images at their final size, which data.crop=resized "
            "cannot crop from: choose data.cache=stream, or data.crop=pad"
        )


def refuse_padding(data: Data) -> None:
    """Raises InputError for a reflection that nothing reads, or that is larger than the image."""
    if data.padding_mode == "zeros":
        return
    if data.crop != "pad" or not data.padding:
        raise InputError(
            f"data.padding_mode={data.padding_mode} is of data.crop=pad with a border, and here "
            f"data.crop={data.crop} and data.padding={data.padding}: leave it out"
        )
    side = shorter_side(data.image_size)
    if data.padding >= side:
        raise InputError(
            f"data.padding={data.padding} is more than {side} pixels can reflect: "
            f"choose data.padding < {side}, or data.padding_mode=zeros"
        )


def resolve_data(data: Data, source: Source) -> Data:
    """Replace `data.num_classes=auto` and `data.bit_depth=auto` by what the data have.

    Raises InputError for fewer classes than the data have."""
    present, asked = len(source.class_names), data.num_classes
    data = replace(data, bit_depth=source.bit_depth)
    if asked == "auto":
        return replace(data, num_classes=present)
    if asked < present:
        raise InputError(
            f"data.num_classes={asked} and the data have {present} classes: "
            f"choose data.num_classes >= {present}, or auto"
        )
    return data
