"""Responses on a fine frequency grid, |H(f)|^2 of the filter zero-padded to at least eight times its taps."""

from __future__ import annotations

import torch
from torch import Tensor

from speechconv.verification.filter_bank import FilterBank

OVERSAMPLING = 8


def grid_size(taps: int) -> int:
    """Points of the circle: the power of two from 8 K on.

    >>> grid_size(400)
    4096
    """
    return 1 << (OVERSAMPLING * taps - 1).bit_length()


def turning_sign(real: Tensor, imag: Tensor) -> int:
    """-1 where the pairs a + j b turn as e^(-j w n), 1 where as e^(j w n): the side with more energy."""
    spectrum = torch.fft.fft(torch.complex(real, imag), 2 * real.shape[1]).abs().square()
    n = real.shape[1]
    return 1 if spectrum[:, 1:n].sum() >= spectrum[:, n + 1 :].sum() else -1


def half_powers(bank: FilterBank) -> tuple[Tensor, Tensor]:
    """Frequencies from 0 to Nyquist, in cycles a sample, and the power of each filter there.

    A pair is looked at on the side where the bank turns, so that bin 1 does not see its own mirror image.

    Shape:
        (points,), (filters, points)
    """
    size = grid_size(bank.real.shape[1])
    frequencies = torch.arange(size // 2 + 1, dtype=torch.float64) / size
    if bank.imag is None:
        return frequencies, torch.fft.rfft(bank.real, size).abs().square()
    sign = turning_sign(bank.real, bank.imag)
    spectrum = torch.fft.fft(torch.complex(bank.real, sign * bank.imag), size)
    return frequencies, spectrum[:, : size // 2 + 1].abs().square()


def parabolic(left: Tensor, middle: Tensor, right: Tensor) -> Tensor:
    """Where the parabola through three neighbours has its top, in steps from the middle, -1/2 ... 1/2."""
    curve = left - 2 * middle + right
    return torch.where(curve < 0, (left - right) / (2 * curve), torch.zeros_like(curve)).clamp(-0.5, 0.5)
