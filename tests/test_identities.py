"""Identities of convolution: numpy, torch's unfold and convolutions, and slow loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import speechconv as sc
from speechconv.identities import composed_filters, dense_filters, filter_matrix, full_convolution, im2col

few = st.integers(1, 5)


def integers(*shape: int) -> Tensor:
    """Small ones in float64: sums are exact, so equal is equal bit by bit."""
    return torch.randint(-9, 10, shape).double()


def conv1d(x: Tensor, weight: Tensor, bias: Tensor | None = None, **how: Any) -> Tensor:
    """Judge: torch's, frames last but one."""
    return F.conv1d(x.transpose(1, 2), weight, bias, **how).transpose(1, 2)


@given(few, few, few, st.integers(1, 12))
def test_full_convolution_is_numpys(cin: int, cout: int, kernel_size: int, frames: int) -> None:
    x, weight = integers(2, frames, cin), integers(cout, cin, kernel_size)
    y = full_convolution(x, weight)
    for row, out in np.ndindex(2, cout):
        parts = [np.convolve(x[row, :, c].numpy(), weight[out, c].numpy(), "full") for c in range(cin)]
        np.testing.assert_array_equal(y[row, :, out].numpy(), np.sum(parts, 0))


def test_convolution_commutes_and_cross_correlation_does_not() -> None:
    x, w = integers(1, 7, 1), integers(1, 3, 1)
    assert torch.equal(full_convolution(x, w.mT), full_convolution(w, x.mT))
    padded, swapped = F.pad(x, (0, 0, 2, 2)), F.pad(w, (0, 0, 6, 6))
    correlation, other = conv1d(padded, w.mT), conv1d(swapped, x.mT)
    assert not torch.equal(correlation, other)
    assert torch.equal(correlation, other.flip(1))


def test_an_impulse_comes_out_as_the_kernel_and_turned_round_by_cross_correlation() -> None:
    impulse, weight = torch.zeros(1, 5, 1), torch.tensor([[[1.0, 2.0, 3.0]]])
    impulse[0, 2] = 1
    assert full_convolution(impulse, weight).flatten().tolist() == [0, 0, 1, 2, 3, 0, 0]
    conv = sc.Conv1d(1, 1, 3, bias=False)
    conv.weight.data = weight
    assert conv(impulse).flatten().tolist() == [3, 2, 1]


@given(few, few, few, few, few, st.integers(0, 12))
def test_a_convolution_is_a_matrix_product(
    cin: int, cout: int, kernel_size: int, stride: int, dilation: int, more: int
) -> None:
    x, weight = integers(2, (kernel_size - 1) * dilation + 1 + more, cin), integers(cout, cin, kernel_size)
    rows = im2col(x, kernel_size, stride=stride, dilation=dilation)
    expected = conv1d(x, weight, stride=stride, dilation=dilation)
    assert torch.equal(rows @ filter_matrix(weight), expected)


@given(few, few, few, few, st.integers(0, 12))
def test_im2col_is_torchs_unfold_with_frames_as_rows(
    channels: int, kernel_size: int, stride: int, dilation: int, more: int
) -> None:
    """torch's unfold lays channel by channel what we lay tap by tap."""
    x = integers(2, (kernel_size - 1) * dilation + 1 + more, channels)
    image = x.transpose(1, 2).unsqueeze(2)
    columns = F.unfold(image, (1, kernel_size), dilation=(1, dilation), stride=(1, stride))
    expected = columns.unflatten(1, (channels, kernel_size)).permute(0, 3, 2, 1).flatten(2)
    assert torch.equal(im2col(x, kernel_size, stride=stride, dilation=dilation), expected)


def test_im2cols_rows_are_a_view_unless_dilated() -> None:
    x = torch.randn(2, 11, 3)
    assert im2col(x, 3, stride=2).data_ptr() == x.data_ptr()
    assert im2col(x, 3, dilation=2).data_ptr() != x.data_ptr()


def test_im2col_carries_gradients() -> None:
    x = torch.randn(2, 11, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: im2col(x, 3, stride=2, dilation=2), (x,))


