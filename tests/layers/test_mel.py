"""Mel and Log: librosa, torchaudio, Kaldi's own loop written slowly, and numpy are the judges."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import speechconv as sc

EXACT = 1e-12  # of a bank's largest weight: float64 on both sides, corners by other formulas
FLOAT = 1e-6  # float32 rounds to 6e-8, and so do the terms of a sum
HALF = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}  # relative: one rounding of the result
TORCHAUDIO = 2e-5  # torchaudio builds its banks in float32; 1.4e-5 was measured for Kaldi's

# n_mels, sample_rate, n_fft, f_min, f_max
BANKS: list[tuple[int, int, int, float, float | None]] = [
    (80, 16000, 400, 0.0, None),
    (40, 16000, 512, 20.0, 7600.0),
    (23, 8000, 256, 20.0, None),
    (128, 44100, 2048, 0.0, None),
    (64, 22050, 1024, 125.0, 7500.0),
    (20, 11025, 255, 0.0, 5512.5),
    (1, 16000, 400, 300.0, 3400.0),
]
SCALES_AND_NORMS = list(itertools.product(["slaney", "htk"], ["slaney", None]))
each_bank = pytest.mark.parametrize(("n_mels", "sample_rate", "n_fft", "f_min", "f_max"), BANKS, ids=str)


def off(y: torch.Tensor, expected: NDArray | torch.Tensor) -> float:
    """Largest difference, as a share of the largest expected value."""
    expected = torch.as_tensor(expected)
    assert y.shape == expected.shape
    return float((y.detach() - expected).abs().max() / expected.abs().max())


def spectrogram(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


# The bank


@pytest.mark.parametrize(("scale", "norm"), SCALES_AND_NORMS)
@each_bank
def test_bank_equals_librosas(
    n_mels: int, sample_rate: int, n_fft: int, f_min: float, f_max: float | None, scale: Any, norm: Any
) -> None:
    expected = librosa.filters.mel(
        sr=sample_rate,
        n_fft=n_fft,
        n_mels=n_mels,
        fmin=f_min,
        fmax=f_max,
        htk=scale == "htk",
        norm=norm,
        dtype=np.float64,
    )
    mel = sc.Mel(n_mels, sample_rate=sample_rate, n_fft=n_fft, f_min=f_min, f_max=f_max, scale=scale, norm=norm)
    assert off(mel.matrix, expected) <= FLOAT
    assert off(mel.double().matrix, expected) <= EXACT


def kaldi_bank(n_mels: int, sample_rate: int, n_fft: int, f_min: float, f_max: float) -> NDArray[np.float64]:
    """MelBanks of Kaldi's feat/mel-computations.cc, without warping: one weight after the other, no Nyquist bin."""
    low, high = (1127 * math.log(1 + f / 700) for f in (f_min, f_max))
    step = (high - low) / (n_mels + 1)
    bank = np.zeros((n_mels, n_fft // 2 + 1))
    for band in range(n_mels):
        left, centre, right = low + band * step, low + (band + 1) * step, low + (band + 2) * step
        for i in range(n_fft // 2):
            mel = 1127 * math.log(1 + i * sample_rate / n_fft / 700)
            if left < mel < right:
                bank[band, i] = (mel - left) / (centre - left) if mel <= centre else (right - mel) / (right - centre)
    return bank


KALDI = [(80, 16000, 512, 20.0, 8000.0), (40, 16000, 512, 0.0, 7600.0), (23, 8000, 256, 20.0, 4000.0)]
each_kaldi_bank = pytest.mark.parametrize(("n_mels", "sample_rate", "n_fft", "f_min", "f_max"), KALDI, ids=str)


@each_kaldi_bank
def test_kaldi_scale_equals_kaldis_loop(n_mels: int, sample_rate: int, n_fft: int, f_min: float, f_max: float) -> None:
    bank = sc.mel_filters(
        n_mels, sample_rate=sample_rate, n_fft=n_fft, f_min=f_min, f_max=f_max, scale="kaldi", norm=None
    )
    assert off(bank, kaldi_bank(n_mels, sample_rate, n_fft, f_min, f_max)) <= EXACT


@each_kaldi_bank
def test_kaldi_scale_equals_torchaudios_kaldi_bank(
    n_mels: int, sample_rate: int, n_fft: int, f_min: float, f_max: float
) -> None:
    from torchaudio.compliance.kaldi import get_mel_banks

    expected, _ = get_mel_banks(n_mels, n_fft, sample_rate, f_min, f_max, 100.0, -500.0, 1.0)
    mel = sc.Mel(n_mels, sample_rate=sample_rate, n_fft=n_fft, f_min=f_min, f_max=f_max, scale="kaldi", norm=None)
    assert off(mel.matrix, torch.nn.functional.pad(expected, (0, 1))) <= TORCHAUDIO


@pytest.mark.parametrize(("scale", "norm"), SCALES_AND_NORMS)
def test_bank_equals_torchaudios(scale: Any, norm: Any) -> None:
    from torchaudio.functional import melscale_fbanks

    expected = melscale_fbanks(257, 20.0, 7600.0, 64, 16000, norm, scale).T
    mel = sc.Mel(64, sample_rate=16000, n_fft=512, f_min=20.0, f_max=7600.0, scale=scale, norm=norm)
    assert off(mel.matrix, expected) <= TORCHAUDIO


def test_the_three_scales_differ() -> None:
    """HTK's and Kaldi's scale are the same curve; Kaldi's triangles are straight in mel, HTK's in Hz."""
    slaney, htk, kaldi = (
        sc.mel_filters(80, sample_rate=16000, n_fft=512, scale=scale, norm=None) for scale in ("slaney", "htk", "kaldi")
    )
    assert off(slaney, htk) > 0.5
    assert 1e-3 < off(kaldi, htk) < 1e-2


def test_bands_without_a_bin_are_counted_in_a_warning() -> None:
    with warnings.catch_warnings(action="ignore"):  # librosa's own warning, without a count
        expected = librosa.filters.mel(sr=16000, n_fft=400, n_mels=200)
    empty = int((expected.sum(1) == 0).sum())
    message = (
        f"{empty} of 200 mel bands hold no FFT bin and will always be 0; use fewer n_mels or a larger n_fft (=400)."
    )
    with pytest.warns(UserWarning, match=rf"^{re.escape(message)}$"):
        mel = sc.Mel(200, sample_rate=16000, n_fft=400)
    assert empty > 10
    assert off(mel.matrix, expected) <= FLOAT


# The layer


@pytest.mark.parametrize("learn", [False, True])
def test_mel_is_the_product_with_librosas_bank_also_when_cast(learn: bool) -> None:
    x = spectrogram(2, 7, 201)
    bank = librosa.filters.mel(sr=16000, n_fft=400, n_mels=80, dtype=np.float64)
    expected = x @ torch.as_tensor(bank).T
    mel = sc.Mel(80, sample_rate=16000, n_fft=400, learn=learn)
    assert off(mel(x.float()), expected) <= FLOAT
    assert off(mel.double()(x), expected) <= EXACT
    assert off(mel.bfloat16().double()(x), expected) <= EXACT


def test_a_learned_bank_moves_under_an_optimiser_step() -> None:
    mel = sc.Mel(20, sample_rate=16000, n_fft=400, learn=True)
    x, before = spectrogram(2, 50, 201).float(), mel.matrix.detach()
    y = mel(x)
    optimiser = torch.optim.Adam(mel.parameters(), lr=0.01)
    y.square().sum().backward()
    optimiser.step()
    assert list(mel.state_dict()) == ["bank_delta"]
    assert (mel.matrix != before).all()
    assert off(mel(x), y.detach()) > 0.1


def test_a_fixed_bank_has_neither_parameters_nor_state() -> None:
    mel = sc.Mel(20, sample_rate=16000, n_fft=400)
    assert not list(mel.parameters())
    assert not mel.state_dict()


def test_rows_of_a_padded_batch_equal_the_rows_alone() -> None:
    net = sc.Sequential(sc.Mel(20, sample_rate=16000, n_fft=400), sc.Log()).double()
    x, lengths = spectrogram(3, 9, 201), torch.tensor([9, 0, 4])
    alone = [net(row[None, :length])[0] for row, length in zip(x, lengths, strict=True)]
    for row, length in zip(x, lengths, strict=True):
        row[length:] = torch.nan
    y, frames = net(x, lengths)
    assert frames.tolist() == [9, 0, 4]
    for i, expected in enumerate(alone):
        assert y[i, : frames[i]].allclose(expected, rtol=EXACT, atol=0)
        assert not y[i, frames[i] :].any()


# The logarithm


@pytest.mark.parametrize(
    ("base", "logarithm"), [("e", np.log), ("10", np.log10), ("db", lambda x: 10 * np.log10(x))], ids=["e", "10", "db"]
)
def test_log_equals_numpys_above_its_floor(base: Any, logarithm: Any) -> None:
    x = np.array([0.0, 1e-30, 1e-6, 2e-6, 1.0, 3.0, 1e12])
    expected = logarithm(np.maximum(x, 1e-6))
    log = sc.Log(floor=1e-6, base=base)
    y = log(torch.as_tensor(x)[None, None])[0, 0]
    assert off(y, expected) <= 1e-15
    assert off(log(torch.as_tensor(x)[None, None].float())[0, 0], expected) <= FLOAT


@pytest.mark.parametrize("base", ["e", "10", "db"])
def test_an_additive_floor_is_added_to_every_value(base: Any) -> None:
    """NeMo's ln(x + 2^-24)."""
    x = np.array([0.0, 1e-9, 2.0**-24, 1.0, 3.0])
    logarithm = {"e": np.log, "10": np.log10, "db": lambda x: 10 * np.log10(x)}[base]
    y = sc.Log(floor=2.0**-24, base=base, additive=True)(torch.as_tensor(x)[None, None])[0, 0]
    assert off(y, logarithm(x + 2.0**-24)) <= 1e-15


def test_decibels_equal_librosas() -> None:
    power = spectrogram(1, 30, 80) ** 20  # from 1 down to below the floor
    expected = librosa.power_to_db(power.numpy(), ref=1.0, amin=1e-10, top_db=None)
    assert (power < 1e-10).any()
    assert off(sc.Log(base="db")(power), expected) <= 1e-15


def test_gradient_of_the_log_is_that_of_the_logarithm_above_the_floor_and_zero_below() -> None:
    x = torch.tensor([[[0.0, 1e-9, 0.5, 4.0]]], dtype=torch.float64, requires_grad=True)
    sc.Log(floor=1e-6, base="db")(x).sum().backward()
    assert x.grad is not None
    assert off(x.grad[0, 0], np.array([0.0, 0.0, 20 / math.log(10), 2.5 / math.log(10)])) <= 1e-15


@pytest.mark.parametrize("dtype", HALF)
def test_half_types_keep_a_floor_that_they_cannot_hold(dtype: torch.dtype) -> None:
    """1e-10 is 0 in float16; its logarithm is not."""
    x = torch.tensor([[[0.0, 6e-5, 0.3, 900.0]]], dtype=dtype)
    y = sc.Log()(x)
    assert y.dtype == dtype
    assert torch.allclose(y.double(), x.double().clamp(min=1e-10).log(), rtol=HALF[dtype], atol=0)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_mels": 0}, "n_mels (=0) must be an integer >= 1."),
        ({"n_mels": 40.5}, "n_mels (=40.5) must be an integer >= 1."),
        ({"sample_rate": 0}, "sample_rate (=0) must be an integer >= 1."),
        ({"sample_rate": "8000"}, "sample_rate (='8000') must be an integer >= 1."),
        ({"n_fft": 0}, "n_fft (=0) must be an integer >= 1."),
        (
            {"f_min": -1.0},
            "f_min (=-1.0 Hz) and f_max (=8000.0 Hz) must satisfy 0 <= f_min < f_max <= sample_rate / 2 (=8000.0 Hz).",
        ),
        ({"f_max": 8000.5}, "f_min (=0.0 Hz) and f_max (=8000.5 Hz) must satisfy "),
        ({"f_min": 300.0, "f_max": 300.0}, "f_min (=300.0 Hz) and f_max (=300.0 Hz) must satisfy "),
        ({"f_min": math.nan}, "f_min (=nan Hz) and f_max (=8000.0 Hz) must satisfy "),
        ({"scale": "bark"}, "scale (='bark') must be one of 'slaney', 'htk', 'kaldi'."),
        ({"norm": "l1"}, "norm (='l1') must be one of 'slaney', None."),
    ],
    ids=str,
)
def test_a_refused_argument_of_mel_is_named_with_what_came(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        sc.Mel(**{"n_mels": 40, "sample_rate": 16000, "n_fft": 400, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"floor": 0.0}, "floor (=0.0) must be >= 1.18e-38, float32's smallest normal number."),
        ({"floor": 1e-60}, "floor (=1e-60) must be >= 1.18e-38, float32's smallest normal number."),
        ({"floor": -1e-10}, "floor (=-1e-10) must be >= 1.18e-38, float32's smallest normal number."),
        ({"floor": math.nan}, "floor (=nan) must be >= 1.18e-38, float32's smallest normal number."),
        ({"base": "2"}, "base (='2') must be one of 'e', '10', 'db'."),
    ],
    ids=str,
)
def test_a_refused_argument_of_log_is_named_with_what_came(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        sc.Log(**arguments)


@pytest.mark.parametrize(
    "layer",
    [
        sc.Mel(40, sample_rate=16000, n_fft=400),
        sc.Log(),
        sc.PCEN(),
        sc.DCT(13, n_mels=201),
        sc.Deltas(),
        sc.CMVN(201),
        sc.SlidingCMVN(),
        sc.DynamicRange(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_complex_spectrum_is_refused_with_what_to_use(layer: sc.Layer) -> None:
    kind = type(layer).__name__
    with pytest.raises(
        TypeError, match=rf"^{kind} takes a power or magnitude spectrogram, got a complex one; use output='power'\.$"
    ):
        layer(torch.zeros(1, 3, 201, dtype=torch.complex64))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 7, 200), "Mel expected (batch, frames, 201), got (1, 7, 200)."),
        ((1, 201, 7), "Mel expected (batch, frames, 201), got (1, 201, 7); channels are the last axis here, so"),
        ((7, 201), "Mel expected frames of shape (batch, frames, channels), got (7, 201)."),
    ],
    ids=str,
)
def test_a_spectrogram_of_another_shape_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        sc.Mel(40, sample_rate=16000, n_fft=400)(torch.zeros(shape))
