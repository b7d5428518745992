"""Mu-law companding: small samples take most of the range, as they do in speech.

y = sign(x) log(1 + mu |x|) / log(1 + mu)               x = sign(y) ((1 + mu)^|y| - 1) / mu
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechconv.checks import check_count, check_flag
from speechconv.layer import Layer
from speechconv.layout import WAVEFORM


class MuLaw(Layer):
    """Mu-law companding of a waveform, an optional first stage, for instance before `WaveNetEncoder`.

    Args:
        mu: strength of the compression, >= 1; 255 is G.711's and WaveNet's.
        quantize: round to the nearest of mu + 1 levels spread evenly over -1 ... 1, as WaveNet does; samples outside
            that range saturate. Level number 0 ... mu, torchaudio's `mu_law_encoding`, is (y + 1) / 2 mu.

    Shape:
        (batch, samples) -> (batch, samples); -1 ... 1 -> -1 ... 1

    Raises:
        ValueError: an argument outside its range.

    Computed in float32 at least. The gradient at digital silence is 0, and everywhere with quantize=True.

    Source: ITU-T G.711; van den Oord et al. 2016, "WaveNet", arXiv 1609.03499, section 2.2.

    Example:
        >>> MuLaw()(torch.tensor([[0.0, 0.01, -0.1, 1.0]])).round(decimals=2)
        tensor([[ 0.0000,  0.2300, -0.5900,  1.0000]])
    """

    in_channels = out_channels = WAVEFORM

    def __init__(self, mu: int = 255, *, quantize: bool = False) -> None:
        super().__init__()
        self.mu, self.quantize = check_count("mu", mu), check_flag("quantize", quantize)

    def valid(self, x: Tensor) -> Tensor:
        wide = _wide(x)
        y = torch.sign(wide) * torch.log1p(self.mu * wide.abs()) / math.log1p(self.mu)
        if self.quantize:
            level = ((y.clamp(-1, 1) + 1) / 2 * self.mu + 0.5).floor()
            y = 2 * level / self.mu - 1
        return y.to(x.dtype)

    def inverse(self, y: Tensor) -> Tensor:
        """The waveform whose companded form is `y`; of a quantized one, the middle of each level.

        Shape:
            (batch, samples) -> the same
        """
        wide = _wide(y)
        return (torch.sign(wide) * torch.expm1(wide.abs() * math.log1p(self.mu)) / self.mu).to(y.dtype)

    def extra_repr(self) -> str:
        return f"{self.mu}, quantize={self.quantize}"


def _wide(x: Tensor) -> Tensor:
    """`x` in float32 at least: a half type would lose the levels."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
