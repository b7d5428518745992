"""What is each filter? Figures of its power response P(f) = |H(f)|^2, 0 <= f <= Nyquist.

    peak       argmax P; place and height refined by a parabola through log P
    centroid   sum f P / sum P
    -3 dB      distance of the two points around the peak where P falls to half
    ERB        df sum P / max P
    Q          peak / -3 dB width
    leakage    share of sum P outside peak +- 2 ERB
    bins       exp(-sum p ln p), p = P / sum P, in bins of a DFT of as many points as taps
    sinusoid   max over f, w of |projection of h on span(w cos, w sin)|^2 / |h|^2

Sums are trapezoids: of the circle's points, 0 and Nyquist lie half on this side.

Source: Harris 1978, "On the use of windows for harmonic analysis with the discrete Fourier transform".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechconv.verification.answers import FilterAnswer
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.spectra import grid_size, half_powers, parabolic

TINY = 1e-300


def describe_filters(bank: FilterBank, window: Tensor | None = None) -> list[FilterAnswer]:
    """The figures of each filter, in the order of the bank; a dead filter has NaN throughout.

    Args:
        bank: filters, or pairs, which are looked at as one complex filter each.
        window: (taps,) one more candidate w for the sinusoid, beside the rectangular and Hann windows of all taps.

    >>> n = torch.arange(64).double() / 64
    >>> row = (torch.hann_window(64) * torch.cos(2 * torch.pi * 8 * n))[None]
    >>> answer = describe_filters(FilterBank("f", row, None, "real", 16000))[0]
    >>> round(answer.peak_hz), round(answer.erb_hz), round(answer.sinusoid, 6)
    (2000, 375, 1.0)
    """
    frequencies, power = half_powers(bank)
    step, rate = float(frequencies[1]), float(bank.sample_rate)
    weighted = power.clone()
    weighted[:, [0, -1]] /= 2
    total = weighted.sum(1)
    place, height = tops(power)
    peak = place * step
    erb = step * total / height
    outside = (frequencies - peak[:, None]).abs() > 2 * erb[:, None]
    share = weighted / total[:, None]
    width = _width_above(power, height / 2) * step
    figures = {
        "peak_hz": peak * rate,
        "centroid_hz": weighted @ frequencies / total * rate,
        "bandwidth_3db_hz": width * rate,
        "erb_hz": erb * rate,
        "q": peak / width,
        "leakage": (share * outside).sum(1),
        "effective_bins": torch.exp(-torch.special.xlogy(share, share).sum(1)) * step * bank.real.shape[1],
        "sinusoid": _best_sinusoid(bank, window),
    }
    columns = {name: values.masked_fill(~bank.alive, math.nan).tolist() for name, values in figures.items()}
    return [FilterAnswer(index, *row) for index, row in enumerate(zip(*columns.values(), strict=True))]


def tops(power: Tensor) -> tuple[Tensor, Tensor]:
    """Place of each row's largest value, in steps of the grid, and its height, by a parabola through the logarithms.

    At both ends the row goes on as its own mirror image, as the spectrum of a real filter does: its top is there.
    """
    last = power.shape[1] - 1
    top = power.argmax(1)
    left, right = (top - 1).abs(), last - (last - top - 1).abs()
    low, middle, high = (power.gather(1, at[:, None])[:, 0].clamp(min=TINY).log() for at in (left, top, right))
    offset = parabolic(low, middle, high)
    return top + offset, (middle + (high - low) * offset / 4).exp()


def _width_above(power: Tensor, level: Tensor) -> Tensor:
    """Steps around the largest value for which the power is above the level: straight lines between the points of the
    grid, cut off at the ends of the axis."""
    top, last = power.argmax(1), power.shape[1] - 1
    return _steps_above(power, top, level) + _steps_above(power.flip(1), last - top, level)


def _steps_above(power: Tensor, top: Tensor, level: Tensor) -> Tensor:
    """Steps from the top to the right until the power falls through the level."""
    last = power.shape[1] - 1
    low = (power < level[:, None]) & (torch.arange(last + 1) > top[:, None])
    at = low.to(torch.uint8).argmax(1)
    before, after = (power.gather(1, place.clamp(min=0)[:, None])[:, 0] for place in (at - 1, at))
    crossing = at - 1 + (before - level) / (before - after)
    return torch.where(low.any(1), crossing, torch.full_like(crossing, last)) - top


def _best_sinusoid(bank: FilterBank, window: Tensor | None) -> Tensor:
    taps = bank.real.shape[1]
    hann = torch.hann_window(taps, dtype=torch.float64)
    windows = [torch.ones(taps, dtype=torch.float64), hann, *([] if window is None else [window])]
    project = _share_of_real if bank.imag is None else _share_of_pair
    return torch.stack([project(bank.filters, w) for w in windows]).amax(0).clamp(max=1)


def _share_of_pair(filters: Tensor, window: Tensor) -> Tensor:
    """max_f |<z, w e^(j 2 pi f n)>|^2 / (|z|^2 |w|^2)"""
    spectrum = torch.fft.fft(filters * window, grid_size(len(window)))
    return tops(spectrum.abs().square())[1] / filters.abs().square().sum(1) / window.square().sum()


def _share_of_real(filters: Tensor, window: Tensor) -> Tensor:
    """max_f p' G^-1 p / |h|^2, p the products of h with w cos and w sin, G the Gram matrix of those two."""
    size = grid_size(len(window))
    products = torch.fft.rfft(filters * window, size)
    energy = window.square()
    doubled = torch.fft.fft(energy, size)[(2 * torch.arange(size // 2 + 1)) % size]
    cos_cos, sin_sin, cos_sin = (energy.sum() + doubled.real) / 2, (energy.sum() - doubled.real) / 2, -doubled.imag / 2
    determinant = cos_cos * sin_sin - cos_sin.square()
    p, q = products.real, -products.imag
    full = (sin_sin * p.square() - 2 * cos_sin * p * q + cos_cos * q.square()) / determinant
    alone = p.square() / cos_cos  # at 0 and Nyquist there is no sine
    flat = determinant <= 1e-9 * energy.sum().square()
    return tops(torch.where(flat, alone, full))[1] / filters.square().sum(1)
