"""scale_compound: the three others one after another, and the law of the cost."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import speechconv as sc
from speechconv.scaling.width import round_channels
from speechconv.stages import Table
from tests.scaling.networks import LOGMEL, SAMPLE_RATE, built, conv, inverted, linear, of_preset


def encoder(width: int = 160, blocks: int = 5) -> list[Table]:
    return [*LOGMEL, linear(80, width), *[inverted(width, width) for _ in range(blocks)], linear(width, 29)]


BLOCKS = 5
"""The stage of an encoder's preset that holds its blocks."""


def shape_of(tables: list[Table]) -> tuple[int, int, int]:
    """Blocks, their channels and the hop of an encoder's preset."""
    blocks = tables[BLOCKS]["layers"]
    return len(blocks), blocks[0]["in_channels"], tables[0]["hop_length"]


def products_a_second(tables: list[Table], stage: int | None = None) -> float:
    """Of all blocks or of one stage's, that is, all weights that are filters; each is met once a frame."""
    net = built(tables)
    filters = [p for p in (net if stage is None else net[stage]).parameters() if p.ndim == 3]
    return sum(p.numel() for p in filters) * SAMPLE_RATE / net.geometry.stride


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


@pytest.mark.parametrize("preset", ["separable-10", "shuffle-10", "inverted-residual-10"])
@pytest.mark.parametrize("phi", [-3, 2])
def test_the_encoders_cost_as_much_more_as_the_formula_says(preset: str, phi: float) -> None:
    """Each number is rounded, so the law is asked of the numbers that come out."""
    before, after = of_preset(preset), sc.scale_compound(of_preset(preset), phi, divisor=16)
    (blocks, width, hop), scaled = shape_of(before), shape_of(after)
    wanted = (math.ceil(blocks * 1.2**phi), round_channels(width * 1.1**phi, 16), round(hop / 1.15**phi))
    assert scaled == wanted
    law = scaled[0] / blocks * (scaled[1] / width) ** 2 * hop / scaled[2]
    assert abs(products_a_second(after, stage=BLOCKS) / products_a_second(before, stage=BLOCKS) / law - 1) < 0.02


@pytest.mark.parametrize("preset", ["separable-1", "shuffle-1-causal", "inverted-residual-1"])
def test_a_scaled_preset_is_a_pipeline(preset: str) -> None:
    """Twice the frames a second of twice as many blocks, and its 256 channels, live as at once."""
    pipe = sc.Pipeline.from_preset(preset)
    tables = sc.scale_compound(pipe.to_tables(), 1, alpha=2, beta=1.5, gamma=2, divisor=16, keep_output=True)
    larger = sc.Pipeline.from_tables(tables, sample_rate=16000)
    assert (larger.hop_length, larger.output_dim) == (pipe.hop_length // 2, pipe.output_dim)
    blocks, more = (len(list(net.get_submodule("blocks").children())) for net in (pipe, larger))
    assert more == 2 * blocks
    wav = torch.randn(1, 4000)
    whole, stream = larger(wav)[0], larger.stream()
    live = torch.cat([stream.push(wav[0, :1777]), stream.push(wav[0, 1777:]), stream.close()])
    assert live.shape == whole.shape
    assert (live - whole).abs().max() <= 1e-5 * whole.abs().max()


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
