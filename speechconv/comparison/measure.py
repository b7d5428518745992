"""How far two arrays of features are apart, and where most.

    max_abs       max |a - b| / peak             peak = max |b|          a: ours, b: theirs
    relative_l2   ||a - b|| / ||b||
    max_db        max |L(a) - L(b)|              over cells with L(b) >= max L(b) - 70 dB
    rms_db        sqrt mean (L(a) - L(b))^2      over the same

Logarithms are compared as what they are logarithms of: below the floor of rounding a logarithm magnifies nothing but
rounding, and only so "of the peak" means the loudest cell. How the features themselves differ says `max_difference`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechconv.comparison.scale import Array, Scale

RANGE_DB = 70.0
"""Cells that lie deeper below the peak take no part in differences of level."""


@dataclass(frozen=True)
class Distance:
    """The figures above; see `Comparison` for each."""

    peak: float
    max_abs: float
    relative_l2: float
    max_db: float | None
    rms_db: float | None
    max_difference: float
    worst_frame: int
    worst_bin: int


def distance(ours: Array, theirs: Array, scale: Scale) -> Distance:
    """Of two (frames, channels) arrays, frames >= 1.

    >>> from speechconv.comparison.scale import POWER
    >>> distance(np.array([[1.0, 4.1]]), np.array([[1.0, 4.0]]), POWER).worst_bin
    1
    """
    a, b = scale.linear(ours), scale.linear(theirs)
    apart = np.abs(a - b)
    worst = np.unravel_index(int(apart.argmax()), apart.shape)  # of NaN, the first
    peak, norm = float(np.abs(b).max()), float(np.linalg.norm(b))
    max_db, rms_db = _levels(ours, theirs, scale) if scale.decibels and peak else (None, None)
    return Distance(
        peak=peak,
        max_abs=float(apart[worst]) / (peak or 1.0),
        relative_l2=float(np.linalg.norm(a - b)) / (norm or 1.0),
        max_db=max_db,
        rms_db=rms_db,
        max_difference=float(np.abs(ours - theirs).max()),
        worst_frame=int(worst[0]),
        worst_bin=int(worst[1]),
    )


def _levels(ours: Array, theirs: Array, scale: Scale) -> tuple[float, float]:
    a, b = scale.level(ours), scale.level(theirs)
    loud = b >= b.max() - RANGE_DB
    apart = np.abs(a - b)[loud]
    return float(apart.max()), float(np.sqrt(np.mean(apart**2)))
