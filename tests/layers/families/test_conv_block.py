"""ConvBlock: torch's convolution, norm and activation one behind the other are the judge."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import speechconv as sc
from speechconv.layers.families.conv_block import Activation
from tests.layers.families.judges import EXACT, assert_equal_blocks, off

ACTIVATIONS: dict[Activation | None, nn.Module] = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "silu": nn.SiLU(),
    "gelu": nn.GELU(),
    None: nn.Identity(),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "options", [{"kernel_size": 3}, {"kernel_size": 5, "stride": 2, "groups": 2}, {"kernel_size": 1, "stride": 3}]
)
def test_it_is_a_convolution_a_norm_and_an_activation(options: dict[str, Any], activation: Activation | None) -> None:
    conv = nn.Conv2d(4, 6, **options, padding=options["kernel_size"] // 2, bias=False)
    theirs = nn.Sequential(conv, nn.BatchNorm2d(6), ACTIVATIONS[activation])
    assert_equal_blocks(sc.ConvBlock(4, 6, **options, activation=activation), theirs)


def test_without_a_norm_the_convolution_has_a_constant_of_its_own() -> None:
    theirs = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
    assert_equal_blocks(sc.ConvBlock(4, 6, 3, norm=None), theirs)


@pytest.mark.parametrize(
    ("padding", "pads"),
    [("valid", (0, 0)), ("causal", (4, 0)), ("same", (2, 2)), ((3, 0), (3, 0)), ((1, 2), (1, 2))],
    ids=str,
)
def test_pads_and_layer_norm_are_as_written_out(padding: Any, pads: tuple[int, int]) -> None:
    block = sc.ConvBlock(4, 6, 3, dilation=2, padding=padding, norm="layer", activation="silu").double()
    x = torch.randn(2, 11, 4, dtype=torch.float64)
    y = F.conv1d(F.pad(x.transpose(1, 2), pads), block.get_parameter("conv.weight"), dilation=2)
    assert off(block(x), F.silu(F.layer_norm(y.transpose(1, 2), (6,)))) <= EXACT


def test_padding_of_a_batch_is_no_part_of_its_statistics() -> None:
    rows = torch.randn(2, 9, 4)
    lengths = torch.tensor([9, 5])
    padded = torch.full((2, 30, 4), torch.nan)
    padded[0, :9], padded[1, :5] = rows[0], rows[1, :5]
    whole, cut = sc.ConvBlock(4, 6, 3, stride=2), sc.ConvBlock(4, 6, 3, stride=2)
    cut.load_state_dict(whole.state_dict())
    for block, x in ((whole, padded), (cut, rows)):
        block.train()(x, lengths)
    assert torch.equal(whole.get_buffer("normalise.running_var"), cut.get_buffer("normalise.running_var"))
    frames = F.conv1d(F.pad(rows.transpose(1, 2), (1, 1)), whole.get_parameter("conv.weight"), stride=2)[0]
    second = F.conv1d(F.pad(rows[1:, :5].transpose(1, 2), (1, 1)), whole.get_parameter("conv.weight"), stride=2)[0]
    both = torch.cat((frames, second), 1).double()
    assert off(10 * whole.get_buffer("normalise.running_mean").double(), both.mean(1)) <= 1e-5  # momentum 0.1, float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "group"}, "norm (='group') must be one of 'batch', 'layer', None."),
        ({"activation": "tanh"}, "activation (='tanh') must be one of 'relu', 'relu6', 'silu', 'gelu', None."),
        ({"dilation": 0}, "dilation (=0) must be an integer >= 1."),
        (
            {"padding": (1, 0)},
            "padding (=(1, 0)) must be a pair of integers (left, right) >= 0 with left + right <= 0, ",
        ),
    ],
)
def test_arguments_outside_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        sc.ConvBlock(4, 6, 1, **options)


@pytest.mark.parametrize("kernel_size", [1.0, True, 0, "3"])
def test_a_kernel_is_counted_in_whole_taps(kernel_size: Any) -> None:
    with pytest.raises(ValueError, match=rf"^kernel_size \(={kernel_size!r}\) must be an integer >= 1\.$"):
        sc.ConvBlock(4, 6, kernel_size)


def test_what_is_refused_has_the_name_that_the_caller_knows() -> None:
    with pytest.raises(ValueError, match=r"^out_channels \(=0\) must be an integer >= 1\.$"):
        sc.ConvBlock(4, 0, 3)
    assert set(ACTIVATIONS) - {None} == set(get_args(Activation))
