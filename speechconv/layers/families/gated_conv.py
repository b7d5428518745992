"""Gated linear unit convolution: one half of the filters says how much of the other half passes.

y = (w * x + b) . sigmoid(v * x + c)        w and v as one convolution
"""

from __future__ import annotations

from torch import nn

from speechconv.checks import check_count
from speechconv.combine import Sequential
from speechconv.conv import Conv1d
from speechconv.geometry import Padding


class GatedConv(Sequential):
    """A convolution to twice the channels, and a GLU; the branch alone.

    Args:
        in_channels: channels of a frame, >= 1.
        out_channels: of the output, >= 1.
        kernel_size: taps k, >= 1.
        stride: frames between two outputs, >= 1.
        dilation: frames between two taps, >= 1.
        padding: as `Conv1d`'s; the gated language model, and ConvS2S's decoder, are "causal", its encoder "same".
        bias: add a learned constant to each filter.

    Shape:
        (batch, frames, in_channels) -> (batch, geometry.num_frames(frames), out_channels)

    Raises:
        ValueError: an argument outside its range.

    `Residual(GatedConv(...))` adds it to its input; ConvS2S multiplies the sum by sqrt(0.5), `Affine(scale=0.5**0.5)`.

    Source: Dauphin et al. 2017, "Language modeling with gated convolutional networks", arXiv 1612.08083, equation 1;
    Gehring et al. 2017, "Convolutional sequence to sequence learning", arXiv 1705.03122, section 3.2.

    Example:
        >>> import torch
        >>> layer = GatedConv(64, 64, 5)
        >>> layer(torch.zeros(1, 50, 64)).shape, layer.geometry.lookahead
        (torch.Size([1, 50, 64]), 0)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: Padding = "causal",
        bias: bool = True,
    ) -> None:
        super().__init__()
        width = 2 * check_count("out_channels", out_channels)
        conv = Conv1d(in_channels, width, kernel_size, stride=stride, dilation=dilation, bias=bias, padding=padding)
        self._chain({"conv": conv, "glu": nn.GLU()})
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self.padding, self.bias = padding, bias
