"""Are the pairs analytic? z_k = a_k + j b_k should hold one side of the spectrum only.

    analyticity      E(other side) / E(side where the bank turns)          0 analytic, 1 real
    orthogonality    |<a, b>| / (|a| |b|)
    balance          |a| / |b|
    hilbert_error    min over both signs of |b -+ Hilbert(a)| / |b|
    time_reversed    |cos| of b and a reversed in time

The last one tells a defect that has been published as analytic: where "times -j" was replaced by complex conjugation,
b is a played backwards. Its magnitude response is that of a, so that no plot of magnitudes shows it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechconv.verification.answers import PairsAnswer
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.spectra import turning_sign

ALONE = 1e-6
"""A half this much smaller than the other is none: bins 0 and n_fft / 2 have no imaginary part."""


def examine_pairs(bank: FilterBank) -> PairsAnswer | None:
    """What the pairs are to each other; None for real-only filters, or where no pair has two halves.

    >>> n, w = torch.arange(32) / 32, torch.hann_window(32)
    >>> a, b = ((w * f(2 * torch.pi * 5 * n))[None].double() for f in (torch.cos, torch.sin))
    >>> examine_pairs(FilterBank("f", a, b, "separate", 16000)).verdict
    'analytic pairs'
    """
    if bank.imag is None:
        return None
    size_a, size_b = bank.real.norm(dim=1), bank.imag.norm(dim=1)
    whole = torch.minimum(size_a, size_b) > ALONE * torch.maximum(size_a, size_b)
    if not bool(whole.any()):
        return None
    a, b, size_a, size_b = bank.real[whole], bank.imag[whole], size_a[whole], size_b[whole]
    there, other = _sides(a, b)
    analyticity = float(other.sum() / there.sum())
    reversed_cos = max(float((_cos(flipped, b)).mean()) for flipped in (a.flip(1), a.flip(1).roll(1, 1)))
    each = torch.full((len(whole),), math.nan, dtype=torch.float64)
    each[whole] = other / there
    return PairsAnswer(
        analyticity=analyticity,
        orthogonality=float(_cos(a, b).mean()),
        balance=float((size_a / size_b).mean()),
        hilbert_error=float(_hilbert_error(a, b).mean()),
        time_reversed=reversed_cos,
        verdict=_verdict(analyticity, reversed_cos),
        each_analyticity=each.tolist(),
    )


def _sides(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Energy of each pair where the bank turns, and on the other side; 0 and Nyquist belong to neither."""
    taps = a.shape[1]
    power = torch.fft.fft(torch.complex(a, turning_sign(a, b) * b), 2 * taps).abs().square()
    return power[:, 1:taps].sum(1), power[:, taps + 1 :].sum(1)


def _cos(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1).abs() / (a.norm(dim=1) * b.norm(dim=1))


def _hilbert_error(a: Tensor, b: Tensor) -> Tensor:
    """Against the circular Hilbert transform: every positive frequency of `a` turned by -90 degrees.

    At 0 and Nyquist that leaves an imaginary number, which a real signal's transform has no place for.
    """
    hilbert = torch.fft.irfft(-1j * torch.fft.rfft(a), a.shape[1])
    return torch.minimum((b - hilbert).norm(dim=1), (b + hilbert).norm(dim=1)) / b.norm(dim=1)


def _verdict(analyticity: float, reversed_cos: float) -> str:
    if analyticity < 1e-3:
        return "analytic pairs"
    if analyticity < 0.1:
        return f"nearly analytic pairs: {analyticity:.1%} as much energy on the wrong side"
    if reversed_cos > 0.99:
        return "no analytic pairs: the second half of each is the first one reversed in time"
    return f"no analytic pairs: {analyticity:.0%} as much energy on one side as on the other"
