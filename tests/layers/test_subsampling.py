"""ConvSubsampling against torch's convolutions on (batch, filters, frames, bands), and transformers' FastConformer."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechconv as sc
from speechconv.layers.subsampling import ConvSubsampling
from tests.law import stream

# Tolerances are DESIGN's, relative to the largest expected value.
EXACT, FLOAT, HALF = 1e-12, 1e-5, 0.02

KINDS, ENDS = ("conv1d", "conv2d", "depthwise"), ("same", "causal")
each_kind = pytest.mark.parametrize(("kind", "padding"), [*itertools.product(KINDS, ENDS)])
each_factor = pytest.mark.parametrize("factor", [2, 4, 8])


def plain(net: ConvSubsampling, x: Tensor) -> Tensor:
    """Each step as torch has it, its frame pads by F.pad, flattened once at the end."""
    left, right = {"same": (1, 1), "causal": (2, 0)}[net.padding]
    weights = [*net.parameters()]
    if net.kind == "conv1d":
        y = x.transpose(1, 2)
        for weight, bias in zip(weights[::2], weights[1::2], strict=True):
            y = F.conv1d(F.pad(y, (left, right)), weight, bias, stride=2).relu()
        return y.transpose(1, 2)
    y = x[:, None]
    *convs, projection, constant = weights
    for weight, bias in zip(convs[::2], convs[1::2], strict=True):
        if weight.shape[2] == 1:
            y = F.conv2d(y, weight, bias).relu()
            continue
        separable = net.kind == "depthwise" and y.shape[1] > 1
        y = F.conv2d(F.pad(y, (1, 1, left, right)), weight, bias, stride=2, groups=y.shape[1] if separable else 1)
        y = y if separable else y.relu()
    return F.linear(y.transpose(1, 2).flatten(2), projection, constant)


def off(y: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest expected value."""
    assert y.shape == expected.shape
    return float((y - expected).detach().abs().max() / expected.detach().abs().max())


@each_kind
@each_factor
@pytest.mark.parametrize("frames", [1, 8, 29])
def test_every_kind_is_torchs_convolutions(kind: Any, padding: Any, factor: int, frames: int) -> None:
    net = ConvSubsampling(8, in_channels=11, factor=factor, kind=kind, padding=padding).double()
    x = torch.randn(2, frames, 11, dtype=torch.float64)
    assert off(net(x), plain(net, x)) <= EXACT


@pytest.mark.parametrize("bands", [80, 128])
def test_depthwise_is_the_fast_conformers_subsampling(bands: int) -> None:
    """NeMo's dw_striding as transformers has it for Parakeet; for rows of unequal length too."""
    from transformers.models.parakeet.configuration_parakeet import ParakeetEncoderConfig
    from transformers.models.parakeet.modeling_parakeet import ParakeetEncoderSubsamplingConv2D

    config = ParakeetEncoderConfig(num_mel_bins=bands, subsampling_conv_channels=32, hidden_size=32)
    theirs = ParakeetEncoderSubsamplingConv2D(config).double()
    ours = ConvSubsampling(32, in_channels=bands, factor=8, kind="depthwise").double()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x, lengths = torch.randn(3, 61, bands, dtype=torch.float64), torch.tensor([61, 40, 9])
    real = torch.arange(61) < lengths[:, None]
    y, frames = ours(x, lengths)
    expected = theirs(x * real[..., None], real)
    for row, count in enumerate(frames.tolist()):
        assert off(y[row, :count], expected[row, :count]) <= EXACT


@each_kind
@each_factor
def test_frames_are_halved_and_rounded_up_at_every_step(kind: Any, padding: Any, factor: int) -> None:
    net = ConvSubsampling(2, in_channels=3, factor=factor, kind=kind, padding=padding)
    for frames in range(20):
        expected = -(-frames // factor)
        assert net(torch.zeros(1, frames, 3)).shape == (1, expected, 2)
        assert net.geometry.num_frames(frames) == expected


@each_kind
@each_factor
def test_live_equals_offline_each_frame_as_early_as_its_input_permits(kind: Any, padding: Any, factor: int) -> None:
    net = ConvSubsampling(8, in_channels=11, factor=factor, kind=kind, padding=padding)
    assert sc.check_streaming(net).worst <= EXACT
    assert net.geometry.lookahead == (factor - 1 if padding == "same" else 0)


@each_kind
def test_the_law_holds_between_layers_that_stride_and_shift(kind: Any, padding: Any) -> None:
    """Here frames before the first and behind the last are not zero but hold biases, so every step must mask them."""
    net = sc.Sequential(
        sc.Conv1d(2, 11, 7, stride=3, padding=(1, 2)),
        ConvSubsampling(8, in_channels=11, kind=kind, padding=padding),
        sc.Residual(sc.Conv1d(8, 8, 4, padding="same")),
    )
    assert sc.check_streaming(net).worst <= EXACT


@each_kind
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, FLOAT), (torch.bfloat16, HALF)])
def test_real_sizes_keep_their_precision_offline_and_live(
    kind: Any, padding: Any, dtype: torch.dtype, tolerance: float
) -> None:
    net = ConvSubsampling(144, kind=kind, padding=padding)
    x = torch.randn(101, 80)
    with torch.no_grad():
        expected = plain(net.double(), x[None].double())[0]
        net, x = net.to(dtype), x.to(dtype)
        for y in (net(x[None])[0], stream(sc.Session(net), x, [0, 1, 3, 4, 60, 0, 33])):
            assert y.shape == expected.shape == (26, 144)
            assert (y.double() - expected).norm() <= tolerance * expected.norm()
            assert dtype == torch.bfloat16 or off(y.double(), expected) <= tolerance


