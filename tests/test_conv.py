"""Conv1d against torch's own."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import speechconv as sc
from speechconv import conv as conv_module
from speechconv.conv import convolve
from tests.stacks import conv
from tests.weights import fill


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
    """The same numbers, filled in tap by tap where torch goes channel by channel."""
    torch.manual_seed(3)
    theirs = torch.nn.Conv1d(6, 4, 3, groups=2)
    torch.manual_seed(3)
    ours = sc.Conv1d(6, 4, 3, groups=2)
    assert torch.equal(ours.weight.flatten().sort().values, theirs.weight.flatten().sort().values)
    assert ours.bias is not None
    assert theirs.bias is not None
    assert torch.equal(ours.bias, theirs.bias)


# Of `convolve`: (in_channels, out_channels, groups); few frames are a product, many torch's convolution.
GROUPS = {"dense": (6, 4, 1), "grouped": (6, 4, 2), "depthwise": (6, 6, 6), "one channel": (1, 3, 1)}
each_grouping = pytest.mark.parametrize(("cin", "cout", "groups"), GROUPS.values(), ids=GROUPS.keys())


def few(batch: int, frames: int, channels: int) -> Tensor:
    return torch.randn(batch, frames, channels, dtype=torch.float64)


def sliced(batch: int, frames: int, channels: int) -> Tensor:
    """Storage offset, gaps between rows, frames and channels."""
    return few(batch + 1, 2 * frames + 3, channels + 2)[1:, 3::2, 1:-1]


def transposed(batch: int, frames: int, channels: int) -> Tensor:
    """Channels first in memory."""
    return few(batch, channels, frames).transpose(1, 2)


def expanded(batch: int, frames: int, channels: int) -> Tensor:
    """Every row and channel in the same place."""
    return few(1, frames, 1).expand(batch, frames, channels)


@pytest.mark.parametrize("many", [False, True], ids=["product", "conv1d"])
@pytest.mark.parametrize("layout", [few, sliced, transposed, expanded])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(1, 1, 1), (5, 1, 1), (4, 3, 2), (2, 5, 1), (3, 2, 4)])
@each_grouping
def test_both_ways_of_convolving_are_torchs(
    cin: int,
    cout: int,
    groups: int,
    kernel_size: int,
    stride: int,
    dilation: int,
    bias: bool,
    layout: Callable[[int, int, int], Tensor],
    many: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if many:
        monkeypatch.setattr(conv_module, "FEW", -1)
        monkeypatch.setattr(conv_module, "FEW_DEPTHWISE", -1)
    weight = torch.randn(cout, cin // groups, kernel_size, dtype=torch.float64)
    constant = torch.randn(cout, dtype=torch.float64) if bias else None
    span = (kernel_size - 1) * dilation + 1
    for batch, frames in ((0, span + 1), (1, span), (3, span + 7)):
        x = layout(batch, frames, cin)
        expected = F.conv1d(x.transpose(1, 2), weight, constant, stride, 0, dilation, groups).transpose(1, 2)
        y = convolve(x, weight, constant, stride, dilation, groups)
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)


class Called(Exception):
    pass


@pytest.fixture
def no_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: object) -> None:
        raise Called

    for name in ("conv1d", "conv2d"):
        monkeypatch.setattr(F, name, called)


@pytest.mark.usefixtures("no_convolution")
@each_grouping
def test_few_frames_are_a_product_and_many_are_torchs_convolution(cin: int, cout: int, groups: int) -> None:
    layer = sc.Conv1d(cin, cout, 5, groups=groups)
    limit = conv_module.FEW_DEPTHWISE if groups == cin > 1 else conv_module.FEW
    most = limit // (5 * cin)  # frames whose windows hold that many numbers
    with torch.no_grad():
        assert layer(torch.zeros(1, 4 + most, cin)).shape == (1, most, cout)
        with pytest.raises(Called):
            layer(torch.zeros(1, 5 + most, cin))
        with pytest.raises(Called):
            layer(torch.zeros(2, 4 + most, cin))


@pytest.mark.usefixtures("no_convolution")
@each_grouping
def test_gradients_are_torchs_convolutions_work(cin: int, cout: int, groups: int) -> None:
    layer = sc.Conv1d(cin, cout, 5, groups=groups)
    x = torch.zeros(1, 9, cin)
    with pytest.raises(Called):
        layer(x)
    layer.requires_grad_(False)
    layer(x)
    with pytest.raises(Called):
        layer(x.requires_grad_())


@pytest.mark.parametrize("channels", [8, 512])
@pytest.mark.parametrize(("kernel_size", "stride", "dilation"), [(15, 1, 1), (3, 2, 4)])
def test_whichever_of_torchs_convolutions_runs_equals_conv1d(
    channels: int, kernel_size: int, stride: int, dilation: int
) -> None:
    """It is a matter of speed, and of the number of channels and whether a gradient is asked."""
    layer = sc.Conv1d(channels, channels, kernel_size, stride=stride, dilation=dilation, groups=channels)
    x, weight, bias = torch.randn(2, 100, channels), *(p.detach().clone().requires_grad_() for p in layer.parameters())
    expected = F.conv1d(x.mT, weight, bias, stride, 0, dilation, channels).mT
    expected.square().sum().backward()
    learning = layer(x)
    learning.square().sum().backward()
    with torch.no_grad():
        pairs = [(learning, expected), (layer(x), expected), (layer.weight.grad, weight.grad)]
    for ours, theirs in pairs:
        assert ours is not None
        assert theirs is not None
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6 * theirs.detach().abs().max().item())


def test_a_gradient_of_the_bias_alone_is_right() -> None:
    layer = sc.Conv1d(4, 2, 3)
    layer.weight.requires_grad_(False)
    assert layer.bias is not None
    layer(torch.randn(2, 9, 4)).sum().backward()
    assert layer.bias.grad is not None
    assert layer.bias.grad.tolist() == [14, 14]


@each_grouping
def test_filters_lie_in_memory_tap_by_tap_whatever_becomes_of_them(cin: int, cout: int, groups: int) -> None:
    """Channel by channel within each tap, as the frames under the kernel lie, so that a product reads them as they
    are."""
    layer = sc.Conv1d(cin, cout, 7, groups=groups)
    loaded = sc.Conv1d(cin, cout, 7, groups=groups)
    loaded.load_state_dict({key: value.contiguous() for key, value in layer.state_dict().items()})
    per_group = cin // groups
    for twin in (layer, loaded, copy.deepcopy(layer), copy.deepcopy(layer).double(), copy.deepcopy(layer).bfloat16()):
        assert twin.weight.shape == (cout, per_group, 7)
        filters = twin.weight.transpose(1, 2)
        assert filters.is_contiguous()
        assert filters.flatten(1).data_ptr() == twin.weight.data_ptr()
    assert torch.equal(loaded.weight, layer.weight)


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
