"""Names beside points: on nothing else while there is room."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from recipes.digits_ctc.labels import along, is_far, places

CANVAS = Bbox.from_bounds(0, 0, 700, 400)
INSIDE = np.reshape(CANVAS.extents, (1, 4))
NOTHING = np.zeros((0, 4))
Place = tuple[float, float]


def box(middle: Place, size: Place) -> Bbox:
    return Bbox.from_bounds(middle[0] - size[0] / 2, middle[1] - size[1] / 2, *size)


def drawn(size: int, seed: int) -> tuple[list[Place], list[Place]]:
    """Points, and the sizes of their names."""
    dice = np.random.default_rng(seed)
    points = [(float(x), float(y)) for x, y in dice.uniform((20, 20), (680, 380), (size, 2))]
    return points, [(float(width), 12.0) for width in dice.uniform(30, 100, size)]


def named(points: list[Place], sizes: list[Place], taken: NDArray[np.float64]) -> list[Bbox]:
    return [box(place, size) for place, size in zip(places(points, sizes, taken, INSIDE), sizes, strict=True)]


def overlap(one: Bbox, other: Bbox) -> bool:
    """By their edges, as the code under test does not ask."""
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1


@pytest.mark.parametrize("seed", range(20))
def test_names_lie_on_no_name_and_no_bar_and_within_the_plot(seed: int) -> None:
    points, sizes = drawn(15, seed)
    bars = [box(point, (10, 40)) for point in points]
    names = named(points, sizes, np.array([bar.extents for bar in bars]))
    assert not any(overlap(one, other) for one, other in combinations(names, 2))
    assert not any(overlap(name, bar) for name in names for bar in bars)
    assert all(CANVAS.x0 <= name.x0 and name.x1 <= CANVAS.x1 for name in names)
    assert all(CANVAS.y0 <= name.y0 and name.y1 <= CANVAS.y1 for name in names)


@pytest.mark.parametrize("seed", range(4))
def test_names_lie_on_no_line(seed: int) -> None:
    """Judge: a thousand points of each line."""
    points, sizes = drawn(3, seed)
    names = named(points, sizes, along(np.array(points)))
    for one, other in pairwise(points):
        assert not any(name.contains(*point) for name in names for point in np.linspace(one, other, 1000))


@pytest.mark.parametrize("seed", [5, 15])
def test_leaders_lie_on_no_other_name(seed: int) -> None:
    """Bars so wide that every name must go far, and points whose leaders would lie on names if nobody minded. Judge: a
    hundred points of each leader."""
    points, sizes = drawn(15, seed)
    names = named(points, sizes, np.array([box(point, (50, 40)).extents for point in points]))
    for point, size, name in zip(points, sizes, names, strict=True):
        middle = (name.x0 + name.x1) / 2, (name.y0 + name.y1) / 2
        assert is_far(point, middle, size)
        leader = np.linspace(point, middle, 100)
        assert not any(other.contains(*place) for other in names if other is not name for place in leader)


def test_a_name_that_has_room_stands_to_the_right() -> None:
    assert places([(100, 100)], [(40, 10)], NOTHING, INSIDE) == [(128, 100)]


def test_where_there_is_no_room_every_name_has_a_place_nonetheless() -> None:
    assert len(places([(5, 5)] * 9, [(12, 12)] * 9, NOTHING, np.array([[0.0, 0.0, 10.0, 10.0]]))) == 9
