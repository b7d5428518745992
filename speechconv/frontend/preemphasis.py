"""Preemphasis of a waveform: a first difference that lifts the high frequencies.

y[0] = x[0]        y[n] = x[n] - coefficient x[n - 1]
"""

from __future__ import annotations

from torch import Tensor

from speechconv.checks import check_unit_interval
from speechconv.geometry import Geometry
from speechconv.layer import Layer
from speechconv.layout import WAVEFORM


class Preemphasis(Layer):
    """Preemphasis of a whole waveform, before it is cut into frames (Kaldi's is of each frame by itself).

    Args:
        coefficient: share of the sample before that is taken off, 0 ... 1.

    Shape:
        (batch, samples) -> (batch, samples)

    Raises:
        ValueError: an argument outside its range.

    Source: NeMo's FilterbankFeatures; the first sample is kept as it is.

    Example:
        >>> import torch
        >>> Preemphasis(coefficient=0.5)(torch.tensor([[4.0, 2.0, 1.0]]))
        tensor([[4., 0., 0.]])
    """

    in_channels = out_channels = WAVEFORM
    geometry = Geometry(receptive_field=2, pad_left=1)

    def __init__(self, *, coefficient: float = 0.97) -> None:
        super().__init__()
        check_unit_interval("coefficient", coefficient)
        self.coefficient = coefficient

    def valid(self, x: Tensor) -> Tensor:
        return x[:, 1:] - self.coefficient * x[:, :-1]

    def extra_repr(self) -> str:
        return f"coefficient={self.coefficient}"
