"""Is it an STFT? Then every filter is one window on a carrier, and taking the carriers away leaves the window alone.

    z_k[n] = g_k w[n] e^(s j 2 pi f_k n)       D_k[n] = z_k[n] e^(-s j 2 pi f_k n) = g_k w[n]       rank one

whatever the window w, the gains g_k and the time origin, which is a phase of g_k. How far a bank is from that:

    rho = 1 - sigma_1^2(D) / |D|^2             without DC and Nyquist; sqrt(rho) is a relative error

The f_k are the peaks of the spectra. Where they lie on a grid of 1 / n_fft, the grid's are taken. Real-only filters are
g_k w[n] cos(2 pi f_k n + phi_k); window and phases are then fitted in turn, and rho is what they leave.
"""

from __future__ import annotations

import cmath
import math
import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speechconv.verification.answers import StftAnswer
from speechconv.verification.carriers import Carriers, fit_carriers, refined
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.spectra import grid_size, turning_sign
from speechconv.verification.window_name import NamedWindow, name_window

SAME = 1e-5
"""rho of an STFT: a relative error of 0.3 %, what bfloat16 makes of one."""
NEAR = 0.25
"""rho up to which it is worth saying which STFT it comes near to: half of each filter."""
LEAST_FILTERS = 3
"""Any one filter is a window on a carrier, and two nearly are."""
REAL_ROUNDS = 50


@dataclass(frozen=True)
class Demodulated:
    """What the filters share.

    Attributes:
        rho: the share that they do not.
        window: (taps,) the common window, norm 1; complex where the filters are pairs.
        gains: (filters,) of those that were looked at.
    """

    rho: float
    window: Tensor
    gains: Tensor


@dataclass(frozen=True)
class StftFit:
    """The STFT that comes nearest to a bank.

    Attributes:
        sign: of the exponent; 0 for real-only filters.
        carriers: frequencies.
        common: what is left when they are taken away.
        window: (taps,) float64, the common window, as real as it can be.
        named: what that window is called; None where it is complex.
    """

    sign: int
    carriers: Carriers
    common: Demodulated
    window: Tensor
    named: NamedWindow | None

    @property
    def on_grid(self) -> bool:
        """Three filters or more, near to one window, on multiples of 1 / n_fft."""
        return self.carriers.n_fft is not None and self.common.rho < NEAR and len(self.common.gains) >= LEAST_FILTERS


def fit_stft(bank: FilterBank) -> StftFit:
    """Carriers, then the window that is left without them, then its name."""
    sign = 0 if bank.imag is None else turning_sign(bank.real, bank.imag)
    carriers = fit_carriers(bank)
    common = demodulate(bank, carriers)
    window, is_real = real_window(common)
    named = name_window(window.numpy(), _noise(common, window)) if is_real else None
    return StftFit(sign, carriers, common, window, named)


def identify(bank: FilterBank, fit: StftFit | None = None) -> StftAnswer:
    """Whether the bank is an STFT, and which.

    Args:
        bank: pairs or real-only filters, in any order.
        fit: what `fit_stft` found, if that is known already.

    >>> from speechconv.frontend.stft import ConvSTFT
    >>> real, imag = ConvSTFT(n_fft=64).double().kernel.chunk(2)
    >>> identify(FilterBank("stft", real, imag, "stacked", 16000)).verdict
    'yes: n_fft 64, periodic Hann'
    """
    fit = fit or fit_stft(bank)
    common, carriers = fit.common, fit.carriers
    named = fit.named if common.rho < NEAR and len(common.gains) >= LEAST_FILTERS else None
    is_stft = fit.on_grid and fit.named is not None and common.rho < SAME
    return StftAnswer(
        is_stft=is_stft,
        rho=common.rho,
        n_fft=carriers.n_fft if fit.on_grid else None,
        win_length=named.length if named else bank.real.shape[1],
        window=named.name if named else None,
        window_error=named.error if named and named.name else None,
        sign=fit.sign,
        frequencies_hz=(carriers.frequencies * bank.sample_rate).tolist(),
        verdict=_verdict(fit, is_stft) + _dead(carriers.frequencies),
    )


