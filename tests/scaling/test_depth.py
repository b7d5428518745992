"""scale_depth: EfficientNet's rule, as transformers has it, is the judge."""

from __future__ import annotations

import math
from typing import Any

import pytest

import speechconv as sc
from speechconv.stages import Table
from tests.scaling.networks import LOGMEL, built, conv, inverted, linear, of_preset, separable

# Table 1 of EfficientNet: channels, layers, stride of each stage but the first.
EFFICIENTNET_B0 = [(24, 2, 2), (40, 2, 2), (80, 3, 2), (112, 3, 1), (192, 4, 2), (320, 1, 1)]


def efficientnet(depth: float) -> list[Table]:
    tables, width = [conv(3, 16)], 16
    for channels, layers, stride in EFFICIENTNET_B0:
        for number in range(math.ceil(depth * layers)):
            tables.append(inverted(width, channels, stride if number == 0 else 1))
            width = channels
    return tables


@pytest.mark.parametrize("depth", [0.4, 1.0, 1.1, 1.2, 1.4, 1.8, 2.2, 2.6, 3.1])
def test_each_stage_has_as_many_layers_as_efficientnets(depth: float) -> None:
    """B0 to B7, and a smaller one."""
    scaled = sc.scale_depth(efficientnet(1), depth)
    assert scaled == efficientnet(depth)
    assert built(scaled).geometry.stride == 16


CHAINED: list[Table] = [{"stage": "sequential", "layers": [linear(8, 8), {"stage": "relu"}]}]
SKIP: Table = {"stage": "residual", "body": [{"stage": "conformer_conv_module", "channels": 8}]}


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ([conv(3, 8), {"stage": "relu"}], [conv(3, 8), {"stage": "relu"}]),
        ([linear(8, 8), linear(8, 8)], [linear(8, 8), linear(8, 8)]),
        (CHAINED, 2 * CHAINED),
        ([SKIP, SKIP], 4 * [SKIP]),
        ([SKIP, {"stage": "relu"}, SKIP], [SKIP, SKIP, {"stage": "relu"}, SKIP, SKIP]),
        (
            [{"stage": "residual", "body": [{"stage": "relu"}]}, linear(8, 8)],
            [{"stage": "residual", "body": [{"stage": "relu"}]}, linear(8, 8)],
        ),
        ([separable(4, 8, 2)], [separable(4, 8, 2), separable(8, 8, 1)]),
        (
            [{"stage": "residual_block", "in_channels": 4, "out_channels": 8}],
            [
                {"stage": "residual_block", "in_channels": 4, "out_channels": 8},
                {"stage": "residual_block", "in_channels": 8, "out_channels": 8},
            ],
        ),
        (
            [{"stage": "fire", "in_channels": 4, "out_channels": 8, "squeeze_channels": 2, "padding": "causal"}],
            [
                {"stage": "fire", "in_channels": 4, "out_channels": 8, "squeeze_channels": 2, "padding": "causal"},
                {"stage": "fire", "in_channels": 8, "out_channels": 8, "squeeze_channels": 2, "padding": "causal"},
            ],
        ),
        (
            [*LOGMEL, {"stage": "conv_subsampling", "channels": 8}],
            [*LOGMEL, {"stage": "conv_subsampling", "channels": 8}],
        ),
        ([{"stage": "conv_block", "in_channels": 8, "out_channels": 8, "kernel_size": 3}], None),
        ([], []),
    ],
)
def test_blocks_are_repeated_and_nothing_else_is(tables: list[Table], expected: list[Table] | None) -> None:
    assert sc.scale_depth(tables, 2) == (tables if expected is None else expected)


def in_sequence(*layers: Table) -> Table:
    return {"stage": "sequential", "layers": list(layers)}


LIKE_CONFORMER = in_sequence(SKIP, {"stage": "residual", "body": CHAINED}, SKIP)


@pytest.mark.parametrize(
    ("tables", "multiplier", "expected"),
    [
        ([in_sequence(*5 * [inverted(8, 8)])], 1.2, [in_sequence(*6 * [inverted(8, 8)])]),
        ([in_sequence(*5 * [inverted(8, 8)])], 0.4, [in_sequence(*2 * [inverted(8, 8)])]),
        ([in_sequence(inverted(4, 8, 2))], 2, [in_sequence(inverted(4, 8, 2), inverted(8, 8, 1))]),
        ([LIKE_CONFORMER, LIKE_CONFORMER], 1.5, 3 * [LIKE_CONFORMER]),
        ([in_sequence(LIKE_CONFORMER, LIKE_CONFORMER)], 1.5, [in_sequence(*3 * [LIKE_CONFORMER])]),
        ([in_sequence(conv(4, 8), {"stage": "relu"})], 2, [in_sequence(conv(4, 8), {"stage": "relu"})]),
    ],
)
def test_a_stack_is_scaled_inside_and_a_block_of_blocks_as_a_whole(
    tables: list[Table], multiplier: float, expected: list[Table]
) -> None:
    assert sc.scale_depth(tables, multiplier) == expected


@pytest.mark.parametrize("preset", ["separable-5", "shuffle-5", "inverted-residual-5"])
def test_the_encoders_blocks_are_found(preset: str) -> None:
    before, after = of_preset(preset), sc.scale_depth(of_preset(preset), 1.2)
    blocks = next(table for table in before if table.get("name") == "blocks")["layers"]
    wanted = [{**table, "layers": 10 * blocks[:1]} if table.get("name") == "blocks" else table for table in before]
    assert len(blocks) == 8
    assert after == wanted


def test_a_copy_has_no_name_for_names_are_taken_once() -> None:
    named = {**SKIP, "name": "first"}
    assert sc.scale_depth([named], 3) == [named, SKIP, SKIP]
    assert sc.scale_depth([named, {**SKIP, "name": "second"}], 0.5) == [named]


def test_a_block_of_other_settings_begins_a_group_of_its_own() -> None:
    wide = inverted(16, 16, expansion=3)
    tables = [inverted(16, 16), inverted(16, 16), wide]
    assert sc.scale_depth(tables, 1.5) == [*3 * [inverted(16, 16)], wide, wide]


@pytest.mark.parametrize("multiplier", [0, -1, math.nan, "2"])
def test_a_multiplier_that_is_none_is_refused(multiplier: Any) -> None:
    with pytest.raises(ValueError, match=r"^multiplier \(=.*\) must be > 0\.$"):
        sc.scale_depth([SKIP], multiplier)
