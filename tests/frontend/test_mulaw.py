"""MuLaw against librosa's companding and torchaudio's codes."""

from __future__ import annotations

import math
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

import speechconv as sc
from speechconv.frontend.mulaw import MuLaw
from tests.law import stream

EXACT = 1e-12  # float64 on both sides
FLOAT = 1e-6  # float32 rounds to 6e-8, and so do the logarithms
each_mu = pytest.mark.parametrize("mu", [255, 15, 1])


def waveform(samples: int = 2000) -> Tensor:
    """Full scale, -60 dB and silence, float64."""
    x = torch.rand(2, samples, dtype=torch.float64) * 2 - 1
    x[:, samples // 2 :] *= 1e-3
    x[:, :3] = torch.tensor([1.0, -1.0, 0.0])
    return x


@each_mu
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, EXACT), (torch.float32, FLOAT)])
def test_companding_is_librosas_and_so_is_its_inverse(mu: int, dtype: torch.dtype, tolerance: float) -> None:
    x = waveform()
    y = torch.as_tensor(librosa.mu_compress(x.numpy(), mu=mu, quantize=False))
    law = MuLaw(mu)
    torch.testing.assert_close(law(x.to(dtype)).double(), y, rtol=tolerance, atol=tolerance)
    expanded = torch.as_tensor(librosa.mu_expand(y.numpy(), mu=mu, quantize=False))
    torch.testing.assert_close(law.inverse(y.to(dtype)).double(), expanded, rtol=10 * tolerance, atol=tolerance)


@each_mu
def test_quantized_levels_are_torchaudios_codes(mu: int) -> None:
    from torchaudio.functional import mu_law_decoding, mu_law_encoding

    x = waveform()
    law = MuLaw(mu, quantize=True)
    codes = mu_law_encoding(x, mu + 1)
    level = (law(x) + 1) / 2 * mu
    assert torch.equal(level.round().long(), codes)
    assert (level - codes).abs().max() <= 1e-12 * mu
    torch.testing.assert_close(law.inverse(law(x)), mu_law_decoding(codes.double(), mu + 1), rtol=0, atol=EXACT)


def test_quantizing_errs_by_half_a_level_at_most_and_uses_all_of_them() -> None:
    x = torch.linspace(-1, 1, 20001, dtype=torch.float64)[None]
    y, rounded = MuLaw()(x), MuLaw(quantize=True)(x)
    assert (y - rounded).abs().max() <= 1 / 255 + EXACT
    assert len(rounded.unique()) == 256


def test_louder_samples_saturate_only_where_they_are_quantized() -> None:
    x = torch.tensor([[1.5, -7.0]])
    assert MuLaw(quantize=True)(x).tolist() == [[1.0, -1.0]]
    assert (MuLaw()(x).abs() > 1).all()


@pytest.mark.parametrize("quantize", [False, True])
def test_half_types_round_once(quantize: bool) -> None:
    x = waveform().bfloat16()
    law = MuLaw(quantize=quantize)
    y = law(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), law(x.float()), rtol=2.0**-8, atol=0)


def test_the_gradient_is_the_formulas_and_zero_at_silence() -> None:
    x = waveform(50).requires_grad_()
    (gradient,) = torch.autograd.grad(MuLaw()(x).sum(), x)
    expected = 255 / math.log(256) / (1 + 255 * x.detach().abs())
    expected[:, 2] = 0
    torch.testing.assert_close(gradient, expected, rtol=EXACT, atol=0)


@pytest.mark.parametrize("quantize", [False, True])
def test_a_waveform_streams_and_what_lies_behind_its_end_does_not_leak(quantize: bool) -> None:
    law = MuLaw(quantize=quantize)
    x = waveform(40)
    live = stream(sc.Session(law, dtype=torch.float64), x[0], [0, 1, 30, 9])
    torch.testing.assert_close(live, law(x)[0], rtol=EXACT, atol=0)

    x[1, 25:] = torch.nan
    y, lengths = law(x, torch.tensor([40, 25]))
    assert lengths.tolist() == [40, 25]
    torch.testing.assert_close(y[1, :25], law(x[1:, :25])[0], rtol=EXACT, atol=0)
    assert not y[1, 25:].any()


def test_it_stands_before_any_front_end() -> None:
    net = sc.Sequential(MuLaw(15), sc.ConvSTFT(64, hop_length=16, output="power")).double()
    x = waveform(500)
    expected = net[1](torch.as_tensor(librosa.mu_compress(x.numpy(), mu=15, quantize=False)))
    torch.testing.assert_close(net(x), expected, rtol=0, atol=EXACT * float(expected.max()))
    assert sc.check_streaming(net).worst <= EXACT
    assert (net.in_channels, net.geometry.lookahead) == (0, 31)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mu": 0}, r"mu \(=0\) must be an integer >= 1"),
        ({"mu": 255.0}, r"mu \(=255.0\) must be an integer >= 1"),
        ({"quantize": 256}, r"quantize \(=256\) must be True or False"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MuLaw(**options)


def test_keywords_are_kept_as_they_were_given() -> None:
    law = MuLaw(15, quantize=True)
    assert (law.mu, law.quantize) == (15, True)


def test_frames_are_refused() -> None:
    with pytest.raises(ValueError, match=r"MuLaw expected a waveform of shape \(batch, samples\), got \(1, 9, 4\)"):
        MuLaw()(torch.zeros(1, 9, 4))


def test_the_compression_is_what_g711_is_for() -> None:
    """-40 dB lands at a quarter of the range, not at a hundredth."""
    assert np.isclose(float(MuLaw()(torch.tensor([[0.01]]))), 0.2285, atol=1e-3)
