"""Normalisation. Over channels each frame stands alone, so it streams as it is.

y[c] = gamma[c] (x[c] - mean) / sqrt(var + eps) + beta[c]          mean, var over the channels of one frame
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechconv.checks import check_count
from speechconv.layer import Layer


class LayerNorm(Layer):
    """Layer normalisation of each frame over its channels (Ba, Kiros and Hinton 2016, arXiv 1607.06450).

    Args:
        channels: of a frame, >= 1.
        eps: added to the variance, > 0.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range.

    The same numbers and weight names as torch.nn.LayerNorm(channels); unlike that one it streams on its own.

    Example:
        >>> LayerNorm(4)(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])).round(decimals=2)
        tensor([[[-1.3400, -0.4500,  0.4500,  1.3400]]], grad_fn=<RoundBackward1>)
    """

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        channels = check_count("channels", channels)
        if eps <= 0:
            raise ValueError(f"eps (={eps}) must be > 0.")
        self.channels = self.in_channels = self.out_channels = channels
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def valid(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (self.channels,), self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.channels}, eps={self.eps}"
