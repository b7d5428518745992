"""Where names stand beside the points of a plot: each at the nearest of a few places where it lies on nothing else.

A name that had to go far has a line to its point: its leader. Boxes are rows of left, low, right, high, in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Of a point: steps to the right and up."""
DISTANCES = (8, 20, 35, 50, 65)
"""Between a point and its name, in pixels."""
PIECE = 4
"""Pixels of a line that one box stands for."""

Place = tuple[float, float]
Boxes = NDArray[np.float64]


def places(points: Sequence[Place], sizes: Sequence[Place], taken: Boxes, inside: Boxes) -> list[Place]:
    """The middle of each name, in pixels.

    Args:
        points: (x, y) of each.
        sizes: (width, height) of each name.
        taken: (boxes, 4), on which no name may lie.
        inside: (1, 4), which holds all names.

    Where no place is free, the one where name and leader cover least.

    >>> square = np.array([[0.0, 0.0, 100.0, 100.0]])
    >>> places([(50, 50), (50, 50)], [(20, 10), (20, 10)], np.zeros((0, 4)), square)
    [(68.0, 50.0), (32.0, 50.0)]
    """
    names = leaders = np.zeros((0, 4))
    for point, size in zip(points, sizes, strict=True):
        boxes = _candidates(point, size)
        lines = [_leader(point, box) for box in boxes]
        outside = shared(boxes, boxes).diagonal() - shared(boxes, inside)[:, 0]
        covered = shared(boxes, np.concatenate([taken, names, leaders])).sum(1)
        crossed = [shared(line, names).sum() for line in lines]
        best = np.argmin(outside + covered + crossed)
        names, leaders = np.append(names, boxes[[best]], 0), np.append(leaders, lines[best], 0)
    return [_middle(box) for box in names]


def is_far(point: Place, middle: Place, size: Place) -> bool:
    """Whether a name needs a leader."""
    return bool(max(np.abs(np.subtract(middle, point)) - np.divide(size, 2)) > DISTANCES[0] + 1)


def along(line: NDArray[np.float64]) -> Boxes:
    """Boxes that cover a line, and hardly more.

    Args:
        line: (points, 2).

    >>> along(np.array([[0.0, 3.0], [6.0, 0.0]])).tolist()
    [[-1.0, 0.5, 4.0, 4.0], [2.0, -1.0, 7.0, 2.5]]
    """
    boxes = [np.zeros((0, 4))]
    for begin, end in pairwise(line):
        ends = np.linspace(begin, end, 2 + int(np.hypot(*(end - begin)) / PIECE))
        low, high = np.minimum(ends[:-1], ends[1:]), np.maximum(ends[:-1], ends[1:])
        boxes.append(np.concatenate([low - 1, high + 1], 1))
    return np.concatenate(boxes)


def shared(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """(boxes, others): pixels that each shares with each."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return np.maximum(high - low, 0).prod(2)


def _candidates(point: Place, size: Place) -> Boxes:
    """Boxes of a name around its point, the nearest first."""
    steps, half = np.array(SIDES), np.divide(size, 2)
    middles = np.concatenate([point + steps * (distance + half) for distance in DISTANCES])
    return np.concatenate([middles - half, middles + half], 1)


def _leader(point: Place, box: Boxes) -> Boxes:
    """What covers the line from a name to its point, where it needs one."""
    if not is_far(point, _middle(box), tuple(box[2:] - box[:2])):
        return np.zeros((0, 4))
    line = along(np.array([point, _middle(box)]))
    return line[shared(line, box[None])[:, 0] == 0]


def _middle(box: Boxes) -> Place:
    return float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
