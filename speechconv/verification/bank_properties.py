"""What is the bank? Whether it loses anything, how its filters overlap, and what they cover together.

    A, B, kappa      frame bounds at the hop R, see frontend/frame_bounds.py
    aliasing         sum_j>=1 |G_j| / |G_0|,   G_j(f) = sum_m H_m(f) conj H_m(f - j / R)
    parseval         |S / B - 1|, the norm of an operator: 1 - A / B
    reconstruction   |x - S^+ Phi^T Phi x| / |x| for white noise x, S = Phi^T Phi by the polyphase matrices
    coherence        max_i!=j |<h_i, h_j>| / (|h_i| |h_j|)
    effective rank   exp(-sum p ln p), p the squared singular values, of sum 1
    cumulative       mean_m |H_m(f)|, largest 1

Every row is one real filter. Source: Haider, Lostanlen, Ehler and Balazs 2024 (arXiv 2408.17358) for the aliasing; Roy
and Vetterli 2007 for the effective rank; Ravanelli and Bengio 2018 (arXiv 1808.00158) for the cumulative response.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.frontend.frame_bounds import FrameBounds, frame_bounds, polyphase, two_sided
from speechconv.verification.answers import BankAnswer
from speechconv.verification.filter_bank import FilterBank

LEAST_FRAMES = 16
"""Frames of noise that are reconstructed; at least four kernels' length."""


def describe_bank(bank: FilterBank) -> BankAnswer:
    """The figures of the whole bank; those that need a hop are None without one.

    >>> bank = FilterBank("f", torch.eye(4).double(), None, "real", 16000, hop_length=4)
    >>> answer = describe_bank(bank)
    >>> answer.kappa, answer.coherence, round(answer.effective_rank, 6)
    (1.0, 0.0, 4.0)
    """
    rows, hop = bank.rows, bank.hop_length
    bounds = None if hop is None else frame_bounds(rows, hop)
    weighted = None if hop is None or bank.imag is None else frame_bounds(two_sided(bank.real, bank.imag), hop).kappa
    response = cumulative_response(rows)
    hertz = torch.linspace(0, bank.sample_rate / 2, len(response), dtype=torch.float64)
    return BankAnswer(
        hop_length=hop,
        A=bounds and bounds.A,
        B=bounds and bounds.B,
        kappa=bounds and bounds.kappa,
        kappa_two_sided=weighted,
        aliasing=None if hop is None else aliasing(rows, hop),
        parseval=None if bounds is None else _parseval(bounds),
        reconstruction_error=None if bounds is None or hop is None else reconstruction_error(rows, hop, bounds),
        coherence=coherence(rows),
        effective_rank=effective_rank(rows),
        rows=rows.shape[0],
        taps=rows.shape[1],
        response_hz=hertz.tolist(),
        cumulative_response=response.tolist(),
    )


def _parseval(bounds: FrameBounds) -> float:
    return 1 - bounds.A / bounds.B if bounds.B > 0 else math.nan


def aliasing(rows: Tensor, hop: int) -> float:
    """Energy that the hop folds onto other frequencies, against what stays.

    On a circle of N >= 2 K points, N a multiple of R, the R frequencies that fold onto one another make one Gram
    matrix, whose j-th cyclic diagonal is G_j at R points.
    """
    groups = -(-2 * rows.shape[1] // hop)
    spectrum = torch.fft.fft(rows, groups * hop).view(len(rows), hop, groups).permute(2, 1, 0)
    gram = (spectrum @ spectrum.mH).abs().square().sum(0)
    lag = (torch.arange(hop)[:, None] - torch.arange(hop)) % hop
    size = torch.zeros(hop, dtype=torch.float64).index_add_(0, lag.flatten(), gram.flatten()).sqrt()
    return float(size[1:].sum() / size[0])


def reconstruction_error(rows: Tensor, hop: int, bounds: FrameBounds) -> float:
    """Relative L2 of white noise on a circle, through the bank in time and through its dual in frequency.

    With time t R + r split into frame t and phase r, the bank is E(w) conjugated on the frames' Fourier transform.
    """
    taps = rows.shape[1]
    frames = max(LEAST_FRAMES, 4 * -(-taps // hop))
    noise = torch.randn(frames * hop, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    around = noise.repeat(1 + -(-taps // (frames * hop)))[: (frames - 1) * hop + taps]
    answers = torch.fft.rfft(around.unfold(0, taps, hop) @ rows.T, dim=0)
    omega = 2 * math.pi * torch.arange(len(answers), dtype=torch.float64) / frames
    analysis = polyphase(rows, hop, omega).conj()
    back = analysis.mH @ answers[:, :, None]
    operator = analysis.mH @ analysis
    if bounds.A > 1e-10 * bounds.B:
        phases = torch.cholesky_solve(back, torch.linalg.cholesky(operator))
    else:
        phases = torch.linalg.pinv(operator, hermitian=True, rtol=1e-10) @ back
    restored = torch.fft.irfft(phases[:, :, 0], frames, dim=0).flatten()
    return float((restored - noise).norm() / noise.norm())


def coherence(rows: Tensor) -> float:
    """The largest |cos| of two rows that are not zero."""
    size = rows.norm(dim=1, keepdim=True)
    unit = (rows / size)[size[:, 0] > 1e-9 * size.max()]
    gram = (unit @ unit.T).abs()
    return float(gram.fill_diagonal_(0).max())


def effective_rank(rows: Tensor) -> float:
    """How many directions the rows fill, between 1 and their number."""
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    share = torch.linalg.eigvalsh(gram).clamp(min=0)
    share = share / share.sum()
    return float(torch.exp(-torch.special.xlogy(share, share).sum()))


def cumulative_response(rows: Tensor) -> Tensor:
    """mean_m |H_m(f)| from 0 to Nyquist, largest 1."""
    size = 1 << (2 * rows.shape[1] - 1).bit_length()
    response = torch.fft.rfft(F.pad(rows, (0, size - rows.shape[1]))).abs().mean(0)
    return response / response.max()
