"""What a comparison came to."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from speechconv.comparison.scale import Array, Scale


@dataclass(frozen=True)
class Comparison:
    """Features beside another library's, frame by frame; `measure` has the formulas.

    Attributes:
        against: the other library.
        scale_name: what was compared: "power", "amplitude", "log power", "log amplitude" or "value".
        sample_rate: Hz.
        frames, channels: of the features.
        peak: the other library's largest absolute value; of a logarithm, the largest of what it is the logarithm of.
        max_abs: largest difference, of the peak (in digital silence as it is). This is held against the tolerance.
        relative_l2: Euclidean norm of the difference, of the norm of the other library's features.
        max_db, rms_db: largest and root-mean-square difference of level, in dB, over the cells within 70 dB of the
            peak; None where features have no level (cepstra) or all is silent.
        max_difference: largest difference of the features as they are, in their own unit, over all cells.
        worst_frame, worst_bin: where `max_abs` is reached, counted from 0.
        worst_seconds: middle of that frame.
        worst_hz: frequency of that bin, or centre of its mel band; None where it has none.
        tolerance, tolerance_db: the largest `max_abs` that passes and, of logarithms, the largest `max_db`.
        passed: whether they do.
        features, reference: (frames, channels), ours and the other library's; float64 or complex128.
        seconds: (frames,) the middle of each frame.
        hertz: (channels,) or None.
    """

    against: str
    scale_name: str
    sample_rate: int
    frames: int
    channels: int
    peak: float
    max_abs: float
    relative_l2: float
    max_db: float | None
    rms_db: float | None
    max_difference: float
    worst_frame: int
    worst_bin: int
    worst_seconds: float
    worst_hz: float | None
    tolerance: float
    tolerance_db: float
    passed: bool
    features: Array = field(repr=False, compare=False)
    reference: Array = field(repr=False, compare=False)
    seconds: NDArray[np.float64] = field(repr=False, compare=False)
    hertz: NDArray[np.float64] | None = field(repr=False, compare=False)
    scale: Scale = field(repr=False, compare=False)

    def to_json(self) -> str:
        """The figures as one JSON object on one line, without the arrays; what is not finite is null."""
        figures = {f.name: getattr(self, f.name) for f in fields(self) if f.compare}
        plain = {key: None if _endless(value) else value for key, value in figures.items()}
        return json.dumps(plain, allow_nan=False)


def _endless(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
