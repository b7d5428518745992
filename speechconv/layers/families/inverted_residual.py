"""The inverted residual: wide inside, narrow between blocks, and no activation where it is narrow.

u = ReLU6(norm(W_1 x))              C -> expansion C
v = ReLU6(norm(w * u))              one filter w for each channel, strided
y = x + norm(W_2 v)                 the linear bottleneck; x only where it has the shape of y
"""

from __future__ import annotations

from torch import nn

from speechconv.checks import check_count
from speechconv.combine import Residual, Sequential
from speechconv.geometry import Padding, frame_keeping_pads
from speechconv.layers.families.conv_block import ConvBlock, Norm


class InvertedResidual(Sequential):
    """Pointwise expansion, depthwise convolution, linear projection; around them a skip where the shapes agree.

    Args:
        in_channels: channels C of a frame, >= 1.
        out_channels: of the projection, >= 1; the skip needs as many as come in.
        expansion: channels inside for each that comes in, >= 1; 1 leaves the expansion out.
        kernel_size: taps k of the depthwise convolution, >= 1.
        stride: of the depthwise convolution, >= 1; the skip needs 1.
        padding: of the depthwise convolution: "same", "causal", or (left, right) with left + right = k - 1.
        norm: "batch", "layer", or None, behind each convolution.

    Shape:
        (batch, frames, in_channels) -> (batch, ceil(frames / stride), out_channels)

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    Source: Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", arXiv 1801.04381, table 1 and
    figure 4.

    Example:
        >>> import torch
        >>> block = InvertedResidual(24, 24, padding="causal")
        >>> block(torch.zeros(1, 50, 24)).shape, type(block[0]).__name__, block.geometry.lookahead
        (torch.Size([1, 50, 24]), 'Residual', 0)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int = 6,
        kernel_size: int = 3,
        stride: int = 1,
        padding: Padding = "same",
        norm: Norm | None = "batch",
    ) -> None:
        super().__init__()
        pads = frame_keeping_pads(padding, check_count("kernel_size", kernel_size))
        hidden = check_count("in_channels", in_channels) * check_count("expansion", expansion)
        layers: list[nn.Module] = []
        if expansion > 1:
            layers.append(ConvBlock(in_channels, hidden, 1, norm=norm, activation="relu6"))
        layers += [
            ConvBlock(
                hidden,
                hidden,
                kernel_size,
                stride=stride,
                groups=hidden,
                padding=pads,
                norm=norm,
                activation="relu6",
            ),
            ConvBlock(hidden, out_channels, 1, norm=norm, activation=None),
        ]
        body = Sequential(*layers)
        self._chain({"block": Residual(body) if (in_channels, 1) == (out_channels, stride) else body})
        self.expansion, self.kernel_size, self.stride = expansion, kernel_size, stride
        self.padding, self.norm = padding, norm
