"""GatedConv: equation 1 of Dauphin et al., with two convolutions of torch's, is the judge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

import speechconv as sc
from tests.layers.families.judges import EXACT, off


@pytest.mark.parametrize(
    ("options", "pads"),
    [
        ({}, (4, 0)),
        ({"padding": "same", "bias": False}, (2, 2)),
        ({"padding": (1, 5), "dilation": 2, "stride": 3}, (1, 5)),
        ({"padding": "valid", "stride": 2}, (0, 0)),
    ],
)
def test_it_is_one_convolution_times_the_sigmoid_of_another(options: dict[str, Any], pads: tuple[int, int]) -> None:
    layer = sc.GatedConv(4, 6, 5, **options).double()
    x = torch.randn(2, 30, 4, dtype=torch.float64)
    weights = layer.get_parameter("conv.weight").chunk(2)
    biases = layer.get_parameter("conv.bias").chunk(2) if layer.bias else (None, None)
    steps = {key: options[key] for key in ("stride", "dilation") if key in options}
    padded = F.pad(x.transpose(1, 2), pads)
    a, b = (F.conv1d(padded, w, c, **steps) for w, c in zip(weights, biases, strict=True))
    assert off(layer(x), (a * torch.sigmoid(b)).transpose(1, 2)) <= EXACT


def test_a_layer_of_convs2s_is_this_one_its_input_and_a_scale() -> None:
    """Gehring et al., section 3.2; the sum is multiplied by the root of one half."""
    gated = sc.GatedConv(4, 4, 3, padding="same")
    net = sc.Sequential(sc.Residual(gated), sc.Affine(scale=0.5**0.5)).double()
    x = torch.randn(2, 9, 4, dtype=torch.float64)
    weight, bias = gated.parameters()
    y = F.glu(F.conv1d(x.transpose(1, 2), weight, bias, padding=1), 1).transpose(1, 2)
    assert off(net(x), (x + y) * 0.5**0.5) <= EXACT
    assert sc.check_streaming(net).worst <= EXACT
