"""Figures of each filter, judged by closed forms and by numpy on a grid sixteen times as fine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speechconv.verification.filter_shape import describe_filters
from tests.verification.banks import HZ, Array, dft, gabor, hann, noise, pairs, real_only


def column(answers: list, name: str) -> Array:
    return np.array([getattr(answer, name) for answer in answers])


def slow_figures(power: Array, frequencies: Array, taps: int) -> dict[str, float]:
    """One filter's, from its power on a fine grid 0 ... Nyquist, step by step."""
    top = int(power.argmax())
    step = frequencies[1] - frequencies[0]
    low = high = top
    while low > 0 and power[low] >= power[top] / 2:
        low -= 1
    while high < len(power) - 1 and power[high] >= power[top] / 2:
        high += 1
    peak = power[top]
    power = power.copy()
    power[[0, -1]] /= 2
    erb = step * power.sum() / peak
    outside = np.abs(frequencies - frequencies[top]) > 2 * erb
    p = power[power > 0] / power.sum()
    return {
        "peak_hz": frequencies[top],
        "centroid_hz": float((frequencies * power).sum() / power.sum()),
        "bandwidth_3db_hz": (high - low) * step,
        "erb_hz": erb,
        "leakage": power[outside].sum() / power.sum(),
        "effective_bins": float(np.exp(-(p * np.log(p)).sum())) * step * taps / HZ,
    }


@pytest.mark.parametrize("kind", ["gabor", "random pairs", "random real"])
def test_figures_equal_a_slow_count_on_a_finer_grid(kind: str) -> None:
    """Tolerances: a tenth of the step, as no parabola is exact on random neighbours; 2 % of sums over them."""
    taps, fine = 128, 1 << 15
    z = {
        "gabor": gabor(np.array([400.0, 1000, 2500, 5000]), taps),
        "random pairs": noise(4, taps) + 1j * noise(4, taps, seed=1),
        "random real": noise(4, taps),
    }[kind]
    answers = describe_filters(pairs(z) if np.iscomplexobj(z) else real_only(z))
    power = np.abs(np.fft.fft(z, fine)) ** 2
    if power[:, 1 : fine // 2].sum() < power[:, fine // 2 + 1 :].sum():
        power = np.abs(np.fft.fft(z.conj(), fine)) ** 2
    frequencies = np.arange(fine // 2 + 1) * HZ / fine
    for answer, row in zip(answers, power[:, : fine // 2 + 1], strict=True):
        expected = slow_figures(row, frequencies, taps)
        coarse = HZ / 1024
        assert answer.peak_hz == pytest.approx(expected["peak_hz"], abs=0.1 * coarse)
        assert answer.centroid_hz == pytest.approx(expected["centroid_hz"], abs=0.1 * coarse)
        assert answer.bandwidth_3db_hz == pytest.approx(expected["bandwidth_3db_hz"], abs=0.3 * coarse)
        assert answer.erb_hz == pytest.approx(expected["erb_hz"], rel=0.02)
        assert answer.leakage == pytest.approx(expected["leakage"], abs=0.02)
        assert answer.effective_bins == pytest.approx(expected["effective_bins"], rel=0.02)
        assert answer.q == pytest.approx(answer.peak_hz / answer.bandwidth_3db_hz, rel=1e-12)


def test_a_hann_bank_has_hanns_known_widths() -> None:
    """Harris 1978: 1.44 bins at -3 dB, 1.50 bins of equivalent noise bandwidth; the grid interpolates to 0.5 %."""
    answers = describe_filters(pairs(dft(400, hann(400))))[10:190]
    bins = HZ / 400
    assert np.allclose(column(answers, "peak_hz"), np.arange(10, 190) * bins, atol=1e-3)
    assert np.allclose(column(answers, "bandwidth_3db_hz"), 1.44 * bins, rtol=5e-3)
    assert np.allclose(column(answers, "erb_hz"), 1.5 * bins, rtol=1e-4)
    assert np.allclose(column(answers, "q"), np.arange(10, 190) / 1.44, rtol=5e-3)
    assert column(answers, "leakage").max() < 1e-3


def test_a_gabor_filter_has_gausss_widths() -> None:
    """|H|^2 = exp(-(2 pi (f - mu) sigma)^2): -3 dB width sqrt(ln 2) / (pi sigma), ERB 1 / (2 sqrt(pi) sigma)."""
    sigma = 30.0
    n = np.arange(401) - 200
    z = np.exp(-0.5 * (n / sigma) ** 2 + 2j * np.pi * 0.2 * n)[None]
    answer = describe_filters(pairs(z))[0]
    assert answer.peak_hz == pytest.approx(0.2 * HZ, abs=1e-3)
    assert answer.centroid_hz == pytest.approx(0.2 * HZ, abs=1e-3)
    assert answer.bandwidth_3db_hz == pytest.approx(np.sqrt(np.log(2)) / (np.pi * sigma) * HZ, rel=5e-3)
    assert answer.erb_hz == pytest.approx(HZ / (2 * np.sqrt(np.pi) * sigma), rel=1e-5)


def test_both_signs_of_the_exponent_look_the_same() -> None:
    z = gabor(np.array([300.0, 2000]))
    one, other = describe_filters(pairs(z)), describe_filters(pairs(z.conj()))
    for name in ("peak_hz", "centroid_hz", "bandwidth_3db_hz", "erb_hz", "leakage", "sinusoid"):
        assert np.allclose(column(one, name), column(other, name), rtol=1e-12)


def test_an_stft_is_windowed_sinusoids_and_noise_is_none() -> None:
    """The parabola finds the height of a main lobe to 1e-4."""
    assert np.allclose(column(describe_filters(pairs(dft(256, hann(256)))), "sinusoid"), 1, atol=1e-4)
    assert np.allclose(column(describe_filters(real_only(dft(256, hann(256)).imag[1:-1])), "sinusoid"), 1, atol=1e-4)
    assert column(describe_filters(real_only(noise(20, 256))), "sinusoid").max() < 0.2


def test_the_best_sinusoid_of_a_real_filter_is_a_least_squares_fit() -> None:
    h, w, n = noise(1, 48)[0], hann(48), np.arange(48)
    shares = []
    for window in (np.ones(48), w):
        for f in np.arange(2049) / 4096:
            basis = window[:, None] * np.stack((np.cos(2 * np.pi * f * n), np.sin(2 * np.pi * f * n)), 1)
            fitted = basis @ np.linalg.lstsq(basis, h, rcond=1e-6)[0]
            shares.append(fitted @ fitted / (h @ h))
    assert describe_filters(real_only(h[None]))[0].sinusoid == pytest.approx(max(shares), rel=1e-3)


def test_a_silent_filter_has_no_figures() -> None:
    rows = noise(3, 32)
    rows[1] = 0
    answers = describe_filters(real_only(rows))
    assert np.isnan(answers[1].peak_hz)
    assert np.isnan(answers[1].sinusoid)
    assert np.isfinite(answers[2].erb_hz)
    assert [answer.index for answer in answers] == [0, 1, 2]


def test_one_more_window_may_be_tried_on_the_sinusoid() -> None:
    window = np.blackman(129)[:128] ** 2
    bank = pairs(dft(128, window))
    assert column(describe_filters(bank), "sinusoid").max() < 0.95
    assert np.allclose(column(describe_filters(bank, torch.from_numpy(window)), "sinusoid"), 1, atol=1e-4)
