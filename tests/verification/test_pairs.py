"""Pairs: analytic ones and time-reversed ones must be told apart; scipy's Hilbert transform is the judge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import hilbert

from speechconv.verification.answers import PairsAnswer
from speechconv.verification.pairs import examine_pairs
from tests.verification.banks import Array, dft, gabor, hann, noise, pairs, real_only


def examined(filters: Array) -> PairsAnswer:
    answer = examine_pairs(pairs(filters))
    assert answer is not None
    return answer


def learned(filters: int = 64, taps: int = 16) -> Array:
    """Filters as free as training leaves them."""
    return noise(filters, taps)


def test_pairs_by_scipys_hilbert_transform_are_analytic() -> None:
    """Random short kernels have jumps at their ends, which leak: the reference found 0.037 where 0 is ideal."""
    for pair in (hilbert(learned()), hilbert(learned()).conj()):
        answer = examined(pair)
        assert answer.analyticity < 0.1
        assert answer.hilbert_error < 1e-14
        assert answer.orthogonality < 1e-14
        assert "nearly analytic" in answer.verdict


@pytest.mark.parametrize("circular", [True, False])
def test_time_reversed_pairs_are_told_apart(circular: bool) -> None:
    """The published defect: conjugating the spectrum in the place of "times -j" plays the filter backwards."""
    a = learned()
    b = np.fft.irfft(np.fft.rfft(a).conj(), 16) if circular else a[:, ::-1]
    answer = examined(a + 1j * b)
    assert answer.analyticity > 0.5
    assert answer.time_reversed == pytest.approx(1, abs=1e-12)
    assert answer.hilbert_error > 0.5
    assert answer.verdict == "no analytic pairs: the second half of each is the first one reversed in time"


def test_windowed_filters_and_their_mirror_images() -> None:
    z = gabor(np.geomspace(300, 6000, 20))
    assert examined(z).verdict == "analytic pairs"
    skewed = (z.real * np.linspace(0, 1, 401)) + 0.2 * z.imag
    assert "reversed in time" in examined(skewed + 1j * skewed[:, ::-1]).verdict


def test_an_stft_is_analytic_and_no_mirror() -> None:
    answer = examined(dft(256, hann(256)))
    assert answer.analyticity < 1e-3
    assert answer.verdict == "analytic pairs"
    assert answer.balance == pytest.approx(1, abs=0.02)  # bin 1 alone is unbalanced
    assert answer.time_reversed < 0.9
    assert np.isnan(answer.each_analyticity[0])  # DC and Nyquist have no second half
    assert np.isnan(answer.each_analyticity[-1])
    assert np.nanmax(answer.each_analyticity) < 0.05


def test_figures_equal_their_formulas() -> None:
    z = noise(7, 24) + 1j * 1.5 * noise(7, 24, seed=1)
    a, b = z.real, z.imag
    answer = examined(z)
    power = np.abs(np.fft.fft(z, 48)) ** 2
    sides = sorted((power[:, 1:24].sum(1), power[:, 25:].sum(1)), key=np.sum)
    cos = np.abs((a * b).sum(1)) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    analytic: Array = hilbert(a)
    transform = analytic.imag
    error = np.minimum(*(np.linalg.norm(b - s * transform, axis=1) for s in (1, -1))) / np.linalg.norm(b, axis=1)
    assert answer.analyticity == pytest.approx(sides[0].sum() / sides[1].sum(), rel=1e-12)
    assert np.allclose(answer.each_analyticity, sides[0] / sides[1], rtol=1e-12)
    assert answer.orthogonality == pytest.approx(cos.mean(), rel=1e-12)
    assert answer.balance == pytest.approx(np.mean(np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)), rel=1e-12)
    assert answer.hilbert_error == pytest.approx(error.mean(), rel=1e-12)


def test_random_pairs_are_neither() -> None:
    answer = examined(noise(50, 64) + 1j * noise(50, 64, seed=1))
    assert answer.verdict.startswith("no analytic pairs: ")
    assert "reversed" not in answer.verdict


def test_real_filters_are_no_pairs() -> None:
    assert examine_pairs(real_only(noise(4, 8))) is None
    assert examine_pairs(pairs(noise(4, 8) + 0j)) is None


@pytest.mark.parametrize(("size", "whole"), [(1e-3, True), (1e-8, False)])
def test_a_half_is_none_below_a_millionth_of_the_other(size: float, whole: bool) -> None:
    a, b = noise(4, 32), noise(4, 32, seed=1)
    assert (examine_pairs(pairs(a + size * 1j * b)) is not None) == whole
    assert (examine_pairs(pairs(size * a + 1j * b)) is not None) == whole