@given(few, few, few, st.booleans(), st.integers(0, 9))
def test_a_fully_connected_layer_on_every_window_is_a_convolution(
    kernel_size: int, channels: int, outputs: int, bias: bool, more: int
) -> None:
    """Judge: the layer itself, window by window."""
    linear = nn.Linear(kernel_size * channels, outputs, bias=bias).double()
    linear.weight.data, x = integers(outputs, kernel_size * channels), integers(2, kernel_size + more, channels)
    if bias:
        linear.bias.data = integers(outputs)
    y = sc.linear_as_conv(linear, kernel_size)(x)
    windows = [x[:, t : t + kernel_size].flatten(1) for t in range(more + 1)]
    assert torch.equal(y, torch.stack([linear(window) for window in windows], 1))


def test_a_fully_connected_layer_gives_its_matrix_to_its_convolution() -> None:
    linear = nn.Linear(6, 4)
    conv = sc.linear_as_conv(linear, 3)
    assert torch.equal(filter_matrix(conv.weight), linear.weight.T)
    assert (conv.in_channels, conv.out_channels, conv.kernel_size) == (2, 4, 3)
    linear.weight.data.zero_()
    assert conv.weight.abs().sum() > 0  # a copy
    assert sc.linear_as_conv(linear.bfloat16(), 3).weight.dtype == torch.bfloat16


def test_a_frozen_layer_stays_frozen_and_nothing_is_drawn() -> None:
    linear = nn.Linear(6, 4)
    linear.weight.requires_grad_(False)
    before = torch.get_rng_state()
    conv = sc.linear_as_conv(linear, 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert [p.requires_grad for p in conv.parameters()] == [False, True]
    assert conv.weight.stride() == sc.Conv1d(2, 4, 3).weight.stride()


@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(3, 1, 1), (4, 2, 1), (3, 3, 2)])
def test_one_forward_over_a_long_input_is_the_classifier_on_every_crop(
    kernel_size: int, stride: int, dilation: int
) -> None:
    """Judge: torch's modules on each crop; 1e-12 is float64's rounding."""
    encoder = nn.Sequential(
        nn.Conv1d(5, 8, kernel_size, stride=stride, dilation=dilation),
        nn.GELU(),
        nn.Conv1d(8, 6, 2, stride=2),
        nn.GELU(),
    ).double()
    hidden, last = nn.Linear(4 * 6, 7).double(), nn.Linear(7, 3).double()
    first, second = encoder[0], encoder[2]
    assert isinstance(first, nn.Conv1d)
    assert isinstance(second, nn.Conv1d)
    ours = [sc.Conv1d(5, 8, kernel_size, stride=stride, dilation=dilation), sc.Conv1d(8, 6, 2, stride=2)]
    for mine, theirs in zip(ours, (first, second), strict=True):
        mine.load_state_dict(theirs.state_dict())
    net = sc.Sequential(
        ours[0], nn.GELU(), ours[1], nn.GELU(), sc.linear_as_conv(hidden, 4), nn.GELU(), sc.linear_as_conv(last, 1)
    ).double()
    x = torch.randn(2, 60, 5, dtype=torch.float64)
    y, g = net(x), net.geometry
    assert y.shape[1] == g.num_frames(60) > 3
    for t in range(y.shape[1]):
        first_frame, last_frame = g.span(t)
        crop = encoder(x[:, first_frame : last_frame + 1].transpose(1, 2)).transpose(1, 2)
        expected = last(F.gelu(hidden(crop.flatten(1))))
        torch.testing.assert_close(y[:, t], expected, rtol=0, atol=1e-12)


@given(few, few, few, few)
def test_groups_are_a_standard_convolution_with_zeros(
    groups: int, in_channels: int, out_channels: int, kernel_size: int
) -> None:
    x, weight = integers(2, 9, groups * in_channels), integers(groups * out_channels, in_channels, kernel_size)
    dense = dense_filters(weight, groups)
    assert dense.shape == (groups * out_channels, groups * in_channels, kernel_size)
    assert torch.equal(conv1d(x, dense), conv1d(x, weight, groups=groups))
    assert int((dense != 0).sum()) == int((weight != 0).sum())


@given(few, few, few, few, few, few, st.integers(0, 12))
def test_two_convolutions_with_nothing_between_are_one(
    cin: int, hidden: int, cout: int, k1: int, k2: int, stride: int, more: int
) -> None:
    first, second = integers(hidden, cin, k1), integers(cout, hidden, k2)
    one = composed_filters(first, second, stride=stride)
    g = sc.Geometry(k1, stride).then(sc.Geometry(k2, 2))
    assert one.shape == (cout, cin, g.receptive_field)
    x = integers(2, g.receptive_field + more, cin)
    expected = conv1d(conv1d(x, first, stride=stride), second, stride=2)
    assert torch.equal(conv1d(x, one, stride=g.stride), expected)


