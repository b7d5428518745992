"""InvertedResidual: transformers' MobileNetV2InvertedResidual is the judge."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn
from transformers import MobileNetV2Config
from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2InvertedResidual

import speechconv as sc
from tests.layers.families.judges import assert_equal_blocks


def config(expansion: int) -> MobileNetV2Config:
    return MobileNetV2Config(
        tf_padding=False, expand_ratio=expansion, depth_divisible_by=1, min_depth=1, layer_norm_eps=1e-5
    )


@pytest.mark.parametrize("expansion", [2, 6])
@pytest.mark.parametrize(("out_channels", "stride"), [(4, 1), (6, 1), (4, 2), (6, 2)])
def test_it_is_transformers(out_channels: int, stride: int, expansion: int) -> None:
    """With a skip in the first case alone."""
    ours = sc.InvertedResidual(4, out_channels, expansion=expansion, stride=stride)
    assert isinstance(ours[0], sc.Residual) == ((out_channels, stride) == (4, 1))
    assert_equal_blocks(ours, MobileNetV2InvertedResidual(config(expansion), 4, out_channels, stride))


def test_an_expansion_of_one_is_left_out() -> None:
    theirs = nn.Sequential(
        nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU6(),
        nn.Conv2d(4, 6, 1, bias=False),
        nn.BatchNorm2d(6),
    )
    assert_equal_blocks(sc.InvertedResidual(4, 6, expansion=1, kernel_size=5), theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expansion": 0}, r"^expansion \(=0\) must be an integer >= 1\.$"),
        ({"out_channels": 0}, r"^out_channels \(=0\) must be an integer >= 1\.$"),
        ({"padding": "valid"}, r"^padding \(='valid'\) must keep the number of frames: left \+ right must be 2"),
    ],
)
def test_arguments_outside_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"out_channels": 4} | options
    with pytest.raises(ValueError, match=message):
        sc.InvertedResidual(4, **arguments)
