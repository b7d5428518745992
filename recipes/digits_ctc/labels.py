"""Where names stand beside the points of a plot: each at the nearest of a few places where it lies on nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.transforms import Bbox

SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Of a point: steps to the right and up."""
DISTANCES = (8, 20, 35, 50, 65)
"""Between a point and its name, in pixels."""

Place = tuple[float, float]


def places(points: Sequence[Place], sizes: Sequence[Place], taken: Sequence[Bbox], inside: Bbox) -> list[Place]:
    """The middle of each name, in pixels.

    Args:
        points: (x, y) of each.
        sizes: (width, height) of each name.
        taken: boxes that no name may lie on.
        inside: the box that holds all names.

    Where no place is free, the one where the name covers least.

    >>> places([(50, 50), (50, 50)], [(20, 10), (20, 10)], [], Bbox.from_bounds(0, 0, 100, 100))
    [(68.0, 50.0), (32.0, 50.0)]
    """
    boxes = list(taken)
    for point, size in zip(points, sizes, strict=True):
        covered = [(_covered(box, boxes, inside), rank, box) for rank, box in enumerate(_candidates(point, size))]
        boxes.append(min(covered, key=lambda one: one[:2])[2])
    return [(float(box.x0 + box.x1) / 2, float(box.y0 + box.y1) / 2) for box in boxes[len(taken) :]]


def _candidates(point: Place, size: Place) -> Iterator[Bbox]:
    """Boxes around a point, the nearest first."""
    (x, y), (width, height) = point, size
    for distance in DISTANCES:
        for right, up in SIDES:
            left, low = x + right * (distance + width / 2) - width / 2, y + up * (distance + height / 2) - height / 2
            yield Bbox.from_bounds(left, low, width, height)


def _covered(box: Bbox, boxes: Sequence[Bbox], inside: Bbox) -> float:
    """Pixels that a box shares with others, or that lie outside."""
    shared = (Bbox.intersection(box, other) for other in boxes)
    within = Bbox.intersection(box, inside)
    outside = _area(box) - (0.0 if within is None else _area(within))
    return outside + sum(_area(part) for part in shared if part is not None)


def _area(box: Bbox) -> float:
    return float(box.width * box.height)
