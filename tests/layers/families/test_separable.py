"""SeparableConv: transformers' MobileNetV1 layers and ConvBERT's separable convolution are the judges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import ConvBertConfig, MobileNetV1Config
from transformers.models.convbert.modeling_convbert import SeparableConv1D
from transformers.models.mobilenet_v1.modeling_mobilenet_v1 import MobileNetV1ConvLayer

import speechconv as sc
from tests.layers.families.judges import EXACT, assert_equal_blocks, off

CONFIG = MobileNetV1Config(tf_padding=False, hidden_act="relu", layer_norm_eps=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_the_mobilenet_kind_is_transformers_two_layers(kernel_size: int, stride: int) -> None:
    depthwise = MobileNetV1ConvLayer(CONFIG, 6, 6, kernel_size, stride=stride, groups=6)
    pointwise = MobileNetV1ConvLayer(CONFIG, 6, 10, 1)
    ours = sc.SeparableConv(6, 10, kernel_size, stride=stride)
    assert_equal_blocks(ours, nn.Sequential(depthwise, pointwise))


@torch.no_grad()
def test_the_xception_kind_without_a_norm_is_convberts() -> None:
    """Whose one bias is the pointwise one; that of our depthwise convolution is 0 here."""
    ours = sc.SeparableConv(6, 10, 5, kind="xception", norm=None).double()
    theirs = SeparableConv1D(ConvBertConfig(), 6, 10, 5).double()
    weights = ours.state_dict()
    weights["depthwise.bias"].zero_()
    theirs.depthwise.weight.copy_(weights["depthwise.weight"])
    theirs.pointwise.weight.copy_(weights["pointwise.weight"])
    theirs.bias.copy_(weights["pointwise.bias"][:, None])
    x = torch.randn(2, 20, 6, dtype=torch.float64)
    assert off(ours(x), theirs(x.transpose(1, 2)).transpose(1, 2)) <= EXACT


@pytest.mark.parametrize("stride", [1, 2])
def test_the_xception_kind_has_nothing_between_the_two(stride: int) -> None:
    depthwise = nn.Conv2d(6, 6, 3, stride=stride, padding=1, groups=6, bias=False)
    theirs = nn.Sequential(depthwise, nn.Conv2d(6, 10, 1, bias=False), nn.BatchNorm2d(10))
    assert_equal_blocks(sc.SeparableConv(6, 10, 3, stride=stride, kind="xception"), theirs)


@pytest.mark.parametrize("kind", ["mobilenet", "xception"])
def test_without_a_norm_it_has_the_parameters_of_the_formula(kind: str) -> None:
    c, n, k = 24, 40, 7
    layer = sc.SeparableConv(c, n, k, kind=kind, norm=None)  # pyright: ignore[reportArgumentType] - parametrized
    assert sum(p.numel() for p in layer.parameters()) == c * k + n * c + c + n


@pytest.mark.parametrize("kind", ["mobilenet", "xception"])
def test_channels_are_refused_by_their_name(kind: Any) -> None:
    with pytest.raises(ValueError, match=r"^in_channels \(=0\) must be an integer >= 1\.$"):
        sc.SeparableConv(0, 10, 3, kind=kind)
    with pytest.raises(ValueError, match=r"^out_channels \(=0\) must be an integer >= 1\.$"):
        sc.SeparableConv(6, 0, 3, kind=kind)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^kind \(='keras'\) must be one of 'mobilenet', 'xception'\.$"):
        sc.SeparableConv(6, 10, 3, kind="keras")  # pyright: ignore[reportArgumentType] - refused
