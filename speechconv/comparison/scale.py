"""What a feature is, so that differences mean the same for spectra and for their logarithms.

amplitude   |X|, complex X, mel of |X|       level 20 log10 |x| dB
power       |X|^2, mel of it                 level 10 log10 x dB
logarithm   of either, to any base           scaled and shifted or not; compared as what it is the logarithm of
other       cepstra, PCEN, deltas            no level; compared as it is
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""float64 or complex128."""

QUIET = np.finfo(np.float64).tiny
"""Stands for digital silence where a logarithm is taken."""

_LOG10_OF_UNIT = {"e": math.log10(math.e), "10": 1.0, "db": 0.1}


@dataclass(frozen=True)
class Scale:
    """How to read a feature.

    Args:
        decibels: of a factor of 10 in what lies below any logarithm: 20 for amplitude, 10 for power, 0 for neither.
        slope: log10 of that quantity is slope * (feature - zero); None: no logarithm was taken.
        zero: the feature where that quantity is 1.

    >>> Scale(10).logarithm("e").level(np.log([1.0, 0.01])).round(9).tolist()
    [0.0, -20.0]
    """

    decibels: int
    slope: float | None = None
    zero: float = 0.0

    @property
    def name(self) -> str:
        """Such as "power" or "log amplitude"."""
        kind = {20: "amplitude", 10: "power", 0: "value"}[self.decibels]
        return kind if self.slope is None else f"log {kind}"

    def logarithm(self, base: str) -> Scale:
        """The scale behind a logarithm; of a logarithm, or of no known quantity, it is none."""
        return replace(self, slope=_LOG10_OF_UNIT[base]) if self.decibels and self.slope is None else OTHER

    def affine(self, scale: float, offset: float) -> Scale:
        """The scale of scale * feature + offset, where a logarithm was taken; elsewhere none."""
        if self.slope is None or scale <= 0:
            return OTHER
        return replace(self, slope=self.slope / scale, zero=scale * self.zero + offset)

    def linear(self, x: Array) -> Array:
        """`x` without its logarithm: amplitude, power, or what it is."""
        return x if self.slope is None else 10.0 ** (self.slope * (np.real(x) - self.zero))

    def level(self, x: Array) -> NDArray[np.float64]:
        """In dB.

        Raises:
            ValueError: the feature has no level.
        """
        if not self.decibels:
            raise ValueError("features other than spectra have no level in dB.")
        if self.slope is not None:
            return self.decibels * self.slope * (np.real(x) - self.zero)
        return self.decibels * np.log10(np.maximum(np.abs(x), QUIET))


AMPLITUDE, POWER, OTHER = Scale(20), Scale(10), Scale(0)