def nearest_stft(bank: FilterBank, fit: StftFit) -> tuple[FilterBank, str] | None:
    """The STFT that the bank is or comes near to, bins in the bank's order, and what it is in words.

    Its window is as its definition has it, all of it times one gain, and its time begins where the bank's does: the
    gain c and the time origin n0 of c w[n] e^(s j 2 pi f_k (n - n0)) that come nearest to the bank. Zeros in
    place of dead filters, whose bins are not known. None where there is no such STFT, or for real-only filters, whose
    phases it would have to guess.

    >>> from speechconv.frontend.stft import ConvSTFT
    >>> real, imag = ConvSTFT(n_fft=64).double().kernel.chunk(2)
    >>> bank = FilterBank("stft", real, imag, "stacked", 16000)
    >>> nearest_stft(bank, fit_stft(bank))[1]
    'STFT: n_fft 64, periodic Hann'
    """
    n_fft, named, taps = fit.carriers.n_fft, fit.named, bank.real.shape[1]
    if n_fft is None or not fit.on_grid or named is None or named.samples is None or fit.sign == 0:
        return None
    window = torch.zeros(taps, dtype=torch.float64)
    window[named.start : named.start + named.length] = torch.from_numpy(named.samples)
    known = bank.alive
    turns = torch.remainder(fit.carriers.frequencies[known, None] * torch.arange(taps, dtype=torch.float64), 1)
    basis = torch.polar(window.expand_as(turns), fit.sign * 2 * math.pi * turns)
    products = (basis.conj() * bank.filters[known]).sum(1)
    bins = (fit.carriers.frequencies[known] * n_fft).round()
    turn = _turn_per_bin(products, bins)
    phases = torch.polar(torch.ones(len(bins), dtype=torch.float64), 2 * math.pi * turn * bins)
    gain = complex((phases.conj() * products).sum() / basis.abs().square().sum())
    filters = torch.zeros(bank.real.shape, dtype=torch.complex128)
    filters[known] = gain * phases[:, None] * basis
    origin = round(-fit.sign * turn * n_fft, 1) % n_fft
    words = f"STFT: n_fft {n_fft}, {_proper(named, taps)}{_placed(gain, origin)}"
    return FilterBank(words, filters.real, filters.imag, "stacked", bank.sample_rate, bank.hop_length), words


def _turn_per_bin(products: Tensor, bins: Tensor) -> float:
    """-s n0 / n_fft, from the products p_k of the bank's filters with those of an STFT whose time begins at 0.

    They turn over k as a sinusoid does over time, so that it is the top of |sum_k p_k e^(-j 2 pi f k)| over f.
    """
    line = torch.zeros(1, int(bins.max()) + 1, dtype=torch.complex128)
    line[0, bins.long()] = products
    size = grid_size(line.shape[1])
    top = torch.fft.fft(line, size).abs().argmax(1)
    return float(refined(line, top.double() / size))


def _placed(gain: complex, origin: float) -> str:
    """What is not as a definition has it, in words, to the digits shown."""
    size, angle = f"{abs(gain):.3g}", abs(cmath.phase(gain))
    words = "" if size == "1" else f", times {size}"
    words += f", turned by {angle:.2f} rad" if angle > 0.005 else ""
    return words + (f", time origin at sample {origin:g}" if origin else "")


def demodulate(bank: FilterBank, carriers: Carriers) -> Demodulated:
    """Takes the carriers away and keeps the best common window."""
    taps, f = bank.real.shape[1], carriers.frequencies
    margin = 0.5 / (carriers.n_fft or taps)
    inside = (f > margin) & (f < 0.5 - margin)  # NaN is neither
    if not bool(inside.any()):
        inside = bank.alive
    turns = torch.remainder(f[inside, None] * torch.arange(taps, dtype=torch.float64), 1)
    if bank.imag is None:
        return _fit_real(bank.real[inside], 2 * math.pi * turns)
    sign = turning_sign(bank.real, bank.imag)
    filters = torch.complex(bank.real, bank.imag)[inside]
    return _rank_one(filters * torch.polar(torch.ones_like(turns), -sign * 2 * math.pi * turns))


def _rank_one(demodulated: Tensor) -> Demodulated:
    """The right singular vector of the largest singular value, and what it leaves, which no subtraction cancels."""
    filters, taps = demodulated.shape
    if filters < taps:  # the smaller Gram matrix is the quicker one
        vector = torch.linalg.eigh(demodulated @ demodulated.mH).eigenvectors[:, -1].conj() @ demodulated
    else:
        vector = torch.linalg.eigh(demodulated.mH @ demodulated).eigenvectors[:, -1].conj()
    vector = vector / vector.norm()
    gains = demodulated @ vector.conj()
    left = demodulated - gains[:, None] * vector
    return Demodulated(float(left.abs().square().sum() / demodulated.abs().square().sum()), vector, gains.abs())


