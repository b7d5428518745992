"""From a spectrum back to the waveform: least squares in float64, for the STFT and for whatever it has learned to be.

    x = argmin_x  sum_t,k c_k |Phi x - X|^2[t, k]          c_k = 1 for DC and Nyquist, else 2 (both signs of frequency)

    fixed or learned window      the frame operator is diagonal:  x = sum_t w irfft(X_t) / sum_t w^2
    learned filters              S x = b by conjugate gradients,  S = Phi^T c Phi,  b = Phi^T c X

Padding is not used as knowledge, except that a zero-padded signal has nothing before its first sample.

Source: Griffin and Lim 1984, "Signal estimation from modified short-time Fourier transform"; Grochenig 1993,
"Acceleration of the frame algorithm".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.checks import check_count
from speechconv.frontend.frame_bounds import frame_bounds, two_sided, two_sided_weight

if TYPE_CHECKING:
    from speechconv.frontend.stft import ConvSTFT

RESIDUAL = 1e-14
"""Relative residual at which conjugate gradients stop."""

MOST_ITERATIONS = 3000


def inverted(stft: ConvSTFT, spectrum: Tensor, length: int | None) -> Tensor:
    """`ConvSTFT.inverse`."""
    values, dtype = _as_complex(stft, spectrum), spectrum.real.dtype
    geometry = stft.geometry
    held = _samples(spectrum.shape[1], stft.n_fft, stft.hop_length)
    longest = max(0, held - geometry.pad_left)
    length = max(0, longest - geometry.pad_left) if length is None else check_count("length", length, 0)
    if length > longest:
        raise ValueError(f"length (={length}) must be <= {longest}, the samples in {spectrum.shape[1]} frames.")
    if not length or not len(spectrum):
        return torch.zeros(len(spectrum), length, dtype=dtype, device=spectrum.device)
    span = stft.hop_length, geometry.pad_left, length, kappa_limit(dtype)
    if stft.learn in (None, "window"):
        return divide_by_window_sum(values, stft.current_window.double(), *span).to(dtype)
    first = 0 if geometry.mirror else geometry.pad_left
    return solve_frame_operator(values, stft.kernel.double(), *span, first).to(dtype)


def kappa_limit(dtype: torch.dtype) -> float:
    """The largest condition number that a spectrum of this real type can be inverted through: beyond it, its rounding
    would become a percent of the waveform."""
    return 1e8 if dtype == torch.float64 else 1e5


def _as_complex(stft: ConvSTFT, spectrum: Tensor) -> Tensor:
    """The STFT's output as complex128; refusals of what it cannot have made."""
    if stft.output not in ("complex", "real_imag"):
        raise ValueError(
            f"output (={stft.output!r}) has no phase to invert; use output='complex' or 'real_imag', or estimate a "
            "phase first (librosa.griffinlim)."
        )
    if spectrum.ndim != 3 or spectrum.shape[2] != stft.out_channels:
        raise ValueError(
            f"expected a spectrum of shape (batch, frames, {stft.out_channels}), got {tuple(spectrum.shape)}."
        )
    complex_wanted = stft.output == "complex"
    if not (spectrum.is_complex() if complex_wanted else spectrum.is_floating_point()):
        kind = "complex" if complex_wanted else "real floating"
        raise TypeError(f"output (={stft.output!r}) makes a {kind} spectrum, got {spectrum.dtype}.")
    return spectrum.to(torch.complex128) if complex_wanted else torch.complex(*spectrum.double().chunk(2, 2))


def divide_by_window_sum(spectrum: Tensor, window: Tensor, hop: int, start: int, length: int, limit: float) -> Tensor:
    """Overlap-add divided by the window sum.

    Args:
        spectrum: (batch, frames, bins) complex128.
        window: (n_fft,) float64.
        hop: samples between two frames.
        start: first sample to return, counted from the first frame's first sample.
        length: samples to return.
        limit: condition number to refuse above.

    Raises:
        ValueError: the window sum vanishes between frames, or within the samples asked for.
    """
    squares = window.square()
    period = F.pad(squares, (0, -len(window) % hop)).view(-1, hop).sum(0)
    least, largest = float(period.detach().min()), float(period.detach().max())
    _refuse_kappa(largest / least if least > 0 else float("inf"), hop, limit)
    frames = torch.fft.irfft(spectrum, n=len(window)) * window
    total = _overlap_add(squares.expand(1, spectrum.shape[1], -1), hop)
    _refuse_lost(total, largest, start, length, limit)
    span = slice(start, start + length)
    return _overlap_add(frames, hop)[:, span] / total[:, span]


