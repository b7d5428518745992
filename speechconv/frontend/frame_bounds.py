"""Frame bounds of a bank of real filters at a hop: how much energy it can lose, and whether it can be inverted.

    A |x|^2  <=  sum_m,t (h_m * x)[t R]^2  <=  B |x|^2                       kappa = B / A, 1 for a tight frame

With taps n = p R + r, the polyphase matrix and the frame operator of each frequency w are

    E(w)[m, r] = sum_p h_m[p R + r] e^(-j w p)         G(w) = E(w)^H E(w) = sum_d C_d e^(-j w d)

and A, B are the smallest and the largest eigenvalue of G over w in [0, pi]. G is hop x hop, so this is exact and cheap
for any number of filters.

Source: Bolcskei, Hlawatsch, Feichtinger 1998, "Frame-theoretic analysis of oversampled filter banks"; for the
refinement, M. Riesz's lemma: a real trigonometric polynomial of degree n with its largest value M at w0 is at least
M cos(n (w - w0)) within pi / n of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.checks import check_count

ACCURACY = 1e-7
"""Share of A by which the bounds may still move when the refinement stops; kappa then moves less than 1e-6."""

ROUNDS = 30
"""Halvings of the grid's step at most: only a bank with A = 0 needs as many."""

CANDIDATES, BUDGET = 8, 1024
"""Points that are refined: BUDGET / hop, which is the size of the matrices, but at least CANDIDATES. What a large hop
leaves is of low degree and has few dips; a small hop leaves many, which cost little."""

TIES = 4
"""Of points that are equal to rounding, as all are in a tight frame, so many are refined."""


@dataclass(frozen=True)
class FrameBounds:
    """Smallest and largest gain of energy.

    Attributes:
        A: 0 where it is below rounding, so that the bank loses something entirely.
        B: the square of the bank's Lipschitz constant.
    """

    A: float
    B: float

    @property
    def kappa(self) -> float:
        """The condition number B / A; infinite where A is 0."""
        return self.B / self.A if self.A > 0 else math.inf


def frame_bounds(filters: Tensor, hop: int, num_points: int | None = None) -> FrameBounds:
    """A and B of a bank, every row one real filter, as it is: neither normalised nor weighted.

    Args:
        filters: (rows, taps), real.
        hop: samples between two frames, >= 1.
        num_points: frequencies 0 ... pi, both ends among them, to look at and no others; None: a grid of at least
            8 taps / hop, whose extremes are refined until kappa moves less than 1e-6.

    Raises:
        ValueError: another shape, values that are not finite, a number outside its range.

    Eigenvalues below `taps` times float64's rounding of B count as 0.

    Example: two taps of 1 lose what alternates; with the difference beside them nothing is lost.
        >>> frame_bounds(torch.tensor([[1.0, 1.0]]), 1)
        FrameBounds(A=0.0, B=4.0)
        >>> frame_bounds(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), 1).kappa
        1.0
    """
    if check_count("hop", hop) > check_filters(filters).shape[1]:  # samples between the frames are lost
        return _bounds(0.0, float(torch.linalg.matrix_norm(filters.double(), 2)) ** 2, filters)
    lags = _lags(filters.double(), hop)
    if num_points is not None:
        eigenvalues = _on_grid(lags, check_count("num_points", num_points, 2))
        return _bounds(float(eigenvalues.min()), float(eigenvalues.max()), filters)
    return _bounds(*_refined(lags), filters)


def frame_operator_eigenvalues(filters: Tensor, hop: int, num_points: int) -> Tensor:
    """Eigenvalues of G(w) at `num_points` equally spaced w in [0, pi], both ends among them; differentiable.

    Shape:
        (rows, taps) -> (num_points, hop) float64, ascending. Gradients are finite where eigenvalues coincide too.

    Raises:
        ValueError: as `frame_bounds`.

    >>> frame_operator_eigenvalues(torch.tensor([[1.0, 1.0]]), 1, 3).T
    tensor([[4., 2., 0.]], dtype=torch.float64)
    """
    lags = _lags(check_filters(filters).double(), check_count("hop", hop))
    return _on_grid(lags, check_count("num_points", num_points, 2))


