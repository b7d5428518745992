"""Mel filterbank and logarithm.

    y[m] = sum_k M[m, k] x[k]          z = log(max(y, floor))

M holds one triangle per mel band, corners equally spaced on the chosen mel scale.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechconv.checks import check_choice, check_count, check_flag
from speechconv.exact import ExactConstants
from speechconv.layer import Layer
from speechconv.layout import check_real

SMALLEST_FLOOR = torch.finfo(torch.float32).tiny

Scale = Literal["slaney", "htk", "kaldi"]


class Mel(ExactConstants):
    """Mel filterbank on a power or magnitude spectrogram.

    Args:
        n_mels: bands, >= 1.
        sample_rate: of the waveform, Hz.
        n_fft: of the STFT before it, samples.
        f_min: lowest corner, Hz, >= 0.
        f_max: highest corner, Hz, f_min < f_max <= sample_rate / 2; None: sample_rate / 2.
        scale: "slaney" (librosa's default: linear below 1 kHz), "htk" (2595 log10(1 + f / 700)), or "kaldi"
            (1127 ln(1 + f / 700), triangles linear in mel, not in Hz).
        norm: "slaney" scales each triangle to unit area in Hz; None leaves its peak at 1.
        learn: add a learnable deviation, which starts at zero, to the matrix.

    Shape:
        (batch, frames, n_fft // 2 + 1) -> (batch, frames, n_mels)

    Raises:
        ValueError: an argument outside its range.

    Source: librosa.filters.mel; Young et al., The HTK Book, 5.4; Kaldi, feat/mel-computations.cc.

    Example:
        >>> Mel(80, sample_rate=16000, n_fft=400)(torch.ones(1, 7, 201)).shape
        torch.Size([1, 7, 80])
    """

    def __init__(
        self,
        n_mels: int = 80,
        *,
        sample_rate: int,
        n_fft: int,
        f_min: float = 0.0,
        f_max: float | None = None,
        scale: Scale = "slaney",
        norm: Literal["slaney"] | None = "slaney",
        learn: bool = False,
    ) -> None:
        super().__init__()
        check_flag("learn", learn)
        bank = mel_filters(
            n_mels, sample_rate=sample_rate, n_fft=n_fft, f_min=f_min, f_max=f_max, scale=scale, norm=norm
        )
        self.n_mels, self.sample_rate, self.n_fft = n_mels, sample_rate, n_fft
        self.f_min, self.f_max, self.scale, self.norm, self.learn = f_min, f_max, scale, norm, learn
        self.in_channels, self.out_channels = n_fft // 2 + 1, n_mels
        self.register_exact("bank", bank)
        if learn:
            self.bank_delta = nn.Parameter(torch.zeros(bank.shape))

    @property
    def matrix(self) -> Tensor:
        """The filterbank as it is now, (n_mels, n_fft // 2 + 1)."""
        bank = self.exact("bank")
        return bank + self.bank_delta if self.learn else bank

    def valid(self, x: Tensor) -> Tensor:
        check_real(x, "Mel")
        return F.linear(x, self.matrix)

    def extra_repr(self) -> str:
        return (
            f"{self.n_mels}, sample_rate={self.sample_rate}, n_fft={self.n_fft}, f_min={self.f_min}, "
            f"f_max={self.f_max}, scale={self.scale!r}, norm={self.norm!r}, learn={self.learn}"
        )


class Log(Layer):
    """Logarithm above a floor: log(max(x, floor)), or log(x + floor).

    Args:
        floor: values below it are raised to it, >= 1.18e-38 (float32 holds nothing smaller in full).
        base: "e", "10", or "db" (10 log10).
        additive: add the floor to every value instead, as NeMo (2^-24) and torchaudio's log_mels (1e-6) do.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> Log(base="db")(torch.tensor([[[1.0, 100.0, 0.0]]]))
        tensor([[[   0.,   20., -100.]]])
    """

    def __init__(self, *, floor: float = 1e-10, base: Literal["e", "10", "db"] = "e", additive: bool = False) -> None:
        super().__init__()
        if not floor >= SMALLEST_FLOOR:
            raise ValueError(f"floor (={floor}) must be >= {SMALLEST_FLOOR:.3g}, float32's smallest normal number.")
        check_choice("base", base, ("e", "10", "db"))
        check_flag("additive", additive)
        self.floor, self.base, self.additive = floor, base, additive

    def valid(self, x: Tensor) -> Tensor:
        check_real(x, "Log")
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        floored = wide + self.floor if self.additive else wide.clamp(min=self.floor)
        match self.base:
            case "e":
                y = floored.log()
            case "10":
                y = floored.log10()
            case _:
                y = 10 * floored.log10()
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        return f"floor={self.floor}, base={self.base!r}, additive={self.additive}"


def mel_filters(
    n_mels: int,
    *,
    sample_rate: int,
    n_fft: int,
    f_min: float = 0.0,
    f_max: float | None = None,
    scale: Scale = "slaney",
    norm: Literal["slaney"] | None = "slaney",
) -> Tensor:
    """The mel matrix in float64, (n_mels, n_fft // 2 + 1); arguments as `Mel`.

    Warns:
        UserWarning: bands so narrow that no FFT bin falls into them; their output would be 0 always.
    """
    for name, value in (("n_mels", n_mels), ("sample_rate", sample_rate), ("n_fft", n_fft)):
        check_count(name, value)
    check_choice("scale", scale, get_args(Scale))
    check_choice("norm", norm, ("slaney", None))
    f_max = sample_rate / 2 if f_max is None else f_max
    if not 0 <= f_min < f_max <= sample_rate / 2:
        raise ValueError(
            f"f_min (={f_min} Hz) and f_max (={f_max} Hz) must satisfy 0 <= f_min < f_max <= sample_rate / 2 "
            f"(={sample_rate / 2} Hz)."
        )
    to_mel, to_hz = SCALES[scale]
    low, high = float(to_mel(_double(f_min))), float(to_mel(_double(f_max)))
    corners = low + (high - low) * torch.arange(n_mels + 2, dtype=torch.float64) / (n_mels + 1)
    hertz = to_hz(corners)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    bank = _triangles(corners, to_mel(bins)) if scale == "kaldi" else _triangles(hertz, bins)
    if not bool(bank.amax(1).gt(0).all()):
        empty = int((bank.amax(1) == 0).sum())
        warnings.warn(
            f"{empty} of {n_mels} mel bands hold no FFT bin and will always be 0; use fewer n_mels or a larger n_fft "
            f"(={n_fft}).",
            stacklevel=2,
        )
    return bank * (2 / (hertz[2:] - hertz[:-2]))[:, None] if norm == "slaney" else bank


def _triangles(corners: Tensor, points: Tensor) -> Tensor:
    """Rise from corner m to 1 at corner m + 1, fall to corner m + 2; evaluated at `points`."""
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rise = (points - left) / (centre - left)
    fall = (right - points) / (right - centre)
    return torch.minimum(rise, fall).clamp(min=0)


def _double(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


# Slaney's Auditory Toolbox: 200/3 Hz a mel up to 1 kHz (15 mel), then 27 mel for a factor of 6.4.
_LINEAR, _KNEE, _LOG_STEP = 200 / 3, 1000.0, math.log(6.4) / 27


def _slaney_mel(hertz: Tensor) -> Tensor:
    above = _KNEE / _LINEAR + torch.log(hertz.clamp(min=_KNEE) / _KNEE) / _LOG_STEP
    return torch.where(hertz >= _KNEE, above, hertz / _LINEAR)


def _slaney_hertz(mel: Tensor) -> Tensor:
    knee = _KNEE / _LINEAR
    return torch.where(mel >= knee, _KNEE * torch.exp(_LOG_STEP * (mel - knee)), mel * _LINEAR)


SCALES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "slaney": (_slaney_mel, _slaney_hertz),
    "htk": (lambda f: 2595 * torch.log10(1 + f / 700), lambda m: 700 * (10 ** (m / 2595) - 1)),
    "kaldi": (lambda f: 1127 * torch.log(1 + f / 700), lambda m: 700 * (torch.exp(m / 1127) - 1)),
}
