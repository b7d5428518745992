"""Lightweight convolution: a weighted mean over time whose weights are learned once for many channels.

    y[t, c] = sum_n softmax(w[h])[n] x[t - l + n, c] + b[c]         head h = c H // C of H

and the branch that Lite Transformer puts beside attention:

    y = W_2 lightweight(GLU(W_1 x))                                 W_1: C -> 2 C
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from speechconv.checks import check_count, check_flag
from speechconv.combine import Sequential
from speechconv.conv import convolve
from speechconv.geometry import Geometry, frame_keeping_pads
from speechconv.layer import Layer


class LightweightConv(Layer):
    """A depthwise convolution whose filters are positive, sum to one, and are shared by the channels of a head.

    Args:
        channels: C of a frame, >= 1; divisible by `heads`.
        kernel_size: taps k, >= 1.
        heads: H filters; channels c of one C / H in a row share one.
        padding: "same", "causal", or (left, right) with left + right = k - 1.
        bias: add a learned constant to each channel.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    `weight` holds (heads, k) numbers before the softmax over k. At the ends of the signal the taps that fall on pads
    are lost, so the weights of an end frame sum to less than one, as in fairseq.

    The channels of a head lie in a row, as in the paper and in fairseq's models (LightweightConv1dTBC). In ESPnet's
    LightweightConvolution and fairseq's example LightweightConv1d channel c is of head c mod H: for their weights give
    x.unflatten(2, (-1, H)).mT.flatten(2), and take y.unflatten(2, (H, -1)).mT.flatten(2) of what comes out.

    Source: Wu et al. 2019, "Pay less attention with lightweight and dynamic convolutions", arXiv 1901.10430, section 3,
    equations 4 and 5.

    Example:
        >>> layer = LightweightConv(512, 31, heads=8, padding="causal")
        >>> layer(torch.zeros(1, 50, 512)).shape, layer.weight.numel()
        (torch.Size([1, 50, 512]), 248)
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        *,
        heads: int,
        padding: Literal["same", "causal"] | tuple[int, int] = "same",
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.channels = self.in_channels = self.out_channels = check_count("channels", channels)
        self.kernel_size, self.heads = check_count("kernel_size", kernel_size), check_count("heads", heads)
        if channels % heads:
            raise ValueError(f"channels (={channels}) must be divisible by heads (={heads}).")
        check_flag("bias", bias)
        self.padding = padding
        self.geometry = Geometry(kernel_size, 1, *frame_keeping_pads(padding, kernel_size))
        self.weight = nn.Parameter(torch.empty(heads, kernel_size))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        nn.init.xavier_uniform_(self.weight)

    def valid(self, x: Tensor) -> Tensor:
        filters = self.weight.softmax(1).repeat_interleave(self.channels // self.heads, 0)
        return convolve(x, filters[:, None], self.bias, groups=self.channels)

    def extra_repr(self) -> str:
        return (
            f"{self.channels}, {self.kernel_size}, heads={self.heads}, padding={self.padding!r}, "
            f"bias={self.bias is not None}"
        )


class LightweightConvModule(Sequential):
    """Pointwise (C -> 2 C), GLU, lightweight convolution, pointwise; the branch alone.

    Args:
        channels: C of a frame, >= 1; divisible by `heads`.
        kernel_size: taps k of the lightweight convolution, >= 1.
        heads: filters of the lightweight convolution.
        padding: of the lightweight convolution: "same", "causal", or (left, right) with left + right = k - 1.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    Source: Wu et al. 2020, "Lite Transformer with long-short range attention", arXiv 2004.11886, section 4 and figure
    3; the block is figure 2b of arXiv 1901.10430.

    Example:
        >>> module = LightweightConvModule(256)
        >>> module(torch.zeros(1, 50, 256)).shape, module.geometry.lookahead
        (torch.Size([1, 50, 256]), 15)
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 31,
        heads: int = 4,
        padding: Literal["same", "causal"] | tuple[int, int] = "same",
    ) -> None:
        super().__init__()
        channels = check_count("channels", channels)
        self._chain(
            {
                "pointwise_in": nn.Linear(channels, 2 * channels),
                "glu": nn.GLU(),
                "lightweight": LightweightConv(channels, kernel_size, heads=heads, padding=padding),
                "pointwise_out": nn.Linear(channels, channels),
            }
        )
        self.channels, self.kernel_size, self.heads, self.padding = channels, kernel_size, heads, padding