def _fit_real(rows: Tensor, angles: Tensor) -> Demodulated:
    """Window and phases in turn, each the least-squares answer to the other.

    First guess: the mean of the demodulated rows, each turned to phase 0.
    """
    cos, sin = angles.cos(), angles.sin()
    demodulated = rows * torch.complex(cos, -sin)
    phase = demodulated.sum(1).angle()
    window = (demodulated * torch.polar(torch.ones_like(phase), -phase)[:, None]).mean(0).real
    carrier = rows
    for _ in range(REAL_ROUNDS):
        basis = torch.stack((window * cos, window * sin), 2)
        weights = torch.linalg.pinv(basis, rtol=1e-9) @ rows[:, :, None]
        carrier = weights[:, 0] * cos + weights[:, 1] * sin
        window = _seen((carrier * rows).sum(0), carrier.square().sum(0))
    left = rows - carrier * window
    size = window.norm().clamp(min=1e-300)
    gains = carrier.square().mean(1).mul(2).sqrt() * size
    return Demodulated(float(left.square().sum() / rows.square().sum()), window / size, gains)


def _seen(products: Tensor, energy: Tensor) -> Tensor:
    """products / energy; where no carrier shows the window, as at the common zeros of sines, its neighbours do."""
    seen = (energy > 1e-9 * energy.mean()).numpy()
    at = np.arange(len(seen))
    return torch.from_numpy(np.interp(at, at[seen], (products.numpy() / np.where(seen, energy.numpy(), 1))[seen]))


def real_window(common: Demodulated) -> tuple[Tensor, bool]:
    """The window turned to be as real as it can be, largest sum positive, and whether that is real within the noise."""
    window = common.window
    if window.is_complex():
        window = window * torch.exp(-0.5j * (window * window).sum().angle())
        imaginary = float(window.imag.square().sum())
        window = window.real
    else:
        imaginary = 0.0
    return window * (-1 if window.sum() < 0 else 1), imaginary <= max(SAME, common.rho)


def _noise(common: Demodulated, window: Tensor) -> float:
    """Where rho is noise: four deviations of a sample of the window, as a share of its largest value.

    The window is a mean over the filters, which lowers the noise of each.
    """
    deviation = math.sqrt(common.rho / max(1, len(common.gains)) / len(window))
    return 4 * deviation / float(window.abs().max())


def _verdict(fit: StftFit, is_stft: bool) -> str:
    common, n_fft = fit.common, fit.carriers.n_fft
    off = f"{math.sqrt(common.rho):.2g}"
    if len(common.gains) < LEAST_FILTERS:
        return "too few filters to tell: any one filter is a window on a carrier"
    if common.rho >= NEAR:
        return f"no: no window is common to the filters, the best leaves a relative error of {off}"
    what = _window_words(fit)
    if n_fft is None:
        return f"no: windowed Fourier filters on other frequencies, {what}, relative error {off}"
    which = f"n_fft {n_fft}, {what}"
    if float(common.gains.std() / common.gains.mean()) > max(0.01, 2 * math.sqrt(common.rho)):
        which += ", a gain of its own in each bin"
    if not is_stft:
        return f"no: off an STFT ({which}) by a relative error of {off}"
    return f"yes: {which}" + (f", to a relative error of {off}" if common.rho > 1e-9 else "")


def _dead(frequencies: Tensor) -> str:
    dead = frequencies.isnan().nonzero()[:, 0].tolist()
    if len(dead) > 3:
        return f"; {len(dead)} filters are dead"
    words = " and ".join(str(index) for index in dead)
    return f"; filter {words} is dead" if len(dead) == 1 else f"; filters {words} are dead" if dead else ""


def _window_words(fit: StftFit) -> str:
    named = fit.named
    if named is None:
        return "a complex window"
    if named.name is None:
        return "a window without a name"
    words = _proper(named, len(fit.window))
    return words if named.error < max(1e-6, fit.common.rho) else f"nearly {words}"


def _proper(named: NamedWindow, taps: int) -> str:
    """People's names with a capital; the length where it is not the kernel's."""
    words = re.sub("hann|hamming|blackman|kaiser|povey", lambda name: name[0].title(), named.name or "")
    return words if named.length == taps else f"{words} of {named.length} samples"
