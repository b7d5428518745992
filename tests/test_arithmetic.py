"""Sizes, parameters, multiply-adds and receptive fields: torch's own layers, its flop counter, and published tables."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import speechconv as sc
from speechconv.arithmetic import (
    conv_multiply_adds,
    conv_parameters,
    output_size,
    separable_multiply_adds,
    separable_parameters,
    stack_receptive_field,
)
from speechconv.geometry import Geometry

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)

few = st.integers(1, 5)


def numel(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def torch_multiply_adds(module: nn.Module, *shape: int) -> int:
    """Judge: torch counts the arithmetic of what runs; it counts a multiply-add as two and no bias."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(shape))
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.data())
def test_output_size_is_the_number_of_places_where_the_kernel_fits(
    size: int, kernel_size: int, stride: int, dilation: int, data: st.DataObject
) -> None:
    """Judge: a walk over the padded axis."""
    span = (kernel_size - 1) * dilation + 1
    left = data.draw(st.integers(0, span - 1))
    right = data.draw(st.integers(0, span - 1 - left))
    places = [start for start in range(0, size + left + right, stride) if start + span <= size + left + right]
    expected = len(places) if size else 0
    assert output_size(size, kernel_size, stride=stride, dilation=dilation, padding=(left, right)) == expected


@given(st.integers(1, 40), few, few, few)
def test_output_size_is_torchs(size: int, kernel_size: int, stride: int, dilation: int) -> None:
    span = (kernel_size - 1) * dilation + 1
    side = (span - 1) // 2
    conv = nn.Conv1d(1, 1, kernel_size, stride=stride, dilation=dilation, padding=side)
    pads = (side, side)
    if size + sum(pads) < span:
        assert output_size(size, kernel_size, stride=stride, dilation=dilation, padding=pads) == 0
        return
    expected = conv(torch.zeros(1, 1, size)).shape[2]
    assert output_size(size, kernel_size, stride=stride, dilation=dilation, padding=pads) == expected


@given(few, few, few, few, st.integers(9, 20), st.booleans())
def test_a_grouped_convolution_costs_what_torch_says(
    groups: int, in_channels: int, out_channels: int, kernel_size: int, size: int, bias: bool
) -> None:
    cin, cout = groups * in_channels, groups * out_channels
    conv = nn.Conv1d(cin, cout, kernel_size, groups=groups, bias=bias)
    assert conv_parameters(cin, cout, kernel_size, groups=groups, bias=bias) == numel(conv)
    frames = output_size(size, kernel_size)
    assert conv_multiply_adds(cin, cout, kernel_size, frames, groups=groups) == torch_multiply_adds(conv, 1, cin, size)


@given(few, few, few, few, st.booleans())
def test_an_image_has_taps_and_places_on_two_axes(cin: int, cout: int, height: int, width: int, bias: bool) -> None:
    conv = nn.Conv2d(cin, cout, (height, width), bias=bias)
    assert conv_parameters(cin, cout, (height, width), bias=bias) == numel(conv)
    places = (output_size(8, height), output_size(9, width))
    assert conv_multiply_adds(cin, cout, (height, width), places) == torch_multiply_adds(conv, 1, cin, 8, 9)


@given(few, few, few, few, st.booleans())
def test_a_separable_convolution_costs_what_torch_says(
    cin: int, cout: int, height: int, width: int, bias: bool
) -> None:
    layer = nn.Sequential(
        nn.Conv2d(cin, cin, (height, width), groups=cin, bias=bias), nn.Conv2d(cin, cout, 1, bias=bias)
    )
    assert separable_parameters(cin, cout, (height, width), bias=bias) == numel(layer)
    places = (output_size(8, height), output_size(9, width))
    assert separable_multiply_adds(cin, cout, (height, width), places) == torch_multiply_adds(layer, 1, cin, 8, 9)


def test_a_separable_layer_holds_c_k_squared_and_n_c_and_biases() -> None:
    for c, n, k in itertools.product((1, 3, 32, 512), (1, 10, 64), (1, 3, 5)):
        assert separable_parameters(c, n, (k, k)) == c * k**2 + n * c + c + n


