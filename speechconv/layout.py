"""The one layout of signals: waveform (batch, samples), frames (batch, frames, channels), lengths (batch,) int64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WAVEFORM = 0
"""Channel count of a waveform: (batch, samples), no channel axis."""


def axes(frames: int, channels: int) -> tuple[int, ...]:
    """Shape of `frames` frames behind the batch axis."""
    return (frames,) if channels == WAVEFORM else (frames, channels)


def name_channels(channels: int) -> str:
    return "a waveform" if channels == WAVEFORM else f"{channels} channels"


def pad(x: Tensor, left: int, right: int) -> Tensor:
    """`x` with zeros before its first and after its last frame."""
    return F.pad(x, (0, 0) * (x.ndim - 2) + (left, right))


def zero_past(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` with everything past each row's length set to 0."""
    return keep(x, torch.arange(x.shape[1], device=x.device) < lengths[:, None])


def keep(x: Tensor, real: Tensor) -> Tensor:
    """`x` where the (batch, frames) mask is true, else 0: selected, not multiplied, so that NaN does not survive."""
    return torch.where(real if x.ndim == 2 else real[..., None], x, torch.zeros((), dtype=x.dtype, device=x.device))


def check_input(x: Tensor, channels: int | None, name: str) -> None:
    """ValueError or TypeError unless `x` has the layout that a layer of `channels` input channels takes."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} expected a torch tensor, got {type(x).__name__}; convert it by torch.as_tensor.")
    if not (x.is_floating_point() or x.is_complex()):
        raise TypeError(
            f"{name} expected a floating tensor, got {x.dtype}; scale integers first (int16: x.float() / 32768)."
        )
    shape = tuple(x.shape)
    if channels == WAVEFORM and x.ndim != 2:
        hint = "squeeze the channel axis" if x.ndim == 3 else "add a batch axis: wav[None]"
        raise ValueError(f"{name} expected a waveform of shape (batch, samples), got {shape}; {hint}.")
    if channels != WAVEFORM and x.ndim != 3:
        raise ValueError(f"{name} expected frames of shape (batch, frames, channels), got {shape}.")
    if channels and x.shape[2] != channels:
        hint = "; channels are the last axis here, so transpose" if x.shape[1] == channels else ""
        raise ValueError(f"{name} expected (batch, frames, {channels}), got {shape}{hint}.")


def check_real(x: Tensor, name: str) -> None:
    """TypeError where `x` is complex, as ConvSTFT's own default output is."""
    if x.is_complex():
        raise TypeError(f"{name} takes a power or magnitude spectrogram, got a complex one; use output='power'.")


def check_lengths(lengths: Tensor, x: Tensor) -> None:
    """ValueError or TypeError unless `lengths` is an int64 (batch,) tensor of values 0 ... x.shape[1]."""
    if not isinstance(lengths, Tensor) or lengths.dtype != torch.int64:
        found = lengths.dtype if isinstance(lengths, Tensor) else type(lengths).__name__
        raise TypeError(f"lengths must be an int64 tensor of shape (batch,), got {found}.")
    if lengths.shape != x.shape[:1]:
        raise ValueError(f"lengths must have shape ({x.shape[0]},), got {tuple(lengths.shape)}.")
    if lengths.numel() and (int(lengths.min()) < 0 or int(lengths.max()) > x.shape[1]):
        raise ValueError(f"lengths (={lengths.tolist()}) must lie in 0 ... {x.shape[1]}, the input's length.")
