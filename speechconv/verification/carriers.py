"""The carriers of a bank: the frequencies that its filters turn with, and the grid of an STFT where they lie on one.

f_k = argmax |Z_k(f)|        refined by Newton; a grid where the sorted f_k lie on a line f0 + k / n_fft
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.filter_shape import tops
from speechconv.verification.spectra import half_powers, turning_sign

NEWTON_ROUNDS = 6


@dataclass(frozen=True)
class Carriers:
    """Frequencies in cycles a sample, all positive, NaN of dead filters, and the grid they lie on if they do."""

    frequencies: Tensor
    n_fft: int | None


def fit_carriers(bank: FilterBank) -> Carriers:
    """Peaks of the spectra, or the grid's points next to them.

    The straight line f0 + k df goes through the middle three quarters of the sorted peaks. It is a grid where nine in
    ten of those lie within a quarter of a bin of a multiple of 1 / n_fft, n_fft = 1 / df rounded. Dead filters have no
    peak; they leave holes in the line, where it steps over twice the usual distance or more.
    """
    alive = bank.alive
    found = _peaks(bank)[alive]
    carriers = _on_grid(found, holes=not bool(alive.all()))
    frequencies = torch.full((len(alive),), math.nan, dtype=torch.float64)
    frequencies[alive] = carriers.frequencies
    return Carriers(frequencies, carriers.n_fft)


def _peaks(bank: FilterBank) -> Tensor:
    frequencies, power = half_powers(bank)
    found = tops(power)[0] / (2 * (len(frequencies) - 1))
    if bank.imag is not None:
        turned = torch.complex(bank.real, turning_sign(bank.real, bank.imag) * bank.imag)
        found = refined(turned, found)
    return found.clamp(0, 0.5)


def _on_grid(found: Tensor, *, holes: bool) -> Carriers:
    """The grid that the peaks lie on, else the peaks."""
    filters = len(found)
    rank = found.argsort(stable=True).argsort()
    edge = filters // 8
    middle = (rank >= edge) & (rank < filters - edge)
    if int(middle.sum()) < 3:
        return Carriers(found, None)
    place = _steps(found.sort().values)[rank] if holes else rank
    f0, df = _line(place[middle].double(), found[middle])
    n_fft = round(1 / df) if df > 1e-9 else 0
    first = round(f0 * n_fft)
    grid = (first + place).double() / max(n_fft, 1)
    off = (found - grid)[middle].abs() * n_fft
    if n_fft < 2 or float(off.quantile(0.9)) > 0.25 or first < 0 or float(grid.max()) > 0.5:
        return Carriers(found, None)
    return Carriers(grid, n_fft)


def _steps(ascending: Tensor) -> Tensor:
    """Places of frequencies with holes between them: one further, or as many usual distances as it is to the next."""
    distance = ascending.diff()
    steps = (distance / distance.median().clamp(min=1e-9)).round().clamp(min=1).long()
    return F.pad(steps.cumsum(0), (1, 0))


def refined(filters: Tensor, frequencies: Tensor) -> Tensor:
    """The tops of |Z(f)|^2 by Newton's method, to rounding; a step that leaves the main lobe is not taken.

    Z = sum z e^(-j w n); |Z|^2' = 2 Re(Z* Z'), |Z|^2'' = 2 |Z'|^2 + 2 Re(Z* Z'')
    """
    taps = filters.shape[1]
    n = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
    omega, start = 2 * math.pi * frequencies, 2 * math.pi * frequencies
    for _ in range(NEWTON_ROUNDS):
        terms = filters * torch.polar(torch.ones(1, dtype=torch.float64), -omega[:, None] * n)
        z, dz, ddz = terms.sum(1), (-1j * n * terms).sum(1), -(n * n * terms).sum(1)
        slope, curve = (z.conj() * dz).real, dz.abs().square() + (z.conj() * ddz).real
        omega = torch.where(curve < 0, omega - slope / curve, omega)
        omega = torch.where((omega - start).abs() < math.pi / (4 * taps), omega, start)
    return omega / (2 * math.pi)


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Intercept and slope of the least-squares line."""
    centred = x - x.mean()
    slope = float((centred @ y) / (centred @ centred))
    return float(y.mean()) - slope * float(x.mean()), slope
