"""Banks of filters made by numpy alone, and the ones that others trained."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import get_window

from speechconv.verification.filter_bank import FilterBank

Array = Any
"""A numpy array; the stubs of numpy and scipy do not agree on more."""

HZ = 16000


def pairs(filters: Array, sample_rate: int = HZ, hop_length: int | None = None) -> FilterBank:
    """A bank of complex filters (filters, taps)."""
    real, imag = (torch.from_numpy(np.ascontiguousarray(part, np.float64)) for part in (filters.real, filters.imag))
    return FilterBank("pairs", real, imag, "stacked", sample_rate, hop_length)


def real_only(filters: Array, sample_rate: int = HZ, hop_length: int | None = None) -> FilterBank:
    return FilterBank("filters", torch.from_numpy(filters.astype(np.float64)), None, "real", sample_rate, hop_length)


def dft(n_fft: int, window: Array) -> Array:
    """One-sided windowed DFT, e^(-j ...): (n_fft // 2 + 1, len(window)) complex."""
    return window * np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), np.arange(len(window))) / n_fft)


def hann(taps: int, *, periodic: bool = True) -> Array:
    return get_window("hann", taps, fftbins=periodic)


def gabor(centres_hz: Array, taps: int = 401, cycles: float = 6.0) -> Array:
    """Array Gaussian-windowed filters, as wide as their centres are high: (filters, taps) complex."""
    n = np.arange(taps) - (taps - 1) / 2
    sigma = np.minimum(cycles * HZ / (2 * np.pi * centres_hz), taps / 8)
    return np.exp(-0.5 * (n / sigma[:, None]) ** 2 + 2j * np.pi * centres_hz[:, None] / HZ * n)


def mel_gabor(filters: int = 40, taps: int = 401) -> Array:
    """Gabor filters even on the HTK mel scale, 60 to 7600 Hz."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (60, 7600))
    return gabor(700 * (10 ** (np.linspace(low, high, filters) / 2595) - 1), taps)


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def silero() -> Path:
    """The weights of silero-vad, a voice activity detector whose first layer is an STFT; the extra `test` brings it."""
    spec = importlib.util.find_spec("silero_vad")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        pytest.fail("the package silero-vad is not installed: pip install '.[test]'")
    path = Path(folders[0]) / "data" / "silero_vad_16k.safetensors"
    if not path.is_file():
        pytest.fail(f"silero-vad has no {path.name} in its folder data: which version is it?")
    return path


def silero_twin() -> Array:
    """What silero's tensor is: n_fft 256, periodic Hann, real parts then imaginary ones, float32: (258, 256)."""
    filters = dft(256, hann(256))
    return np.concatenate((filters.real, filters.imag)).astype(np.float32)