def polyphase(filters: Tensor, hop: int, omega: Tensor) -> Tensor:
    """E(w) of each w in `omega` (radians per frame): (rows, taps), (W,) -> (W, rows, hop) complex128.

    >>> polyphase(torch.tensor([[1.0, 2.0, 3.0]]), 2, torch.tensor([0.0]))
    tensor([[[4.+0.j, 2.+0.j]]], dtype=torch.complex128)
    """
    blocks = _blocks(check_filters(filters).double(), check_count("hop", hop))
    phases = _phases(omega, blocks.shape[1])
    return torch.einsum("wp,mpr->wmr", phases, blocks.to(phases.dtype))


def two_sided(real: Tensor, imag: Tensor) -> Tensor:
    """Rows of a real | imag bank weighted as if its bins of negative frequency were there too.

    Bins that have a twin of negative frequency get a factor sqrt 2; DC and, for an even n_fft, Nyquist have none. Under
    this weight an STFT's frame operator is diagonal and its bounds are n_fft times the least and the largest
    sum_m w[n + m hop]^2 (the painless case; Daubechies, Grossmann, Meyer 1986).

    Args:
        real: (n_fft // 2 + 1, taps) real parts, DC first.
        imag: likewise. n_fft is odd only if it is the number of taps.

    Shape:
        -> (2 (n_fft // 2 + 1), taps): all real parts, then all imaginary ones

    Raises:
        ValueError: the two have not one shape (bins, taps).

    >>> two_sided(torch.ones(3, 4), torch.ones(3, 4))[:, 0]
    tensor([1.0000, 1.4142, 1.0000, 1.0000, 1.4142, 1.0000])
    """
    if real.ndim != 2 or real.shape != imag.shape:
        raise ValueError(
            f"real and imag must have one shape (bins, taps), got {tuple(real.shape)} and {tuple(imag.shape)}."
        )
    weight = two_sided_weight(len(real), odd=real.shape[1] == 2 * len(real) - 1).to(real)[:, None].sqrt()
    return torch.cat((weight * real, weight * imag))


def two_sided_weight(bins: int, *, odd: bool) -> Tensor:
    """How often each one-sided bin stands in a full spectrum, (bins,) float64: once or twice.

    >>> two_sided_weight(3, odd=False), two_sided_weight(3, odd=True)
    (tensor([1., 2., 1.], dtype=torch.float64), tensor([1., 2., 2.], dtype=torch.float64))
    """
    weight = torch.full((bins,), 2.0, dtype=torch.float64)
    weight[0] = 1
    if not odd:
        weight[-1] = 1
    return weight


def check_filters(filters: Tensor) -> Tensor:
    """`filters`; ValueError unless they are (rows, taps), real and finite."""
    if filters.ndim != 2 or not filters.numel() or filters.is_complex():
        kind = "complex" if filters.is_complex() else "real"
        raise ValueError(
            f"filters must be real and of shape (rows, taps), got {kind} {tuple(filters.shape)}; stack real and "
            "imaginary parts as rows."
        )
    if not bool(filters.isfinite().all()):
        raise ValueError("filters must be finite, got NaN or infinity.")
    return filters


def _blocks(filters: Tensor, hop: int) -> Tensor:
    """(rows, taps) -> (rows, ceil(taps / hop), hop), zeros behind the last tap."""
    rows, taps = filters.shape
    return F.pad(filters, (0, -taps % hop)).view(rows, -1, hop)


def _phases(omega: Tensor, count: int) -> Tensor:
    """e^(-j w p) for p = 0 ... count - 1: (W,) -> (W, count)."""
    turns = omega.double()[:, None] * torch.arange(count, dtype=torch.float64, device=omega.device)
    return torch.polar(torch.ones_like(turns), -turns)


