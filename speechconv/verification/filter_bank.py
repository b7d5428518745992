"""A bank of filters as verification looks at it: rows of float64 taps, in pairs where it is a complex bank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Layout = Literal["stacked", "interleaved", "separate", "real"]
"""How the pairs lie in a tensor: all real parts, then all imaginary ones; row by row; two tensors; no pairs."""

DEAD = 1e-9
"""Of the loudest filter's norm: what is not above it is no filter."""


@dataclass(frozen=True)
class FilterBank:
    """Filters read from a file or taken from a module.

    Attributes:
        name: of the tensor or tensors, as its file names them.
        real: (filters, taps) float64.
        imag: likewise, the other half of each pair; None for real-only filters.
        layout: how they lay in the file.
        sample_rate: Hz.
        hop_length: samples between two frames; None where nobody knows.
        sample_rate_assumed: nobody said the sample rate.
    """

    name: str
    real: Tensor
    imag: Tensor | None
    layout: Layout
    sample_rate: int
    hop_length: int | None = None
    sample_rate_assumed: bool = False

    @property
    def rows(self) -> Tensor:
        """Every real filter a row: (filters, taps), or (2 filters, taps), all real parts first."""
        return self.real if self.imag is None else torch.cat((self.real, self.imag))

    @property
    def alive(self) -> Tensor:
        """(filters,) bool: whether it is louder than 1e-9 of the loudest; dead ones have no frequency and no shape."""
        size = self.rows.reshape(-1, len(self.real), self.real.shape[1]).square().sum((0, 2)).sqrt()
        return size > DEAD * size.max()

    @property
    def filters(self) -> Tensor:
        """(filters, taps): complex128 pairs z_k = a_k + j b_k, or float64 for real-only filters."""
        return self.real if self.imag is None else torch.complex(self.real, self.imag)
