"""LightweightConv: equations 4 and 5 of the paper in loops, and fairseq's and ESPnet's ways, are judges."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import speechconv as sc
from tests.layers.families.judges import EXACT, off

PADS: list[Any] = ["same", "causal", (3, 1)]


def by_the_equations(layer: sc.LightweightConv, x: Tensor) -> Tensor:
    """Channel by channel, tap by tap: the paper's weights for channel c (from 1) are those of head ceil(c H / d)."""
    left, d = layer.geometry.pad_left, layer.channels
    y = torch.zeros_like(x)
    for channel in range(1, d + 1):
        w = layer.weight[math.ceil(channel * layer.heads / d) - 1].exp()
        for tap, weight in enumerate(w / w.sum()):
            for frame in range(len(x)):
                if 0 <= frame + tap - left < len(x):
                    y[frame, channel - 1] += weight * x[frame + tap - left, channel - 1]
    return y if layer.bias is None else y + layer.bias


def by_fairseq(layer: sc.LightweightConv, x: Tensor) -> Tensor:
    """LightweightConv1dTBC, which its models use: each frame's windows, cut into heads, times the filter of a head."""
    batch, frames, channels = x.shape
    padded = F.pad(x, (0, 0, layer.geometry.pad_left, layer.geometry.pad_right))
    windows = padded.unfold(1, layer.kernel_size, 1).reshape(batch * frames, layer.heads, -1, layer.kernel_size)
    y = torch.einsum("nhrk,hk->nhr", windows, F.softmax(layer.weight, -1)).reshape(batch, frames, channels)
    return y if layer.bias is None else y + layer.bias


def by_espnet(layer: sc.LightweightConv, x: Tensor) -> Tensor:
    """LightweightConvolution, and fairseq's example LightweightConv1d: the heads are the groups of a convolution of
    C / H rows for each one, so channel c is of head c mod H."""
    batch, frames, channels = x.shape
    rows = F.pad(
        x.transpose(1, 2).reshape(-1, layer.heads, frames), (layer.geometry.pad_left, layer.geometry.pad_right)
    )
    y = F.conv1d(rows, F.softmax(layer.weight, -1)[:, None], groups=layer.heads)
    y = y.view(batch, channels, frames).transpose(1, 2)
    return y if layer.bias is None else y + layer.bias


def layer_of(channels: int, kernel_size: int, **options: Any) -> sc.LightweightConv:
    layer = sc.LightweightConv(channels, kernel_size, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


@torch.no_grad()
@pytest.mark.parametrize("heads", [1, 2, 6])
@pytest.mark.parametrize("padding", PADS, ids=str)
def test_it_is_the_papers_equations(padding: Any, heads: int) -> None:
    layer = layer_of(6, 5, heads=heads, padding=padding)
    x = torch.randn(9, 6, dtype=torch.float64)
    assert off(layer(x[None])[0], by_the_equations(layer, x)) <= EXACT


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("padding", PADS, ids=str)
def test_it_is_fairseqs_in_value_and_gradient(padding: Any, bias: bool) -> None:
    layer = layer_of(12, 5, heads=3, padding=padding, bias=bias)
    x = torch.randn(2, 30, 12, dtype=torch.float64)
    y, expected = layer(x), by_fairseq(layer, x)
    assert off(y, expected) <= EXACT
    probe = torch.randn_like(y)
    ours = torch.autograd.grad((y * probe).sum(), list(layer.parameters()))
    theirs = torch.autograd.grad((expected * probe).sum(), list(layer.parameters()))
    assert all(off(a, b) <= EXACT for a, b in zip(ours, theirs, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("padding", PADS, ids=str)
def test_espnets_channels_are_those_of_other_heads(padding: Any) -> None:
    """As the docstring says: its channels heads last, in and out."""
    layer = layer_of(12, 5, heads=3, padding=padding, bias=False)
    x = torch.randn(2, 30, 12, dtype=torch.float64)
    y = layer(x.unflatten(2, (-1, 3)).mT.flatten(2)).unflatten(2, (3, -1)).mT.flatten(2)
    assert off(y, by_espnet(layer, x)) <= EXACT
    assert off(layer(x), by_espnet(layer, x)) > 0.1


def test_a_constant_signal_stays_as_it_is_away_from_the_ends() -> None:
    y = layer_of(4, 5, heads=2, bias=False)(torch.ones(1, 12, 4, dtype=torch.float64))
    assert (y[:, 2:-2] - 1).abs().max() <= EXACT
    assert (y[:, [0, 1, -2, -1]] < 1).all()


def test_the_module_is_lite_transformers_branch() -> None:
    module = sc.LightweightConvModule(12, kernel_size=7, heads=4).double()
    pointwise_in, _, lightweight, pointwise_out = module
    assert isinstance(lightweight, sc.LightweightConv)
    x = torch.randn(2, 20, 12, dtype=torch.float64)
    first, gate = pointwise_in(x).chunk(2, -1)
    assert off(module(x), pointwise_out(by_fairseq(lightweight, first * gate.sigmoid()))) <= EXACT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 4}, r"^channels \(=6\) must be divisible by heads \(=4\)\.$"),
        ({"heads": 3, "padding": "valid"}, r"^padding \(='valid'\) must keep the number of frames"),
        ({"heads": 3, "bias": 1}, r"^bias \(=1\) must be True or False"),
    ],
)
def test_arguments_outside_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.LightweightConv(6, 5, **options)