def _lags(filters: Tensor, hop: int) -> Tensor:
    """C_d for d = 0 ... P - 1, C_0 halved: (P, hop, hop) real; G = L + L^H with L(w) = sum_d C_d e^(-j w d).

    2 P frequencies determine a matrix polynomial of degree P - 1.
    """
    blocks = _blocks(filters, hop)
    size = 2 * blocks.shape[1]
    spectrum = torch.fft.rfft(blocks, n=size, dim=1).transpose(0, 1)
    lags = torch.fft.irfft(spectrum.mH @ spectrum, n=size, dim=0)[: size // 2]
    return torch.cat((lags[:1] / 2, lags[1:]))


def _on_grid(lags: Tensor, num_points: int) -> Tensor:
    """Eigenvalues at num_points frequencies 0 ... pi, which are the bins of an FFT; the lags wrap around in it."""
    size = 2 * (num_points - 1)
    wrapped = F.pad(lags, (0, 0, 0, 0, 0, -len(lags) % size)).unflatten(0, (-1, size)).sum(0)
    return _eigenvalues(torch.fft.rfft(wrapped, dim=0))


def _at(lags: Tensor, omega: Tensor) -> Tensor:
    """Eigenvalues at any frequencies."""
    phases = _phases(omega, len(lags))
    return _eigenvalues(torch.einsum("wd,drs->wrs", phases, lags.to(phases.dtype)))


def _eigenvalues(half: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(half + half.mH)


def _bounds(least: float, largest: float, filters: Tensor) -> FrameBounds:
    rounding = filters.shape[1] * torch.finfo(torch.float64).eps * largest
    return FrameBounds(least if least > rounding else 0.0, largest)


def _refined(lags: Tensor) -> tuple[float, float]:
    """Smallest and largest eigenvalue over all w: around the extremes of a grid the step is halved again and again.

    v^H G v is a trigonometric polynomial of degree n = P - 1 for every v. So by Riesz's lemma, for B - G, the point
    next to the lowest of all, at most half a `step` away, is above it by no more than the `slack` B (1 - cos(n step /
    2)): it is among the points that are kept. Likewise for the highest.
    """
    degree, hop = len(lags) - 1, lags.shape[1]
    num_points = 8 * len(lags) + 1
    step = math.pi / (num_points - 1)
    eigenvalues = _on_grid(lags, num_points)
    places = torch.arange(num_points, device=lags.device)
    low, high = (places, eigenvalues[:, 0]), (places, -eigenvalues[:, -1])
    for _ in range(ROUNDS):
        least, largest = float(low[1].min()), -float(high[1].min())
        slack = largest * (1 - math.cos(degree * step / 2))
        if slack <= ACCURACY * least:
            break
        step /= 2
        rounding, most = hop * torch.finfo(torch.float64).eps * largest, max(CANDIDATES, BUDGET // hop)
        low, high = (_lowest(*points, slack, rounding, most) for points in (low, high))
        low = _halve(low, lambda omega: _at(lags, omega)[:, 0], step)
        high = _halve(high, lambda omega: -_at(lags, omega)[:, -1], step)
    return float(low[1].min()), -float(high[1].min())


Points = tuple[Tensor, Tensor]
"""Places, in steps from 0, and values there."""


def _lowest(places: Tensor, values: Tensor, slack: float, rounding: float, most: int) -> Points:
    """The points that may lie beside the lowest of all: those no higher than their neighbours first."""
    order = places.argsort()
    around = F.pad(values[order], (1, 1), value=math.inf)
    dips = torch.zeros_like(places, dtype=torch.bool)
    dips[order] = (around[1:-1] <= around[:-2]) & (around[1:-1] <= around[2:])
    order = values.argsort()
    order = torch.cat((order[dips[order]], order[~dips[order]]))
    places, values = places[order], values[order]
    tied = values <= values.min() + rounding
    kept = (values <= values.min() + slack) & ~(tied & (tied.cumsum(0) > TIES))
    return places[kept][:most], values[kept][:most]


def _halve(points: Points, evaluate: Callable[[Tensor], Tensor], step: float) -> Points:
    """The points, and those one `step`, half of the former, on both sides of each; G(-w) has the eigenvalues of G(w),
    so none is outside."""
    places, values = points
    beside = torch.cat((2 * places - 1, 2 * places + 1)).unique()
    return torch.cat((2 * places, beside)), torch.cat((values, evaluate(beside * step)))
