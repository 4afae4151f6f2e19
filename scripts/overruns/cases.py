"""What is run under the detector: operators of torch, as JSON that a child makes tensors of.

A case is {"op": name, "args": [...]}; a tensor in it is {"shape": [...]}.
Shapes: B batch, C channels, H = W = side.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

Case = dict[str, Any]

DTYPES = ("float32", "bfloat16")
LAYOUTS = ("contiguous", "channels_last")
MOST_MULTIPLY_ADDS = 3e8  # of a case of the grid: nobody has 33 channels on 112 pixels with 7x7


def tensor(*shape: int) -> Any:
    """A tensor of random numbers."""
    return {"shape": list(shape)}


def jobs_of(cases: Iterable[Case]) -> list[Case]:
    """Every distinct case in every type of number and, if it has maps, in both layouts."""
    distinct = {json.dumps(case): case for case in cases}
    return [
        case | {"dtype": dtype, "layout": layout}
        for case in distinct.values()
        for dtype, layout in product(DTYPES, layouts_of(case))
    ]


def layouts_of(case: Case) -> Sequence[str]:
    """Which layouts differ."""
    if case["op"] == "fold":
        return LAYOUTS[1:]
    return LAYOUTS if len(case["args"][0]["shape"]) == 4 else LAYOUTS[:1]


def convolution(
    batch: int, channels: int, out: int, kernel: int, stride: int, groups: int, side: int
) -> Case:
    """A convolution of square maps, padded as is usual."""
    weight = tensor(out, channels // groups, kernel, kernel)
    pad = [kernel // 2] * 2
    args = [tensor(batch, channels, side, side), weight, None, [stride] * 2, pad]
    rest = [[1, 1], False, [0, 0], groups]
    return {"op": "aten.convolution.default", "args": args + rest}


def convolutions(batch: int, quick: bool) -> Iterator[Case]:
    """The grid of channels, kernels, strides, groups and sides, for few channels."""
    every = product(few_channels(quick), kernels(quick), strides(quick), sides(quick))
    for channels, kernel, stride, side in every:
        for out, groups in ((16, 1), (130, 1), (channels, channels)):
            products = batch * (side / stride) ** 2 * kernel**2 * channels // groups * out
            if products <= MOST_MULTIPLY_ADDS and (groups > 1 or out != channels):
                yield convolution(batch, channels, out, kernel, stride, groups, side)


def few_channels(quick: bool) -> Sequence[int]:
    """Numbers of channels that a whole vector does not hold, and some that it does."""
    return (1, 3, 8, 12, 15, 16, 17) if quick else (*range(1, 18), 31, 32, 33)


def kernels(quick: bool) -> Sequence[int]:
    """Their sides."""
    return (1, 3) if quick else (1, 3, 5, 7)


def strides(quick: bool) -> Sequence[int]:
    """The same in both directions."""
    return (1, 2) if quick else (1, 2, 3)


def sides(quick: bool) -> Sequence[int]:
    """Of maps."""
    return (7, 28, 57, 112) if quick else (7, 8, 28, 47, 48, 56, 57, 64, 112)


def others(batch: int, quick: bool) -> Iterator[Case]:
    """The same grid for what has no weights but per channel."""
    for channels, side in product(few_channels(quick), sides(quick)):
        maps = tensor(batch, channels, side, side)
        for make in (pools, resized, normalised):
            yield from make(maps, channels, side)
        yield {"op": "fold", "args": [maps, False]}
        yield {"op": "fold", "args": [maps, True]}
        boxes = [tensor(20, 5), float(side), 7, 7, 2, False]  # of the first image, all over it
        yield {"op": "torchvision.roi_align.default", "args": [maps, *boxes]}


def pools(maps: Any, channels: int, side: int) -> Iterator[Case]:
    """Of the largest and of the mean."""
    for kernel, stride, pad in ((3, 2, 1), (2, 2, 0), (3, 1, 1), (5, 1, 2)):
        window = [[kernel] * 2, [stride] * 2, [pad] * 2]
        yield {"op": "aten.max_pool2d_with_indices.default", "args": [maps, *window]}
        yield {"op": "aten.avg_pool2d.default", "args": [maps, *window]}
    for size in (1, 3, 7):
        yield {"op": "aten._adaptive_avg_pool2d.default", "args": [maps, [size, size]]}
    yield {"op": "aten.mean.dim", "args": [maps, [2, 3], True]}
    yield {"op": "aten.amax.default", "args": [maps, [2, 3], True]}


def resized(maps: Any, channels: int, side: int) -> Iterator[Case]:
    """To twice the side, and to one that does not divide."""
    for size in (2 * side, side + 5, side // 2):
        yield {"op": "aten.upsample_bilinear2d.default", "args": [maps, [size, size], False]}
        yield {"op": "aten.upsample_nearest2d.default", "args": [maps, [size, size]]}


def normalised(maps: Any, channels: int, side: int) -> Iterator[Case]:
    """Over the batch, in training and in evaluation, and over groups."""
    each = tensor(channels)
    for training in (True, False):
        args = [maps, each, each, each, each, training, 0.1, 1e-5]
        yield {"op": "aten.native_batch_norm.default", "args": args}
    batch = maps["shape"][0]
    args = [maps, each, each, batch, channels, side * side, 1, 1e-5]
    yield {"op": "aten.native_group_norm.default", "args": args}


GRIDS: Sequence[Callable[[int, bool], Iterator[Case]]] = (convolutions, others)
