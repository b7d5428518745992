"""Frequency scales: banks spaced by librosa's and by written-out formulas must be told apart by name."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from speechconv.verification.filter_shape import describe_filters
from speechconv.verification.scales import SCALES, fit_scales
from tests.verification.banks import Array, dft, gabor, hann, pairs

LOW, HIGH, COUNT = 80.0, 7600.0, 40


def bark_hz() -> Array:
    low, high = (26.81 * f / (1960 + f) - 0.53 for f in (LOW, HIGH))
    z = np.linspace(low, high, COUNT)
    return 1960 * (z + 0.53) / (26.28 - z)


def erb_hz() -> Array:
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (LOW, HIGH))
    return (10 ** (np.linspace(low, high, COUNT) / 21.4) - 1) / 0.00437


SPACED = {
    "linear": np.linspace(LOW, HIGH, COUNT),
    "mel_htk": librosa.mel_frequencies(COUNT, fmin=LOW, fmax=HIGH, htk=True),
    "mel_slaney": librosa.mel_frequencies(COUNT, fmin=LOW, fmax=HIGH, htk=False),
    "bark": bark_hz(),
    "erb": erb_hz(),
}


@pytest.mark.parametrize("name", SPACED)
def test_gabor_filters_spaced_on_a_scale_name_it(name: str) -> None:
    """The peaks are measured, from filters in no order: to 1e-3 of the range, a tenth of the scales' distances."""
    centres = np.random.default_rng(0).permutation(SPACED[name])
    answer = fit_scales([f.peak_hz for f in describe_filters(pairs(gabor(centres)))])
    assert answer is not None
    assert answer.best == name
    assert answer.residual[name] < 1e-3
    assert min(residual for other, residual in answer.residual.items() if other != name) > 5 * answer.residual[name]


@pytest.mark.parametrize("name", SPACED)
def test_residuals_equal_polyfits(name: str) -> None:
    peaks = SPACED["mel_slaney"]
    answer = fit_scales(peaks.tolist())
    assert answer is not None
    on_scale = {
        "linear": peaks,
        "mel_htk": librosa.hz_to_mel(peaks, htk=True),
        "mel_slaney": librosa.hz_to_mel(peaks),
        "bark": 26.81 * peaks / (1960 + peaks) - 0.53,
        "erb": 21.4 * np.log10(1 + 0.00437 * peaks),
    }[name]
    line = np.polyval(np.polyfit(np.arange(COUNT), on_scale, 1), np.arange(COUNT))
    expected = np.sqrt(np.mean((on_scale - line) ** 2)) / np.ptp(on_scale)
    assert answer.residual[name] == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert answer.residual.keys() == SCALES.keys()


def test_an_stft_is_linear() -> None:
    answer = fit_scales([f.peak_hz for f in describe_filters(pairs(dft(400, hann(400))))])
    assert answer is not None
    assert answer.best == "linear"
    assert answer.residual["linear"] < 1e-6


@pytest.mark.parametrize("peaks", [[], [100.0, 200.0], [500.0] * 5, [float("nan"), 100.0, 200.0]])
def test_too_few_peaks_lie_on_no_scale(peaks: list[float]) -> None:
    assert fit_scales(peaks) is None
