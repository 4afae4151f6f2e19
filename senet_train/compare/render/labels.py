"""Where to write a short label beside each of many points, so that none covers another."""

from collections.abc import Iterable
from math import cos, hypot, pi, sin

Point = tuple[float, float]

RINGS = (0.15, 0.26, 0.38, 0.5, 0.65)  # inches from the point, the nearest first
DIRECTIONS = 12  # the first is to the right, then round against the clock


def beside(points: list[Point], room: Point, size: Point) -> list[Point]:
    """A label's centre for each of `points`, in order; all in inches from the lower left corner.

    Each takes the first place on the nearest ring that keeps within `room`, and clear of every
    point and of the labels before it; if there is none, the last place tried.
    """
    placed: list[Point] = []
    for point in points:
        places = list(around(point, room, size))
        clear = (place for place in places if is_clear(place, points, placed, size))
        placed.append(next(clear, places[-1] if places else point))
    return placed


def around(point: Point, room: Point, size: Point) -> Iterable[Point]:
    """The places on the rings that keep the label within the room."""
    for radius in RINGS:
        for step in range(DIRECTIONS):
            angle = 2 * pi * step / DIRECTIONS
            place = (point[0] + radius * cos(angle), point[1] + radius * sin(angle))
            if all(s / 2 <= p <= r - s / 2 for p, r, s in zip(place, room, size, strict=True)):
                yield place


def is_clear(place: Point, points: list[Point], placed: list[Point], size: Point) -> bool:
    """Whether a label there covers no mark and no label."""
    width, height = size
    covers = any(abs(place[0] - x) < width and abs(place[1] - y) < height for x, y in placed)
    return not covers and all(hypot(place[0] - x, place[1] - y) > RINGS[0] * 0.9 for x, y in points)
