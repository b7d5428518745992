"""What the tests of ConvSTFT share: its ways to learn, sizes, noise, a slow STFT and the distance from a judge.

Tolerances are shares of the largest value of the judge's float64 spectrum.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import get_window
from torch import Tensor

import speechconv as sc
from speechconv.frontend.stft import Learn

Waveform = NDArray[np.float64]

EXACT = 1e-13  # float64: an FFT of 4096 points rounds to 1e-15, a sum of 4096 products to 1e-14
SHORT_FLOAT, LONG_FLOAT = 2e-6, 5e-6  # float32: n_fft up to 512, and up to 4096; kernels of a matrix product round more

LEARN: tuple[Learn | None, ...] = (None, *get_args(Learn))
LEARNED: tuple[Learn, ...] = get_args(Learn)
each_way = pytest.mark.parametrize("learn", LEARN)

# hops that do and do not divide n_fft, odd n_fft, short windows, any window; ConvSTFT's arguments and librosa's alike
CASES: list[dict[str, Any]] = [
    {"n_fft": n_fft, "hop_length": hop_length, "win_length": win_length, "window": window}
    for n_fft, hop_length, win_length, window in (
        (256, 64, None, "hann"),
        (255, 77, 200, "blackman"),
        (400, 160, None, "hann"),
        (400, 160, 321, "hamming"),
        (512, 100, 400, ("kaiser", 8.0)),
        (1023, 250, None, ("gaussian", 150.0)),
        (2048, 512, 1200, ("general_hamming", 0.6)),
        (4096, 1000, 3001, ("tukey", 0.3)),
        (4096, 1024, None, "boxcar"),
    )
]


def named(case: dict[str, Any]) -> str:
    """What pytest calls it."""
    return "-".join(map(str, case.values()))


def float_tolerance(n_fft: int) -> float:
    return SHORT_FLOAT if n_fft <= 512 else LONG_FLOAT


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_stft(x: Waveform, n_fft: int, hop_length: int, *, pad_mode: Any = "constant", window: Any = "hann") -> Any:
    """Centred frames one by one, by numpy alone: (frames, bins)."""
    if not len(x):
        return np.zeros((0, n_fft // 2 + 1), complex)
    padded = np.pad(x, n_fft // 2, mode=pad_mode)
    starts = range(0, len(padded) - n_fft + 1, hop_length)
    return np.array([np.fft.rfft(padded[i : i + n_fft] * get_window(window, n_fft)) for i in starts])


def off(y: Tensor, expected: NDArray | Tensor) -> float:
    """Largest difference, as a share of the largest expected value."""
    expected = torch.as_tensor(expected)
    assert y.shape == expected.shape
    return float((y.detach() - expected).abs().max() / expected.abs().max())


def made_in_double(*args: Any, **kwargs: Any) -> sc.ConvSTFT:
    """The only way to exact filters with learn="free", which keeps what it was made with."""
    torch.set_default_dtype(torch.float64)
    try:
        return sc.ConvSTFT(*args, **kwargs)
    finally:
        torch.set_default_dtype(torch.float32)


def perturbed(stft: sc.ConvSTFT) -> sc.ConvSTFT:
    """`stft` in float64, with parameters that are not those it was made with."""
    stft = stft.double()
    for i, parameter in enumerate(stft.parameters()):
        parameter.data += 0.1 * noise(*parameter.shape, seed=i)
    return stft
