"""scale_width: transformers' MobileNetV2 and EfficientNet, scaled by their own code, are the judges of the numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import EfficientNetConfig, MobileNetV2Config, MobileNetV2Model
from transformers.models.efficientnet.modeling_efficientnet import round_filters
from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2InvertedResidual

import speechconv as sc
from speechconv.scaling.width import round_channels
from speechconv.stages import Table
from tests.scaling.networks import LOGMEL, built, conv, inverted, linear, of_preset, separable

# Table 2 of MobileNetV2: expansion, channels, repeats, stride.
MOBILENET_V2 = [(6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def mobilenet_v2() -> list[Table]:
    """Behind a stem of 16 channels, which is where transformers' blocks begin."""
    tables, width = [conv(3, 16)], 16
    for expansion, channels, repeats, stride in MOBILENET_V2:
        for number in range(repeats):
            tables.append(inverted(width, channels, stride if number == 0 else 1, expansion=expansion))
            width = channels
    return tables


@pytest.mark.parametrize("multiplier", [0.35, 0.5, 0.75, 1.4])
def test_the_blocks_of_mobilenet_v2_are_as_wide_as_transformers_makes_them(multiplier: float) -> None:
    with torch.device("meta"):
        model = MobileNetV2Model(MobileNetV2Config(depth_multiplier=multiplier))
    expected = [
        (block.expand_1x1.convolution.in_channels, block.reduce_1x1.convolution.out_channels)
        for block in model.modules()
        if isinstance(block, MobileNetV2InvertedResidual)
    ]
    scaled = sc.scale_width(mobilenet_v2(), multiplier)
    assert [(table["in_channels"], table["out_channels"]) for table in scaled[1:]] == expected
    net = built(scaled)
    assert net.in_channels == 3
    assert net.geometry == built(mobilenet_v2()).geometry


@pytest.mark.parametrize("coefficient", [0.3, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0])
@pytest.mark.parametrize("divisor", [1, 8, 10])
def test_channels_are_rounded_as_efficientnets(coefficient: float, divisor: int) -> None:
    config = EfficientNetConfig(width_coefficient=coefficient, depth_divisor=divisor)
    for channels in range(1, 400):
        assert round_channels(coefficient * channels, divisor) == round_filters(config, channels)


def test_a_width_of_half_makes_a_quarter_of_the_products() -> None:
    """Of the pointwise convolutions, which are nearly all of them; the depthwise ones are halved."""
    tables = [separable(512, 512) for _ in range(4)]
    small = sc.scale_width([linear(80, 512), *tables], 0.5)[1:]
    ratio = products(small) / products(tables)
    assert 0.25 < ratio < 0.255


def products(tables: list[Table]) -> int:
    return sum(p.numel() for p in built(tables).parameters() if p.ndim == 3)


WIDE: dict[str, tuple[list[Table], list[Table]]] = {
    "a GLU halves what the stage before it gives": (
        [conv(80, 96), {"stage": "glu"}, conv(48, 48)],
        [conv(80, 48), {"stage": "glu"}, conv(24, 24)],
    ),
    "a norm and a depthwise convolution keep the width": (
        [linear(80, 64), conv(64, 64, groups=64), {"stage": "batch_norm", "channels": 64}],
        [linear(80, 32), conv(32, 32, groups=32), {"stage": "batch_norm", "channels": 32}],
    ),
    "a depthwise convolution at the input, with a multiplier": (
        [conv(80, 160, groups=80), linear(160, 64)],
        [conv(80, 160, groups=80), linear(160, 32)],
    ),
    "a skip at the input keeps its channels, and is wide inside": (
        [{"stage": "residual", "body": [linear(80, 320), {"stage": "relu"}, linear(320, 80)]}, linear(80, 64)],
        [{"stage": "residual", "body": [linear(80, 160), {"stage": "relu"}, linear(160, 80)]}, linear(80, 32)],
    ),
    "a skip whose last stage is a GLU": (
        [{"stage": "residual", "body": [conv(80, 160, padding="same"), {"stage": "glu"}]}],
        [{"stage": "residual", "body": [conv(80, 160, padding="same"), {"stage": "glu"}]}],
    ),
    "a block with a skip at the input": ([inverted(80, 80), inverted(80, 96)], [inverted(80, 80), inverted(80, 48)]),
    "branches that are summed agree": (
        [{"stage": "parallel", "join": "sum", "branches": [[linear(80, 64)], [linear(80, 32), linear(32, 64)]]}],
        [{"stage": "parallel", "join": "sum", "branches": [[linear(80, 32)], [linear(80, 16), linear(16, 32)]]}],
    ),
    "a branch that lets its input through": (
        [{"stage": "parallel", "join": "product", "branches": [[{"stage": "relu"}], [linear(80, 80)]]}],
        [{"stage": "parallel", "join": "product", "branches": [[{"stage": "relu"}], [linear(80, 80)]]}],
    ),
    "branches side by side": (
        [{"stage": "parallel", "join": "cat", "branches": [[linear(80, 64)], [linear(80, 32)]]}, linear(96, 64)],
        [{"stage": "parallel", "join": "cat", "branches": [[linear(80, 32)], [linear(80, 16)]]}, linear(48, 32)],
    ),
    "stages in a stage": (
        [{"stage": "sequential", "layers": [linear(80, 64), {"stage": "relu"}]}, linear(64, 64)],
        [{"stage": "sequential", "layers": [linear(80, 32), {"stage": "relu"}]}, linear(32, 32)],
    ),
    "widths within a block": (
        [
            linear(80, 64),
            {"stage": "fire", "in_channels": 64, "out_channels": 128, "squeeze_channels": 32},
            {"stage": "mlpconv", "in_channels": 128, "out_channels": 64, "kernel_size": 3, "hidden_channels": [32, 48]},
            {"stage": "squeeze_excitation", "channels": 64, "hidden_channels": "none"},
        ],
        [
            linear(80, 32),
            {"stage": "fire", "in_channels": 32, "out_channels": 64, "squeeze_channels": 16},
            {"stage": "mlpconv", "in_channels": 64, "out_channels": 32, "kernel_size": 3, "hidden_channels": [16, 24]},
            {"stage": "squeeze_excitation", "channels": 32, "hidden_channels": "none"},
        ],
    ),
    "a front-end keeps its bands": (
        [*LOGMEL, {"stage": "conv_subsampling", "channels": 144}],
        [*LOGMEL, {"stage": "conv_subsampling", "channels": 72}],
    ),
    "a conditioning keeps its channels": (
        [linear(80, 72), {"stage": "wavenet_stack", "channels": 64, "condition_channels": 8, "skip_channels": 128}],
        [linear(80, 40), {"stage": "wavenet_stack", "channels": 32, "condition_channels": 8, "skip_channels": 64}],
    ),
}


