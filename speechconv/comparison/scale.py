"""What a feature is, so that differences mean the same for spectra and for their logarithms.

amplitude   |X|, complex X, mel of |X|       level 20 log10 |x| dB
power       |X|^2, mel of it                 level 10 log10 x dB
logarithm   of either, to any base           level from the feature itself; compared as what it is the logarithm of
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

_LOG10_OF = {"e": math.log10(math.e), "10": 1.0, "db": 0.1}
"""log10 x = factor * feature."""


@dataclass(frozen=True)
class Scale:
    """How to read a feature.

    Args:
        decibels: of a factor of 10 in what lies below any logarithm: 20 for amplitude, 10 for power, 0 for neither.
        base: of the logarithm that was taken; None: none.

    >>> Scale(10).logarithm("e").level(np.log([1.0, 0.01])).round(9).tolist()
    [0.0, -20.0]
    """

    decibels: int
    base: str | None = None

    @property
    def name(self) -> str:
        """Such as "power" or "log amplitude"."""
        kind = {20: "amplitude", 10: "power", 0: "other"}[self.decibels]
        return kind if self.base is None else f"log {kind}"

    def logarithm(self, base: str) -> Scale:
        """The scale behind a logarithm; of a logarithm, or of no known quantity, it is none."""
        return replace(self, base=base) if self.decibels and self.base is None else OTHER

    def linear(self, x: Array) -> Array:
        """`x` without its logarithm: amplitude, power, or what it is."""
        if self.base is None:
            return x
        return 10.0 ** (_LOG10_OF[self.base] * np.real(x))

    def level(self, x: Array) -> NDArray[np.float64]:
        """In dB.

        Raises:
            ValueError: the feature has no level.
        """
        if not self.decibels:
            raise ValueError("features other than spectra have no level in dB.")
        if self.base is not None:
            return self.decibels * _LOG10_OF[self.base] * np.real(x)
        return self.decibels * np.log10(np.maximum(np.abs(x), QUIET))


AMPLITUDE, POWER, OTHER = Scale(20), Scale(10), Scale(0)
