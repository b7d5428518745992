"""On which frequency scale do the filters lie? Each scale is asked for a straight line through the sorted peaks.

    linear        f
    mel_htk       2595 log10(1 + f / 700)
    mel_slaney    3 f / 200 below 1 kHz, 15 + 27 ln(f / 1000) / ln 6.4 above
    bark          26.81 f / (1960 + f) - 0.53
    erb           21.4 log10(1 + 0.00437 f)

Source: Young et al., The HTK Book; Slaney 1998, Auditory Toolbox; Traunmueller 1990; Glasberg and Moore 1990.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from speechconv.layers.mel import SCALES as MEL_SCALES
from speechconv.verification.answers import ScalesAnswer

SCALE_NAMES = {"linear": "linear", "mel_htk": "mel (HTK)", "mel_slaney": "mel (Slaney)", "bark": "Bark", "erb": "ERB"}
"""How people write them."""

SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda f: f,
    "mel_htk": MEL_SCALES["htk"][0],
    "mel_slaney": MEL_SCALES["slaney"][0],
    "bark": lambda f: 26.81 * f / (1960 + f) - 0.53,
    "erb": lambda f: 21.4 * torch.log10(1 + 0.00437 * f),
}


def fit_scales(peaks_hz: Sequence[float]) -> ScalesAnswer | None:
    """Which scale the peaks lie on; None for fewer than three peaks, or where they are all at one frequency.

    >>> fit_scales([0.0, 100.0, 200.0, 300.0]).best
    'linear'
    """
    peaks = torch.tensor([f for f in peaks_hz if f == f], dtype=torch.float64).sort().values
    if len(peaks) < 3 or not peaks[-1] > peaks[0]:
        return None
    residual = {name: _residual(scale(peaks)) for name, scale in SCALES.items()}
    return ScalesAnswer(min(residual, key=lambda name: residual[name]), residual)


def _residual(values: Tensor) -> float:
    """Root mean square distance from the least-squares line over the ranks, as a share of the range."""
    rank = torch.arange(len(values), dtype=torch.float64)
    rank, centred = rank - rank.mean(), values - values.mean()
    slope = (rank @ centred) / (rank @ rank)
    return float((centred - slope * rank).square().mean().sqrt() / (values[-1] - values[0]))
