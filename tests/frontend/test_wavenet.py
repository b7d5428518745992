"""WaveNetEncoder against the paper's stack on the samples, projected sample by sample and pooled last."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechconv as sc
from speechconv.frontend.mulaw import MuLaw
from speechconv.frontend.wavenet import MeanPool, WaveNetEncoder
from speechconv.layers.wavenet import WaveNetStack
from tests.law import stream
from tests.layers.test_wavenet import EXACT, FLOAT, HALF, off, paper

ENCODERS: dict[str, dict[str, Any]] = {
    "hop 10": {"dilations": (1, 2, 4, 1, 2, 4), "hop_length": 10},
    "three taps": {"kernel_size": 3, "dilations": (1, 3), "hop_length": 7},
    "hop longer than the stack": {"dilations": (1,), "hop_length": 12},
    "hop 1": {"dilations": (2, 1), "hop_length": 1},
}
each_encoder = pytest.mark.parametrize("options", ENCODERS.values(), ids=ENCODERS.keys())


def small(options: dict[str, Any]) -> WaveNetEncoder:
    return WaveNetEncoder(channels=5, residual_channels=8, **options)


def plain(encoder: WaveNetEncoder, x: Tensor) -> Tensor:
    """The projection at every sample, then the mean: 640 times the work for the same frames."""
    conv, stack, projection = encoder[1], encoder[2], encoder[5]
    assert isinstance(conv, sc.Conv1d)
    assert isinstance(stack, WaveNetStack)
    assert isinstance(projection, nn.Linear)
    assert conv.bias is not None
    weights = [w.to(x.dtype) for w in (conv.weight, conv.bias, projection.weight, projection.bias)]
    y = F.conv1d(F.pad(x[:, None], (encoder.kernel_size - 1, 0)), weights[0], weights[1])
    y = F.linear(paper(stack, y.transpose(1, 2)).relu(), weights[2], weights[3])
    return F.avg_pool1d(y.transpose(1, 2), encoder.hop_length).transpose(1, 2)


@each_encoder
def test_the_encoder_is_stack_projection_and_mean(options: dict[str, Any]) -> None:
    encoder = small(options).double()
    x = 4 * torch.randn(2, 95, dtype=torch.float64)
    expected = plain(encoder, x)
    assert (expected.std(1) > 1e-3).all()  # the ReLU lets something through
    assert off(encoder(x), expected) <= EXACT


def test_ten_seconds_at_16_khz_give_250_frames_of_256() -> None:
    encoder = WaveNetEncoder()
    with torch.no_grad():
        assert encoder(torch.randn(1, 160000)).shape == (1, 250, 256)
    g = encoder.geometry
    assert (g.receptive_field, g.stride, g.lookahead) == (1 + 1 + 1023 + 639, 640, 639)
    assert (encoder.in_channels, encoder.out_channels) == (0, 256)


def test_the_default_encoder_keeps_float32_and_bfloat16_precision_offline_and_live() -> None:
    encoder = WaveNetEncoder()
    x = torch.randn(4000)
    with torch.no_grad():
        expected = plain(encoder, x[None].double())[0]
        for dtype, tolerance in ((torch.float32, FLOAT), (torch.bfloat16, HALF)):
            encoder, x = encoder.to(dtype), x.to(dtype)
            for y in (encoder(x[None])[0], stream(sc.Session(encoder), x, [0, 1, 639, 0, 2000, 1360])):
                assert y.shape == expected.shape == (6, 256)
                assert (y.double() - expected).norm() <= tolerance * expected.norm()
                assert dtype == torch.bfloat16 or off(y.double(), expected) <= tolerance


@each_encoder
def test_every_full_hop_gives_a_frame(options: dict[str, Any]) -> None:
    encoder = small(options)
    for samples in range(3 * encoder.hop_length + 2):
        frames = samples // encoder.hop_length
        assert encoder(torch.zeros(1, samples)).shape == (1, frames, 5)
        assert encoder.geometry.num_frames(samples) == frames


@each_encoder
def test_live_equals_offline_each_frame_with_the_last_sample_of_its_hop(options: dict[str, Any]) -> None:
    encoder = small(options)
    assert sc.check_streaming(encoder).worst <= EXACT
    assert [encoder.geometry.emitted_at(t) for t in (0, 3)] == [encoder.hop_length, 4 * encoder.hop_length]


@pytest.mark.parametrize("quantize", [False, True])
def test_companded_input_and_layers_behind_stream_with_it(quantize: bool) -> None:
    encoder = small(ENCODERS["hop 10"])
    net = sc.Sequential(MuLaw(quantize=quantize), encoder, sc.Residual(sc.Conv1d(5, 5, 4, padding="same"))).double()
    assert sc.check_streaming(net).worst <= EXACT
    x = torch.rand(1, 80, dtype=torch.float64) * 2 - 1
    companded = torch.sign(x) * torch.log(1 + 255 * x.abs()) / torch.log(torch.tensor(256.0, dtype=torch.float64))
    if quantize:
        companded = ((companded + 1) / 2 * 255).round() / 255 * 2 - 1
    assert off(net[1](net[0](x)), plain(encoder, companded)) <= EXACT


@each_encoder
def test_the_declared_receptive_field_is_that_of_the_jacobian(options: dict[str, Any]) -> None:
    """The ReLU in the middle would hide what it cuts off, so all skips are pushed above it."""
    encoder = small(options).double()
    stack = encoder[2]
    assert isinstance(stack, WaveNetStack)
    stack.layers[0].mix.bias.data += 100
    g = encoder.geometry
    frame = -(-g.pad_left // g.stride) + 1
    first, last = g.span(frame)
    x = torch.randn(1, last + 30, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(encoder(x)[0, frame].sum(), x)
    touched = gradient[0].nonzero().flatten()
    assert (int(touched[0]), int(touched[-1])) == (first, last)


@each_encoder
def test_every_weight_learns(options: dict[str, Any]) -> None:
    encoder = small(options)
    encoder(4 * torch.randn(4, 120)).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@each_encoder
def test_a_batch_padded_with_nan_equals_its_rows_and_so_do_weight_gradients(options: dict[str, Any]) -> None:
    encoder = small(options).double()
    lengths = [53, 0, 9, 80]
    rows = [4 * torch.randn(n, dtype=torch.float64) for n in lengths]
    batch = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)
    y, frames = encoder(batch, torch.tensor(lengths))
    y.square().sum().backward()
    together = [p.grad.clone() for p in encoder.parameters() if p.grad is not None]
    encoder.zero_grad()

    assert frames.tolist() == [n // encoder.hop_length for n in lengths]
    for i, row in enumerate(rows):
        alone = encoder(row[None])[0]
        alone.square().sum().backward()
        assert not y[i, len(alone) :].any()
        if len(alone):
            assert off(y[i, : len(alone)], alone) <= EXACT
    for parameter, gradient in zip(encoder.parameters(), together, strict=True):
        assert parameter.grad is not None
        assert off(gradient, parameter.grad) <= 1e-11  # sums of 140 samples in another order


def test_pooling_leaves_out_what_fills_no_hop() -> None:
    x = torch.arange(7.0)[None, :, None]
    assert MeanPool(3)(x).flatten().tolist() == [1.0, 4.0]


KEYWORDS: dict[str, Any] = {
    "channels": 5,
    "residual_channels": 6,
    "kernel_size": 3,
    "dilations": [1, 2],
    "hop_length": 9,
}


def test_keywords_are_kept_as_they_were_given_with_tuples_for_lists() -> None:
    encoder = WaveNetEncoder(**KEYWORDS)
    assert {name: getattr(encoder, name) for name in KEYWORDS} == KEYWORDS | {"dilations": (1, 2)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, r"^channels \(=0\) must be an integer >= 1"),
        ({"residual_channels": 0}, r"residual_channels \(=0\) must be an integer >= 1"),
        ({"kernel_size": 1}, r"kernel_size \(=1\) must be an integer >= 2"),
        ({"dilations": (1, -2)}, r"dilations\[1\] \(=-2\) must be an integer >= 1"),
        ({"hop_length": 0}, r"hop_length \(=0\) must be an integer >= 1"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WaveNetEncoder(**options)
