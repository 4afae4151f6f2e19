"""Where the names of arms stand beside their marks: near, and on no mark and no other name."""

from collections.abc import Iterable, Sequence
from math import cos, pi, sin

Point = tuple[float, float]
Size = tuple[float, float]

# Inches.
RINGS = (0.09, 0.2, 0.33, 0.48, 0.65, 0.85, 1.1, 1.4)  # from the mark to the name, nearest first
MARK = 0.07  # half a mark, and some room
GAP = 0.02  # between two names
# Right, left, above, below, then between, in twelfths of a turn against the clock.
DIRECTIONS = (0, 6, 3, 9, 1, 11, 5, 7, 2, 10, 4, 8)


def place_names(
    points: Sequence[Point], sizes: Sequence[Size], room: Size, order: Sequence[int], always: int
) -> dict[int, Point]:
    """Number of a point -> the centre of its name, in inches from the lower left corner.

    Rings of candidate places lie around each point. In the order given, a name takes the first
    place, from the nearest ring outwards, that lies within `room` and covers no mark and no name
    before it. A name without such a place is left out; of the first `always`, that covers no name
    before it.
    """
    placed: dict[int, Point] = {}
    for rank, number in enumerate(order):
        size = sizes[number]
        places = list(places_around(points[number], size, room))
        taken = [(placed[other], sizes[other]) for other in placed]
        free = [place for place in places if not any(overlap(place, size, *t) for t in taken)]
        clear = (place for place in free if not covers_a_mark(place, size, points))
        place = next(clear, free[0] if free and rank < always else None)
        if place:
            placed[number] = place
    return placed


def places_around(point: Point, size: Size, room: Size) -> Iterable[Point]:
    """The candidate places of a name around a point, within the room, from the nearest ring on."""
    (x, y), (width, height) = point, size
    for ring in RINGS:
        for direction in DIRECTIONS:
            angle = 2 * pi * direction / 12
            place = (
                x + cos(angle) * (ring + width / 2),
                y + sin(angle) * (ring + height / 2),
            )
            if all(s / 2 <= p <= r - s / 2 for p, r, s in zip(place, room, size, strict=True)):
                yield place


def overlap(place: Point, size: Size, other: Point, other_size: Size) -> bool:
    """Whether two names would touch."""
    return all(
        abs(a - b) < (s + t) / 2 + GAP
        for a, b, s, t in zip(place, other, size, other_size, strict=True)
    )


def covers_a_mark(place: Point, size: Size, points: Sequence[Point]) -> bool:
    """Whether a name there would lie on a mark."""
    return any(overlap(place, size, point, (2 * MARK - GAP, 2 * MARK - GAP)) for point in points)
