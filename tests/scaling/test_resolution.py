"""scale_resolution: the frames that really come out are the judge."""

from __future__ import annotations

import re
from typing import Any

import pytest

import speechconv as sc
from speechconv.stages import Table
from tests.scaling.networks import LOGMEL, SAMPLE_RATE, built, conv

POOL: Table = {"stage": "max_pool1d", "kernel_size": 4}


@pytest.mark.parametrize(
    ("tables", "multiplier", "changed"),
    [
        (LOGMEL, 2, (0, "hop_length", 80)),
        (LOGMEL, 0.5, (0, "hop_length", 320)),
        (LOGMEL, 1.15, (0, "hop_length", 139)),
        ([{"stage": "preemphasis"}, *LOGMEL, conv(80, 80, stride=2)], 0.5, (1, "hop_length", 320)),
        ([{"stage": "wavenet_encoder", "hop_length": 640, "dilations": [1, 2]}], 2, (0, "hop_length", 320)),
        ([conv(1, 8), conv(8, 8, kernel_size=10, stride=5), conv(8, 8, stride=2)], 0.5, (1, "stride", 10)),
        ([conv(1, 8, kernel_size=8, stride=5), conv(8, 8, stride=2)], 2, (1, "stride", 1)),
        ([conv(1, 8, kernel_size=8, stride=5), conv(8, 8, kernel_size=4, stride=2)], 0.5, (1, "stride", 4)),
        ([conv(1, 8), POOL], 2, (1, "stride", 2)),
        ([{"stage": "feature_encoder", "norm": "layer"}], 0.5, (0, "strides", [10, 2, 2, 2, 2, 2, 2])),
        ([{"stage": "feature_encoder", "norm": "layer"}], 2, (0, "strides", [5, 1, 2, 2, 2, 2, 2])),
        ([conv(1, 80), {"stage": "conv_subsampling", "channels": 8, "factor": 4}], 0.5, (1, "factor", 8)),
    ],
)
def test_the_first_stage_that_can_changes_its_hop_or_its_stride(
    tables: list[Table], multiplier: float, changed: tuple[int, str, Any]
) -> None:
    number, key, value = changed
    expected = [dict(table) for table in tables]
    expected[number][key] = value
    scaled = sc.scale_resolution(tables, multiplier)
    assert scaled == expected
    before, after = (net.num_frames(60 * SAMPLE_RATE) for net in (built(tables), built(scaled)))
    assert abs(after / before / multiplier - 1) < 0.005  # a hop of 160 cannot be 139.13


@pytest.mark.parametrize(("multiplier", "stride", "first"), [(0.5, 8, 4), (2, 2, 1), (0.9, 4, None), (0.45, 9, None)])
def test_branches_change_together(multiplier: float, stride: int, first: int | None) -> None:
    """One of stride 4 beside one of 2 and 2, whose first changes; a stride is not rounded."""
    two = [conv(1, 8, kernel_size=5, stride=2, padding="same"), conv(8, 8, stride=2, padding="same")]
    one = conv(1, 8, kernel_size=9, stride=4, padding="same")
    tables = [{"stage": "parallel", "join": "sum", "branches": [[one], two]}]
    if first is None:
        with pytest.raises(ValueError, match=rf"^no stage can give {multiplier} times .* \(=\[4, 2, 2\]\)"):
            sc.scale_resolution(tables, multiplier)
        return
    wanted = [[{**one, "stride": stride}], [{**two[0], "stride": first}, two[1]]]
    assert sc.scale_resolution(tables, multiplier) == [{"stage": "parallel", "join": "sum", "branches": wanted}]


def test_a_hop_is_rounded_wherever_it_stands() -> None:
    """160 / 1.15 is 139.13; the second branch has the hop and a pooling of 2, so both become 2 times that."""
    chained = [{"stage": "sequential", "layers": LOGMEL}]
    faster = [{**LOGMEL[0], "hop_length": 139}, *LOGMEL[1:]]
    assert sc.scale_resolution(chained, 1.15) == [{"stage": "sequential", "layers": faster}]
    slow, pool = (
        [{**LOGMEL[0], "hop_length": 320}, *LOGMEL[1:]],
        {"stage": "avg_pool1d", "kernel_size": 2, "padding": "causal"},
    )
    beside = {"stage": "parallel", "join": "cat", "branches": [slow, [*LOGMEL, pool]]}
    wanted = [[{**slow[0], "hop_length": 278}, *slow[1:]], [*faster, pool]]
    assert sc.scale_resolution([beside], 1.15) == [{**beside, "branches": wanted}]


def test_one_changes_nothing() -> None:
    assert sc.scale_resolution([conv(3, 8)], 1) == [conv(3, 8)]


def test_stages_in_a_stage_are_reached() -> None:
    tables = [{"stage": "sequential", "layers": [conv(1, 8), conv(8, 8, stride=2)]}]
    assert sc.scale_resolution(tables, 2) == [{"stage": "sequential", "layers": [conv(1, 8), conv(8, 8, stride=1)]}]
    tables = [{"stage": "sequential", "layers": [conv(1, 8), conv(8, 8, kernel_size=4, stride=2)]}]
    wanted = [conv(1, 8), conv(8, 8, kernel_size=4, stride=4)]
    assert sc.scale_resolution(tables, 0.5) == [{"stage": "sequential", "layers": wanted}]
    tables = [{"stage": "sequential", "layers": [conv(1, 8, stride=2), conv(8, 8, stride=3)]}]
    wanted = [conv(1, 8, stride=2), conv(8, 8, stride=2)]  # 6 becomes 4, which the first cannot bring about
    assert sc.scale_resolution(tables, 1.5) == [{"stage": "sequential", "layers": wanted}]


@pytest.mark.parametrize(
    ("tables", "multiplier", "strides"),
    [
        ([conv(1, 8)], 2, "[1]"),
        ([conv(1, 8, stride=3)], 2, "[3]"),
        ([conv(1, 8, stride=2), conv(8, 8)], 0.5, "[2, 1]"),  # a window of 3 frames leaves gaps at a stride of 4
        ([{"stage": "feature_encoder", "norm": "layer"}], 0.25, "[5, 2, 2, 2, 2, 2, 2]"),
        ([{"stage": "stft", "n_fft": 200}], 0.5, "[160]"),
        ([{"stage": "stft"}], 1000, "[160]"),
        ([{"stage": "stft", "n_fft": 8, "hop_length": 4}], 1.15, "[4]"),
        ([{"stage": "stft", "drop_last": True}], 0.5, "[160]"),  # with a hop above n_fft / 2 no stage can be built
        ([{"stage": "shuffle_unit", "in_channels": 12, "out_channels": 24, "stride": 2}], 2, "[2]"),
    ],
)
def test_what_no_stage_can_reach_is_refused(tables: list[Table], multiplier: float, strides: str) -> None:
    message = (
        f"no stage can give {multiplier:g} times as many frames: one of the strides (={strides}) divided by it must"
    )
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        sc.scale_resolution(tables, multiplier)
