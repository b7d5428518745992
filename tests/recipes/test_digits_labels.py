"""Names beside points: on nothing else while there is room."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.transforms import Bbox

from recipes.digits_ctc.labels import places

CANVAS = Bbox.from_bounds(0, 0, 700, 400)


def box(middle: tuple[float, float], size: tuple[float, float]) -> Bbox:
    return Bbox.from_bounds(middle[0] - size[0] / 2, middle[1] - size[1] / 2, *size)


def overlap(one: Bbox, other: Bbox) -> bool:
    """By their edges, as the code under test does not ask."""
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1


@pytest.mark.parametrize("seed", range(20))
def test_names_lie_on_no_name_and_no_bar_and_within_the_plot(seed: int) -> None:
    dice = np.random.default_rng(seed)
    points = [(float(x), float(y)) for x, y in dice.uniform((20, 20), (680, 380), (15, 2))]
    bars = [box(point, (10, 40)) for point in points]
    sizes = [(float(width), 12.0) for width in dice.uniform(30, 100, 15)]
    names = [box(place, size) for place, size in zip(places(points, sizes, bars, CANVAS), sizes, strict=True)]
    assert not any(overlap(one, other) for one, other in combinations(names, 2))
    assert not any(overlap(name, bar) for name in names for bar in bars)
    assert all(CANVAS.x0 <= name.x0 and name.x1 <= CANVAS.x1 for name in names)
    assert all(CANVAS.y0 <= name.y0 and name.y1 <= CANVAS.y1 for name in names)


def test_a_name_that_has_room_stands_to_the_right() -> None:
    assert places([(100, 100)], [(40, 10)], [], CANVAS) == [(128, 100)]


def test_where_there_is_no_room_every_name_has_a_place_nonetheless() -> None:
    assert len(places([(5, 5)] * 9, [(12, 12)] * 9, [], Bbox.from_bounds(0, 0, 10, 10))) == 9
