"""ConvGatingUnit and ConvGatingMLP: SpeechBrain's port of ESPnet's unit is the judge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from speechbrain.lobes.models.convolution import ConvolutionalSpatialGatingUnit
from torch import nn

import speechconv as sc
from tests.layers.families.judges import EXACT, off


@torch.no_grad()
def theirs_of(ours: sc.Layer, channels: int, kernel_size: int, *, linear: bool) -> nn.Module:
    """Theirs with weights drawn for both; its pads are zeros, as ESPnet's, where SpeechBrain mirrors the signal."""
    theirs = ConvolutionalSpatialGatingUnit(channels, kernel_size, use_linear_after_conv=linear).double()
    theirs.conv.padding_mode = "constant"
    own, others = list(ours.parameters()), dict(theirs.named_parameters())
    names = ["conv.conv.weight", "conv.conv.bias", "linear.weight", "linear.bias"]
    order = ["norm.norm.weight", "norm.norm.bias", *(names if linear else names[:2])]
    assert set(order) == set(others)
    for parameter, name in zip(own, order, strict=True):
        parameter.normal_()
        others[name].copy_(parameter)
    return theirs


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 5, 31])
def test_the_unit_is_speechbrains(kernel_size: int, linear: bool) -> None:
    ours = sc.ConvGatingUnit(12, kernel_size=kernel_size, linear=linear).double()
    theirs = theirs_of(ours, 12, kernel_size, linear=linear)
    x = torch.randn(2, 40, 12, dtype=torch.float64)
    assert off(ours(x), theirs(x)) <= EXACT


def test_the_mlp_is_the_unit_between_two_projections() -> None:
    """ESPnet's ConvolutionalGatingMLP: Linear and GELU, the unit, Linear."""
    mlp = sc.ConvGatingMLP(6, hidden_channels=16, kernel_size=7, linear=True).double()
    expand, _, unit, project = mlp
    assert isinstance(unit, sc.Layer)
    theirs = nn.Sequential(expand, nn.GELU(), theirs_of(unit, 16, 7, linear=True), project)
    x = torch.randn(2, 40, 6, dtype=torch.float64)
    assert off(mlp(x), theirs(x)) <= EXACT


@pytest.mark.parametrize("linear", [False, True])
def test_at_the_start_nearly_all_of_the_first_half_passes(linear: bool) -> None:
    x = torch.randn(2, 40, 12)
    y = sc.ConvGatingUnit(12, linear=linear)(x)
    assert off(y, x[..., :6]) <= 1e-3
    assert not torch.equal(y, x[..., :6])


def test_dropout_is_on_in_training_alone() -> None:
    mlp = sc.ConvGatingUnit(12, dropout=0.5)
    x = torch.randn(2, 40, 12)
    assert 0.4 < (mlp(x) == 0).float().mean() < 0.6
    assert (mlp.eval()(x) != 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sc.ConvGatingUnit(5), r"^channels \(=5\) must be even: one half gates the other\.$"),
        (lambda: sc.ConvGatingUnit(4, dropout=2), r"^dropout \(=2\) must lie in 0 \.\.\. 1\.$"),
        (lambda: sc.ConvGatingUnit(4, dropout="0.1"), r"^dropout \(='0\.1'\) must lie in 0 \.\.\. 1\.$"),  # pyright: ignore[reportArgumentType] - refused
        (lambda: sc.ConvGatingUnit(4, padding=(1, 1)), r"^padding \(=\(1, 1\)\) must keep the number of frames"),
        (lambda: sc.ConvGatingMLP(4, hidden_channels=5), r"^hidden_channels \(=5\) must be even"),
    ],
)
def test_arguments_outside_their_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
