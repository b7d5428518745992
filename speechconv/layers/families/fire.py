"""The fire module: few channels squeezed out of many, then expanded by filters of one tap and of several.

s = ReLU(W x)                                   squeeze
y = [ReLU(V s), ReLU(w * s)]                    expand, half of the channels each
"""

from __future__ import annotations

from torch import nn

from speechconv.checks import check_count
from speechconv.combine import Parallel, Sequential
from speechconv.conv import Conv1d
from speechconv.geometry import Padding, frame_keeping_pads
from speechconv.layers.families.pointwise_conv import PointwiseConv


class Fire(Sequential):
    """Squeeze by a pointwise convolution, expand by a pointwise one and a wider one side by side.

    Args:
        in_channels: channels of a frame, >= 1.
        out_channels: of both expansions together, even, >= 2.
        squeeze_channels: between, >= 1; fewer than out_channels / 2 make the layer cheap.
        kernel_size: taps k of the wider expansion, >= 1.
        padding: of the wider expansion: "same", "causal", or (left, right) with left + right = k - 1.

    Shape:
        (batch, frames, in_channels) -> (batch, frames, out_channels), the pointwise expansion's first

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    Source: Iandola et al. 2016, "SqueezeNet", arXiv 1602.07360, section 3.2 and figure 1.

    Example:
        >>> import torch
        >>> Fire(96, 128, squeeze_channels=16)(torch.zeros(1, 50, 96)).shape
        torch.Size([1, 50, 128])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        squeeze_channels: int,
        kernel_size: int = 3,
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        if check_count("out_channels", out_channels, 2) % 2:
            raise ValueError(f"out_channels (={out_channels}) must be even: each expansion gives half of them.")
        check_count("squeeze_channels", squeeze_channels)
        pads = frame_keeping_pads(padding, check_count("kernel_size", kernel_size))
        half = out_channels // 2
        self._chain(
            {
                "squeeze": PointwiseConv(in_channels, squeeze_channels),
                "activate_squeezed": nn.ReLU(),
                "expand": Parallel(
                    PointwiseConv(squeeze_channels, half),
                    Conv1d(squeeze_channels, half, kernel_size, padding=pads),
                    join="cat",
                ),
                "activate_expanded": nn.ReLU(),
            }
        )
        self.squeeze_channels, self.kernel_size, self.padding = squeeze_channels, kernel_size, padding