@given(few, st.integers(1, 600), st.integers(1, 40), st.integers(1, 9))
def test_separating_saves_one_over_n_and_one_over_k(cin: int, cout: int, kernel_size: int, frames: int) -> None:
    share = Fraction(
        separable_multiply_adds(cin, cout, kernel_size, frames), conv_multiply_adds(cin, cout, kernel_size, frames)
    )
    assert share == Fraction(1, cout) + Fraction(1, kernel_size)


def test_mobilenets_separable_layers_cost_eight_to_nine_times_less() -> None:
    """Section 3.1 of the paper, for its 3 x 3 kernels and the widths 128 to 1024 of its table 1."""
    for channels in (128, 256, 512, 1024):
        standard = conv_multiply_adds(channels, channels, (3, 3), (14, 14))
        assert 8 < standard / separable_multiply_adds(channels, channels, (3, 3), (14, 14)) < 9


def test_vgg_16_has_138_million_parameters() -> None:
    """Simonyan and Zisserman 2014, configuration D; its five poolings leave 7 x 7 of 224 x 224 pixels."""
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    convs = [conv_parameters(c, n, (3, 3), bias=False) for c, n in itertools.pairwise(widths)]
    assert convs[:4] == [1_728, 36_864, 73_728, 147_456]
    connected = [conv_parameters(c, n, k, bias=False) for c, n, k in ((512, 4096, (7, 7)), (4096, 4096, 1))]
    assert connected == [102_760_448, 16_777_216]
    last = conv_parameters(4096, 1000, 1, bias=False)
    biases = sum(widths[1:]) + 4096 + 4096 + 1000
    assert sum(convs) + sum(connected) + last + biases == 138_357_544


def test_alexnets_first_layer_gives_55_by_55_places_of_34944_parameters() -> None:
    assert output_size(227, 11, stride=4) == 55
    assert conv_parameters(3, 96, (11, 11)) == 34_944


def test_lenet_5_is_as_its_paper_says() -> None:
    """LeCun et al. 1998, section II.B; C5 is a convolution of 5 x 5 on 5 x 5 maps."""
    sizes = [32]
    for kernel_size, stride in ((5, 1), (2, 2), (5, 1), (2, 2), (5, 1)):
        sizes.append(output_size(sizes[-1], kernel_size, stride=stride))
    assert sizes == [32, 28, 14, 10, 5, 1]
    assert conv_parameters(1, 6, (5, 5)) == 156
    assert conv_multiply_adds(1, 6, (5, 5), (28, 28)) + 6 * 28**2 == 122_304  # connections: with the biases
    assert conv_parameters(16, 120, (5, 5)) == 48_120
    assert conv_parameters(120, 84, 1) == 10_164


def test_wav2vec2s_encoder_costs_2_45_billion_multiply_adds_a_second() -> None:
    """Judge: torch's flop counter on transformers' encoder, in its own default shape."""
    from transformers import Wav2Vec2Config
    from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder

    size, total = 16000, 0
    for kernel_size, stride, (cin, cout) in zip(KERNELS, STRIDES, itertools.pairwise((1, *[512] * 7)), strict=True):
        size = output_size(size, kernel_size, stride=stride)
        total += conv_multiply_adds(cin, cout, kernel_size, size)
    assert total == torch_multiply_adds(Wav2Vec2FeatureEncoder(Wav2Vec2Config()).eval(), 1, 16000)
    assert round(total / 1e9, 2) == 2.45


stacks = given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))


@stacks
def test_a_stack_sees_what_its_layers_chained_see(kernel_size: int, layers: int, growth: int, repeats: int) -> None:
    """Judge: Geometry, layer by layer."""
    dilations = [growth**i for i in range(layers)] * repeats
    chain = reduce(Geometry.then, (Geometry((kernel_size - 1) * d + 1) for d in dilations))
    assert stack_receptive_field(kernel_size, layers, growth=growth, stacks=repeats) == chain.receptive_field


@stacks
def test_a_strided_stack_sees_as_much_as_a_dilated_one(
    kernel_size: int, layers: int, growth: int, repeats: int
) -> None:
    chain = reduce(Geometry.then, [Geometry(kernel_size, growth)] * layers)
    assert stack_receptive_field(kernel_size, layers, growth=growth) == chain.receptive_field
    assert chain.stride == growth**layers