def test_a_nonlinearity_between_two_convolutions_makes_them_more_than_one() -> None:
    x, first, second = integers(1, 40, 2), integers(3, 2, 3), integers(2, 3, 3)
    bent = conv1d(conv1d(x, first).relu(), second)
    rows = F.pad(im2col(x, 5)[0], (0, 1), value=1.0)  # any convolution of five taps, and its bias
    residual = bent[0] - rows @ torch.linalg.lstsq(rows, bent[0]).solution
    assert residual.abs().max() > 0.1 * bent.abs().max()


def test_a_separable_layer_is_a_standard_one_of_rank_one_kernels() -> None:
    depthwise, pointwise = integers(4, 1, 3), integers(6, 4, 1)
    one = composed_filters(dense_filters(depthwise, 4), pointwise)
    assert torch.equal(one, pointwise * depthwise.transpose(0, 1))
    assert torch.linalg.matrix_rank(one.transpose(0, 1)).tolist() == [1] * 4
    x = integers(2, 9, 4)
    assert torch.equal(conv1d(x, one), conv1d(conv1d(x, depthwise, groups=4), pointwise))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: full_convolution(torch.zeros(1, 4, 3), torch.zeros(5, 2, 3)),
            r"^expected frames \(batch, n, 2\) for these filters, got \(1, 4, 3\)\.$",
        ),
        (lambda: full_convolution(torch.zeros(4, 2), torch.zeros(5, 2, 3)), r"frames \(batch, n, 2\) .* \(4, 2\)\.$"),
        (lambda: full_convolution(torch.zeros(1, 4, 2), torch.zeros(2, 3)), r"^expected filters \(out_channels, "),
        (lambda: filter_matrix(torch.zeros(2, 3)), r"^expected filters \(out_channels, in_channels, k\), got \(2, 3\)"),
        (lambda: dense_filters(torch.zeros(2, 3), 2), r"^expected filters \(out_channels, "),
        (lambda: composed_filters(torch.zeros(2, 3), torch.zeros(1, 2, 3)), r"^expected filters .*, got \(2, 3\)\.$"),
        (lambda: composed_filters(torch.zeros(2, 1, 3), torch.zeros(1, 2)), r"^expected filters .*, got \(1, 2\)\.$"),
        (lambda: im2col(torch.zeros(1, 4, 2), 3, dilation=2), r"^expected frames \(batch, n, channels\) with n >= 5, "),
        (lambda: im2col(torch.zeros(4, 2), 3), r"with n >= 3, got \(4, 2\)\.$"),
        (lambda: im2col(torch.zeros(1, 4, 2), 0), r"^kernel_size \(=0\)"),
        (lambda: im2col(torch.zeros(1, 4, 2), 2, stride=0), r"^stride \(=0\)"),
        (lambda: im2col(torch.zeros(1, 4, 2), 2, dilation=0), r"^dilation \(=0\)"),
        (lambda: sc.linear_as_conv(nn.Linear(7, 2), 3), r"^a layer of 7 inputs takes no whole number .* windows of 3 "),
        (lambda: sc.linear_as_conv(nn.Linear(7, 2), 0), r"^kernel_size \(=0\)"),
        (lambda: dense_filters(torch.zeros(4, 2, 3), 3), r"^out_channels \(=4\) must be divisible by groups \(=3\)\.$"),
        (lambda: dense_filters(torch.zeros(4, 2, 3), 0), r"^groups \(=0\)"),
        (lambda: composed_filters(torch.zeros(2, 1, 3), torch.zeros(1, 2, 3), stride=0), r"^stride \(=0\)"),
        (
            lambda: composed_filters(torch.zeros(2, 1, 3), torch.zeros(1, 3, 3)),
            r"^the second convolution takes 3 channels and the first gives 2\.$",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_convolution_is_made_of_linear_layers_alone() -> None:
    with pytest.raises(TypeError, match=r"^expected a torch\.nn\.Linear, got ReLU\.$"):
        sc.linear_as_conv(nn.ReLU(), 3)  # pyright: ignore[reportArgumentType] - refused
