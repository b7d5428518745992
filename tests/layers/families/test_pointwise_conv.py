"""PointwiseConv: torch.nn.Conv1d of one tap, and torch.nn.Linear, are the judges."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import speechconv as sc
from tests.layers.families.judges import EXACT, assert_equal_blocks, off


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_it_is_torchs_convolution_of_one_tap(stride: int, groups: int, bias: bool) -> None:
    ours = sc.PointwiseConv(6, 12, stride=stride, groups=groups, bias=bias)
    theirs = nn.Conv2d(6, 12, 1, stride=stride, groups=groups, bias=bias)
    assert_equal_blocks(ours, theirs)


def test_it_holds_the_weights_of_our_own_convolution_and_starts_as_that_one() -> None:
    torch.manual_seed(3)
    ours = sc.PointwiseConv(6, 4, groups=2)
    torch.manual_seed(3)
    conv = sc.Conv1d(6, 4, 1, groups=2)
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == {"weight": (4, 3, 1), "bias": (4,)}
    assert all(torch.equal(tensor, conv.state_dict()[name]) for name, tensor in ours.state_dict().items())


def test_without_stride_and_groups_it_is_a_linear_layer() -> None:
    ours = sc.PointwiseConv(5, 7).double()
    linear = nn.Linear(5, 7).double()
    with torch.no_grad():
        linear.weight.copy_(ours.weight[:, :, 0])
        linear.bias.copy_(ours.get_parameter("bias"))
    x = torch.randn(2, 9, 5, dtype=torch.float64)
    assert off(ours(x), linear(x)) <= EXACT


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^out_channels \(=4\) must be divisible by groups \(=3\)\.$"):
        sc.PointwiseConv(6, 4, groups=3)