@each_kind
@each_factor
def test_the_declared_receptive_field_is_that_of_the_jacobian(kind: Any, padding: Any, factor: int) -> None:
    """All weights positive and the signal too, so that no path cancels another or meets a ReLU's zero."""
    net = ConvSubsampling(4, in_channels=5, factor=factor, kind=kind, padding=padding).double()
    for parameter in net.parameters():
        parameter.data.abs_()
    first, last = net.geometry.span(2)
    x = torch.rand(1, last + 20, 5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[0, 2].sum(), x)
    touched = gradient[0].sum(1).nonzero().flatten()
    assert (int(touched[0]), int(touched[-1])) == (first, last)


@each_kind
def test_every_weight_learns(kind: Any, padding: Any) -> None:
    net = ConvSubsampling(8, in_channels=11, factor=8, kind=kind, padding=padding)
    net(torch.randn(4, 50, 11)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@each_kind
def test_a_batch_padded_with_nan_equals_its_rows_and_so_do_weight_gradients(kind: Any, padding: Any) -> None:
    net = ConvSubsampling(8, in_channels=11, kind=kind, padding=padding).double()
    lengths = [21, 0, 5, 40]
    rows = [torch.randn(n, 11, dtype=torch.float64) for n in lengths]
    batch = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)
    y, frames = net(batch, torch.tensor(lengths))
    y.square().sum().backward()
    together = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()

    assert frames.tolist() == [6, 0, 2, 10]
    for i, row in enumerate(rows):
        alone = net(row[None])[0]
        alone.square().sum().backward()
        assert not y[i, len(alone) :].any()
        if len(row):
            assert off(y[i, : len(alone)], alone) <= EXACT
    for parameter, gradient in zip(net.parameters(), together, strict=True):
        assert parameter.grad is not None
        assert off(gradient, parameter.grad) <= 1e-11  # sums of 70 frames in another order


def test_a_stream_remembers_one_frame_at_each_step() -> None:
    spec = sc.Streamer(ConvSubsampling(6, in_channels=11, factor=4, kind="depthwise")).state_spec
    assert [(memory.name, memory.shape) for memory in spec] == [("0.history", (1, 11)), ("2.history", (1, 6 * 6))]


def test_keywords_are_kept_as_they_were_given() -> None:
    options: dict[str, Any] = {
        "channels": 6,
        "in_channels": 11,
        "factor": 8,
        "kind": "conv2d",
        "padding": "causal",
    }
    net = ConvSubsampling(**options)
    assert {name: getattr(net, name) for name in options} == options
    assert (net.out_channels, net.geometry.stride) == (6, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, r"channels \(=0\) must be an integer >= 1"),
        ({"in_channels": 0}, r"in_channels \(=0\) must be an integer >= 1"),
        ({"factor": 1}, r"factor \(=1\) must be an integer >= 2"),
        ({"factor": 6}, r"factor \(=6\) must be a power of two >= 2: each step halves the number of frames"),
        ({"kind": "conv3d"}, r"kind \(='conv3d'\) must be one of 'conv1d', 'conv2d', 'depthwise'"),
        ({"padding": "valid"}, r"padding \(='valid'\) must be one of 'same', 'causal'"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"channels": 4, **options}
    with pytest.raises(ValueError, match=message):
        ConvSubsampling(**arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_another_width_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match=r"ConvSubsampling expected \(batch, frames, 80\), got \(1, 9, 40\)"):
        ConvSubsampling(4, kind=kind)(torch.zeros(1, 9, 40))
