"""Depthwise separable convolution: a filter for each channel, then a matrix for the channels of each frame.

    mobilenet   y = ReLU(norm(W ReLU(norm(w * x))))
    xception    y = norm(W (w * x))                          nothing between the two

C k + N C products a frame instead of N C k, C channels in and N out: for N much above k, k times fewer.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from speechconv.checks import check_choice
from speechconv.combine import Sequential
from speechconv.conv import Conv1d
from speechconv.geometry import Padding
from speechconv.layers.families.conv_block import ConvBlock, Norm, norm_part
from speechconv.layers.families.pointwise_conv import PointwiseConv

Kind = Literal["mobilenet", "xception"]


class SeparableConv(Sequential):
    """A depthwise convolution and a pointwise one.

    Args:
        in_channels: channels C of a frame, >= 1.
        out_channels: filters N, >= 1.
        kernel_size: taps k of the depthwise convolution, >= 1.
        stride: of the depthwise convolution, >= 1.
        dilation: of the depthwise convolution, >= 1.
        padding: of the depthwise convolution, as `Conv1d`'s.
        kind: "mobilenet" has norm and ReLU behind each of the two; "xception" nothing between them, and no ReLU, which
            stands in front of the layer there.
        norm: "batch", "layer", or None.

    Shape:
        (batch, frames, in_channels) -> (batch, geometry.num_frames(frames), out_channels)

    Raises:
        ValueError: an argument outside its range.

    Without a norm both convolutions add a constant: C k + N C + C + N parameters.

    Source: Howard et al. 2017, "MobileNets", arXiv 1704.04861, section 3.1 and figure 3; Chollet 2017, "Xception",
    arXiv 1610.02357, section 1.2.

    Example:
        >>> import torch
        >>> layer = SeparableConv(64, 128, 3, kind="xception", norm=None)
        >>> layer(torch.zeros(1, 50, 64)).shape, sum(p.numel() for p in layer.parameters())
        (torch.Size([1, 50, 128]), 8576)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: Padding = "same",
        kind: Kind = "mobilenet",
        norm: Norm | None = "batch",
    ) -> None:
        super().__init__()
        check_choice("kind", kind, get_args(Kind))
        filters = {"stride": stride, "dilation": dilation, "groups": in_channels, "padding": padding}
        if kind == "mobilenet":
            parts: dict[str, nn.Module] = {
                "depthwise": ConvBlock(in_channels, in_channels, kernel_size, norm=norm, **filters),
                "pointwise": ConvBlock(in_channels, out_channels, 1, norm=norm),
            }
        else:
            parts = {
                "depthwise": Conv1d(in_channels, in_channels, kernel_size, bias=norm is None, **filters),
                "pointwise": PointwiseConv(in_channels, out_channels, bias=norm is None),
                **norm_part(norm, out_channels),
            }
        self._chain(parts)
        self.kernel_size, self.stride, self.dilation, self.padding = kernel_size, stride, dilation, padding
        self.kind, self.norm = kind, norm