def test_a_wavenet_stack_sees_1024_samples() -> None:
    assert stack_receptive_field(2, 10, growth=2) == sc.WaveNetStack(4).geometry.receptive_field == 1024
    three = sc.WaveNetStack(4, stacks=3)
    assert stack_receptive_field(2, 10, growth=2, stacks=3) == three.geometry.receptive_field == 3070


@pytest.mark.parametrize(("kernel_size", "layers"), [(2, 1), (2, 5), (3, 3), (5, 2)])
def test_dilations_that_grow_by_the_kernel_meet_every_frame_once(kernel_size: int, layers: int) -> None:
    """Judge: how many paths lead from each frame to the output, counted by numpy."""
    paths = {growth: _paths(kernel_size, growth, layers) for growth in (1, kernel_size, kernel_size + 1)}
    seen = stack_receptive_field(kernel_size, layers, growth=kernel_size)
    assert seen == kernel_size**layers
    assert paths[kernel_size].tolist() == [1] * seen
    if layers > 1:
        assert paths[1].max() > 1
        assert 0 in paths[kernel_size + 1]


def _paths(kernel_size: int, growth: int, layers: int) -> Any:
    counts = np.ones(1, dtype=int)
    for i in range(layers):
        kernel = np.zeros((kernel_size - 1) * growth**i + 1, dtype=int)
        kernel[:: growth**i] = 1
        counts = np.convolve(counts, kernel)
    return counts


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: output_size(-1, 3), r"^size \(=-1\) must be an integer >= 0\.$"),
        (lambda: output_size(9, 0), r"^kernel_size \(=0\) must be"),
        (lambda: output_size(9, 3, stride=0), r"^stride \(=0\) must be"),
        (lambda: output_size(9, 3, dilation=0), r"^dilation \(=0\) must be"),
        (lambda: output_size(9, 3, padding=(2, 1)), r"^padding \(=\(2, 1\)\) must be a pair"),
        (lambda: conv_parameters(0, 4, 3), r"^in_channels \(=0\) must be"),
        (lambda: conv_parameters(4, 0, 3), r"^out_channels \(=0\) must be"),
        (lambda: conv_parameters(4, 4, (3, 0)), r"^kernel_size\[1\] \(=0\) must be"),
        (lambda: conv_parameters(4, 4, 0), r"^kernel_size \(=0\) must be"),
        (lambda: conv_parameters(4, 4, 3, groups=0), r"^groups \(=0\) must be"),
        (lambda: conv_parameters(4, 6, 3, groups=4), r"^out_channels \(=6\) must be divisible by groups \(=4\)\.$"),
        (lambda: conv_parameters(6, 4, 3, groups=4), r"^in_channels \(=6\) must be divisible by groups \(=4\)\.$"),
        (lambda: conv_parameters(4, 4, 3, bias=2), r"^bias \(=2\) must be True or False"),  # pyright: ignore[reportArgumentType] - what is tested
        (lambda: conv_multiply_adds(4, 4, 3, -1), r"^frames \(=-1\) must be an integer >= 0\.$"),
        (lambda: conv_multiply_adds(4, 4, (3, 3), (5, -1)), r"^frames\[1\] \(=-1\)"),
        (
            lambda: conv_parameters(4, 4, ()),
            r"^kernel_size \(=\(\)\) must have one integer for each axis, or be one\.$",
        ),
        (lambda: conv_multiply_adds(4, 4, 1, ()), r"^frames \(=\(\)\) must have one integer for each axis"),
        (
            lambda: conv_multiply_adds(3, 96, 11, (55, 55)),
            r"^kernel_size \(=11\) must have an axis for each of frames \(=\(55, 55\)\): 2 integers, as \(3",
        ),
        (lambda: separable_multiply_adds(4, 4, (3,), (5, 5)), r"^kernel_size \(=\(3,\)\) must have an axis for each"),
        (lambda: separable_multiply_adds(4, 4, 3, -1), r"^frames \(=-1\)"),
        (lambda: stack_receptive_field(0, 3), r"^kernel_size \(=0\)"),
        (lambda: stack_receptive_field(3, 0), r"^layers \(=0\)"),
        (lambda: stack_receptive_field(3, 3, growth=0), r"^growth \(=0\)"),
        (lambda: stack_receptive_field(3, 3, stacks=0), r"^stacks \(=0\)"),
    ],
)
def test_impossible_numbers_are_refused(call: Callable[[], int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
