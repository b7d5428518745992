"""What short-time spectra of either kind share: their precision, the transform, modulus and power."""

from __future__ import annotations

import torch
from torch import Tensor

TILE_SAMPLES = 200_000
"""Windowed samples that are transformed together: with their spectra they stay in a core's cache."""


def wide(x: Tensor) -> Tensor:
    """`x` in float32 at least: half types have no FFT."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def transform(frames: Tensor, n_fft: int) -> Tensor:
    """(batch, frames, samples) -> (batch, frames, n_fft // 2 + 1) complex, zeros behind the samples; an empty batch
    too, which the FFT does not take."""
    if len(frames):
        return torch.fft.rfft(frames, n_fft)
    return frames.new_zeros(*frames.shape[:2], n_fft // 2 + 1, dtype=torch.promote_types(frames.dtype, torch.cfloat))


def modulus(spectrum: Tensor, output: str) -> Tensor:
    """For "magnitude" |X|, whose gradient at 0 is 0; for "power" |X|^2."""
    if output == "magnitude":
        return spectrum.abs()
    squares = torch.view_as_real(spectrum).square()  # one pass over what lies together in memory
    return squares[..., 0] + squares[..., 1]