@pytest.mark.parametrize("name", WIDE)
def test_half_the_width(name: str) -> None:
    tables, expected = WIDE[name]
    assert sc.scale_width(tables, 0.5) == expected
    assert built(expected).in_channels == built(tables).in_channels


def test_the_output_can_be_kept_through_norms_and_a_glu() -> None:
    tables = [linear(80, 64), linear(64, 60), {"stage": "glu"}, {"stage": "layer_norm", "channels": 30}]
    scaled = sc.scale_width(tables, 0.5, keep_output=True)
    assert scaled == [linear(80, 32), linear(32, 60), *tables[2:]]
    assert sc.scale_width(tables, 0.5)[-1] == {"stage": "layer_norm", "channels": 16}
    tables = [linear(80, 64), {"stage": "conv_subsampling", "in_channels": 64, "channels": 60}, {"stage": "relu"}]
    scaled = sc.scale_width(tables, 0.5, keep_output=True)
    assert scaled == [linear(80, 32), {**tables[1], "in_channels": 32}, tables[2]]


@pytest.mark.parametrize(
    ("name", "multiplier"),
    [("full", 0.5), ("wav2vec2-large", 0.25), ("conformer-front", 2), ("wavenet-encoder", 0.5), ("wavenet-encoder", 2)],
)
def test_a_presets_encoder_is_scaled_with_its_geometry_and_names_as_they_were(name: str, multiplier: float) -> None:
    tables = of_preset(name)
    scaled = sc.scale_width(tables, multiplier)
    before, after = built(tables), built(scaled)
    assert after.geometry == before.geometry
    assert after.channels_after(0) == multiplier * before.channels_after(0)
    assert [table.get("name") for table in scaled] == [table.get("name") for table in tables]
    assert tables == of_preset(name)


def test_scaling_draws_nothing_from_torchs_generator_and_one_changes_nothing() -> None:
    before = torch.get_rng_state()
    assert sc.scale_width(mobilenet_v2(), 1) == mobilenet_v2()
    sc.scale_width(mobilenet_v2(), 0.5)
    assert torch.equal(torch.get_rng_state(), before)
    assert sc.scale_width([], 0.5) == []


@pytest.mark.parametrize(
    ("tables", "options", "message"),
    [
        ([conv(3, 4)], {"multiplier": 0}, r"^multiplier \(=0\) must be > 0\.$"),
        ([conv(3, 4)], {"multiplier": 0.5, "divisor": 0}, r"^divisor \(=0\) must be an integer >= 1\.$"),
        (conv(3, 4), {"multiplier": 0.5}, r"^stages in the stages to scale must be a list of tables, .* got \{'stage'"),
        ([{"stage": "relu"}], {"multiplier": 0.5}, r"^the stages to scale take any number of channels; begin with one"),
        (
            [{"stage": "rely"}],
            {"multiplier": 0.5},
            r"^unknown stage 'rely' in the stages to scale; did you mean 'relu'",
        ),
        (
            [linear(3, 12), conv(12, 12, groups=3)],
            {"multiplier": 0.5},
            r"^stage 'conv1d' of the scaled stages: in_chan",
        ),
        (
            [{"stage": "parallel", "join": "cat", "branches": [[linear(80, 64)], [linear(80, 32)]]}],
            {"multiplier": 0.5, "keep_output": True},
            r"^the scaled stages give 48 channels where 96 must go out; end them with a linear stage\.$",
        ),
    ],
)
def test_what_cannot_be_scaled_is_refused(tables: list[Table], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.scale_width(tables, **options)
