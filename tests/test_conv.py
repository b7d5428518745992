"""Conv1d against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import speechconv as sc
from tests.stacks import conv, fill


@given(conv(4, 2, 3), st.integers(0, 60))
def test_every_combination_equals_torch(layer: sc.Conv1d, frames: int) -> None:
    layer = layer.double()
    x = torch.randn(2, frames, 4, dtype=torch.float64)
    left, right = layer.geometry.pad_left, layer.geometry.pad_right
    padded = F.pad(x.transpose(1, 2), (left, right))
    y = layer(x)
    if padded.shape[2] < layer.geometry.receptive_field or not frames:
        assert y.shape == (2, 0, 2)
        return
    expected = F.conv1d(padded, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)
    torch.testing.assert_close(y, expected.transpose(1, 2), rtol=0, atol=1e-12)


def test_weights_load_from_torch_by_name() -> None:
    theirs = torch.nn.Conv1d(6, 4, 3, groups=2, dilation=2, padding=2)
    ours = sc.Conv1d(6, 4, 3, groups=2, dilation=2, padding=(2, 2))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 20, 6)
    torch.testing.assert_close(ours(x), theirs(x.transpose(1, 2)).transpose(1, 2))


def test_initial_weights_are_torchs() -> None:
    torch.manual_seed(3)
    theirs = torch.nn.Conv1d(6, 4, 3, groups=2)
    torch.manual_seed(3)
    ours = sc.Conv1d(6, 4, 3, groups=2)
    assert torch.equal(ours.weight, theirs.weight)
    assert ours.bias is not None
    assert theirs.bias is not None
    assert torch.equal(ours.bias, theirs.bias)


def test_causal_padding_never_looks_ahead() -> None:
    layer = sc.Conv1d(1, 1, 5, stride=3, dilation=2, padding="causal")
    fill(layer, exact=True, seed=0)
    x = torch.randn(1, 40, 1)
    changed = x.clone()
    changed[:, 13:] += 1
    before = 13 // 3 + (13 % 3 > 0)
    assert torch.equal(layer(x)[:, :before], layer(changed)[:, :before])
    assert layer.geometry.lookahead == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4, 3), r"in_channels \(=0\) must be an integer >= 1"),
        ((4, 0, 3), r"out_channels \(=0\) must be an integer >= 1"),
        ((4, 4, 0), r"kernel_size \(=0\) must be an integer >= 1"),
    ],
)
def test_sizes_below_one_are_refused(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.Conv1d(*arguments)


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match=r"out_channels \(=3\) must be divisible by groups \(=2\)"):
        sc.Conv1d(4, 3, 3, groups=2)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4), r"expected frames of shape \(batch, frames, channels\), got \(2, 4\)"),
        ((2, 7, 5), r"Conv1d expected \(batch, frames, 4\), got \(2, 7, 5\)"),
        ((2, 4, 9), "channels are the last axis here, so transpose"),
    ],
)
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.Conv1d(4, 2, 3)(torch.zeros(shape))


def test_integer_inputs_are_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"expected a floating tensor, got torch.int16; scale integers first"):
        sc.Conv1d(4, 2, 3)(torch.zeros(1, 5, 4, dtype=torch.int16))


@pytest.mark.parametrize(
    ("lengths", "kind", "message"),
    [
        (torch.tensor([3.0]), TypeError, "lengths must be an int64 tensor of shape .batch,., got torch.float32"),
        ([3], TypeError, "got list"),
        (torch.tensor([3, 3]), ValueError, r"lengths must have shape \(1,\), got \(2,\)"),
        (torch.tensor([6]), ValueError, r"lengths \(=\[6\]\) must lie in 0 ... 5"),
        (torch.tensor([-1]), ValueError, r"lengths \(=\[-1\]\)"),
    ],
)
def test_impossible_lengths_are_refused(lengths: torch.Tensor, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        sc.Conv1d(4, 2, 3)(torch.zeros(1, 5, 4), lengths)