def solve_frame_operator(
    spectrum: Tensor, kernel: Tensor, hop: int, start: int, length: int, limit: float, first: int = 0
) -> Tensor:
    """Least squares through any kernel; arguments as `divide_by_window_sum`, and:

    Args:
        kernel: (2 bins, n_fft) float64, all real parts, then all imaginary ones.
        first: samples before this one are known to be 0.

    Raises:
        ValueError: the bank's condition number is above the limit, or samples asked for are in no frame.

    The gradient is that of the solution itself, by one more solve, whatever path the iteration took.
    """
    bins, taps = len(kernel) // 2, kernel.shape[1]
    bank = two_sided(*kernel.detach().chunk(2))
    _refuse_kappa(frame_bounds(bank, hop, num_points=4 * -(-taps // hop) + 1).kappa, hop, limit)
    weight = two_sided_weight(bins, odd=taps == 2 * bins - 1).to(kernel).repeat(2)[:, None]
    square = kernel.T @ (weight * kernel)  # Phi^T c Phi of one frame
    diagonal = _overlap_add(square.diagonal().detach().expand(1, spectrum.shape[1], -1), hop)
    _refuse_lost(diagonal, float(diagonal.max()), start, length, limit)
    held = (torch.arange(diagonal.shape[1], device=kernel.device) >= first) & (diagonal > 0)

    def normal(x: Tensor, square: Tensor = square) -> Tensor:
        return held * _overlap_add(x.unfold(1, taps, hop) @ square, hop)

    def solve(b: Tensor) -> Tensor:
        return _conjugate_gradients(lambda x: normal(x, square.detach()), b, diagonal.where(held, 1))

    b = held * _overlap_add(torch.cat((spectrum.real, spectrum.imag), 2) @ (weight * kernel), hop)
    x = solve(b.detach())
    return _WithGradient.apply(x, b - normal(x), solve)[:, start : start + length]


class _WithGradient(torch.autograd.Function):
    """x that solves S x = b: with r = b - S x, its derivative is dx = S^-1 dr."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor, solve: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.solve = solve
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the name ctx
        ctx: Any, *gradients: Tensor
    ) -> tuple[None, Tensor, None]:
        return None, ctx.solve(gradients[0]), None


@torch.no_grad()
def _conjugate_gradients(operator: Callable[[Tensor], Tensor], b: Tensor, diagonal: Tensor) -> Tensor:
    """S x = b for every row of b, preconditioned by the diagonal of S, which is all of S for an STFT.

    Raises:
        ValueError: no solution after MOST_ITERATIONS.
    """
    x, r = b * 0, b.clone()  # NaN stays NaN
    z = r / diagonal
    p, rz = z, _dot(r, z)
    enough = rz * RESIDUAL**2
    for _ in range(MOST_ITERATIONS):
        busy = rz > enough
        if not bool(busy.any()):
            return x
        Sp = operator(p)
        step = torch.where(busy, rz / _dot(p, Sp).where(busy, 1), 0)
        x, r = x + step * p, r - step * Sp
        z = r / diagonal
        before, rz = rz, torch.where(busy, _dot(r, z), rz)
        p = z + torch.where(busy, rz / before.where(busy, 1), 0) * p
    left = float((rz / (enough / RESIDUAL**2)).nan_to_num(0).max().sqrt())
    raise ValueError(
        f"the inverse did not converge: residual {left:.1e} after {MOST_ITERATIONS} iterations, expected {RESIDUAL}. "
        "Samples at the ends may be in hardly any frame (center=True covers them), or kappa too large: see "
        "frame_penalty()."
    )


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)


def _overlap_add(frames: Tensor, hop: int) -> Tensor:
    """(batch, frames, n_fft) -> (batch, n_fft + (frames - 1) hop)."""
    _, count, n_fft = frames.shape
    size = (1, _samples(count, n_fft, hop))
    return F.fold(frames.transpose(1, 2), size, (1, n_fft), stride=(1, hop))[:, 0, 0]


def _samples(frames: int, n_fft: int, hop: int) -> int:
    """That `frames` frames hold together."""
    return n_fft + (frames - 1) * hop if frames else 0


def _refuse_kappa(kappa: float, hop: int, limit: float) -> None:
    if not kappa <= limit:
        raise ValueError(
            f"the bank cannot be inverted at hop_length (={hop}): its condition number is {kappa:.3g}, which must be "
            f"<= {limit:.0e}; use a smaller hop_length, a window without zeros in it, float64, or train with "
            "frame_penalty()."
        )


def _refuse_lost(covered: Tensor, largest: float, start: int, length: int, limit: float) -> None:
    """ValueError if samples asked for have (nearly) no weight in any frame."""
    asked = covered[0, start : start + length].detach()
    lost = (asked * limit < largest).nonzero().flatten().tolist()
    if lost:
        least = float(asked.min())
        kappa = largest / least if least > 0 else float("inf")
        names = ", ".join(map(str, lost[:5])) + (" ..." if len(lost) > 5 else "")
        raise ValueError(
            f"{len(lost)} of the {length} samples asked for are in no frame, or under a window of nearly 0 ({names}): "
            f"condition number {kappa:.3g}, which must be <= {limit:.0e}; "
            "use center=True, a smaller length, or a window that does not vanish at its ends, such as 'hamming'."
        )
