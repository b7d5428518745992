"""scale_compound: the three others one after another, and the law of the cost."""

from __future__ import annotations

from typing import Any

import pytest

import speechconv as sc
from speechconv.stages import Table
from tests.scaling.networks import LOGMEL, SAMPLE_RATE, built, conv, inverted, linear


def encoder(width: int = 160, blocks: int = 5) -> list[Table]:
    return [*LOGMEL, linear(80, width), *[inverted(width, width) for _ in range(blocks)], linear(width, 29)]


def products_a_second(tables: list[Table]) -> float:
    """Of the blocks, that is, all weights that are filters; each is met once a frame."""
    net = built(tables)
    return sum(p.numel() for p in net.parameters() if p.ndim == 3) * SAMPLE_RATE / net.geometry.stride


@pytest.mark.parametrize("phi", [1, 2])
def test_it_is_depth_then_width_then_resolution(phi: float) -> None:
    expected = sc.scale_depth(encoder(), 1.2**phi)
    expected = sc.scale_width(expected, 1.1**phi, keep_output=True)
    expected = sc.scale_resolution(expected, 1.15**phi)
    assert sc.scale_compound(encoder(), phi, keep_output=True) == expected
    assert expected[-1]["out_features"] == 29


def test_a_step_costs_as_much_more_as_the_formula_says() -> None:
    """Five blocks become six, 160 channels 176, hop 160 becomes 139: 1.2, 1.1 and nearly 1.15."""
    ratio = products_a_second(sc.scale_compound(encoder(), 1)) / products_a_second(encoder())
    assert abs(ratio / (1.2 * 1.1**2 * 1.15) - 1) < 0.02


def test_each_coefficient_scales_its_own() -> None:
    deep = sc.scale_compound(encoder(), 1, alpha=2.0, beta=1.0, gamma=1.0)
    wide = sc.scale_compound(encoder(), 1, alpha=1.0, beta=2.0, gamma=1.0, divisor=4)
    fast = sc.scale_compound(encoder(), 1, alpha=1.0, beta=1.0, gamma=2.0)
    assert deep == encoder(blocks=10)
    assert wide == [*encoder(width=320)[:-1], linear(320, 60)]
    assert fast[0] == {**LOGMEL[0], "hop_length": 80}
    assert fast[1:] == encoder()[1:]


def test_phi_of_zero_changes_nothing_and_one_below_makes_it_smaller() -> None:
    assert sc.scale_compound(encoder(), 0) == encoder()
    assert products_a_second(sc.scale_compound(encoder(), -1)) < products_a_second(encoder())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phi": "1"}, r"^phi \(='1'\) must be a finite number\.$"),
        ({"phi": 1, "beta": 0}, r"^beta \(=0\) must be > 0\.$"),
    ],
)
def test_arguments_outside_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.scale_compound(encoder(), **options)


def test_strides_that_cannot_be_rounded_ask_for_another_gamma() -> None:
    raw = [conv(1, 64, kernel_size=10, stride=5), inverted(64, 64)]
    with pytest.raises(ValueError, match=r"^no stage can give 1\.15 times as many frames"):
        sc.scale_compound(raw, 1)
    assert len(sc.scale_compound(raw, 1, gamma=1.0)) == 3
