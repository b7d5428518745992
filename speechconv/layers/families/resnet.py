"""Residual blocks: convolutions beside a shortcut that leaves the signal as it is, or projects it to another shape.

basic         y = ReLU(s(x) + norm(w_2 * ReLU(norm(w_1 * x))))
bottleneck    y = ReLU(s(x) + norm(W_3 ReLU(norm(w_2 * ReLU(norm(W_1 x))))))        w_2 works on few channels
shortcut      s(x) = x, or norm(W x) where stride or channels change
"""

from __future__ import annotations

from torch import nn

from speechconv.checks import check_count
from speechconv.combine import Parallel, Residual, Sequential
from speechconv.geometry import Padding, frame_keeping_pads
from speechconv.layers.families.conv_block import ConvBlock, Norm


class ResidualBlock(Sequential):
    """Two convolutions beside a shortcut, ResNet's basic block.

    Args:
        in_channels: channels of a frame, >= 1.
        out_channels: of both convolutions, >= 1.
        kernel_size: taps k of both, >= 1.
        stride: of the first, >= 1.
        padding: of both: "same", "causal", or (left, right) with left + right = k - 1.
        norm: "batch", "layer", or None, behind each convolution.

    Shape:
        (batch, frames, in_channels) -> (batch, ceil(frames / stride), out_channels)

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    Source: He et al. 2016, "Deep residual learning for image recognition", arXiv 1512.03385, section 3.2 and figure 5,
    left; the shortcut is its option B.

    Example:
        >>> import torch
        >>> block = ResidualBlock(64, 128, stride=2)
        >>> block(torch.zeros(1, 50, 64)).shape, block.geometry.lookahead
        (torch.Size([1, 25, 128]), 3)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        padding: Padding = "same",
        norm: Norm | None = "batch",
    ) -> None:
        super().__init__()
        pads = frame_keeping_pads(padding, check_count("kernel_size", kernel_size))
        body = Sequential(
            ConvBlock(in_channels, out_channels, kernel_size, stride=stride, padding=pads, norm=norm),
            ConvBlock(out_channels, out_channels, kernel_size, padding=pads, norm=norm, activation=None),
        )
        self._chain({"sum": _beside_shortcut(body, in_channels, out_channels, stride, norm), "activate": nn.ReLU()})
        self.kernel_size, self.stride, self.padding, self.norm = kernel_size, stride, padding, norm


class BottleneckBlock(Sequential):
    """Pointwise reduction, convolution, pointwise expansion beside a shortcut, ResNet's bottleneck.

    Args:
        in_channels: channels of a frame, >= 1.
        out_channels: of the expansion, >= 1.
        bottleneck_channels: inside, >= 1; None: out_channels // 4.
        kernel_size: taps k of the convolution inside, >= 1.
        stride: of the convolution inside, >= 1.
        padding: of the convolution inside: "same", "causal", or (left, right) with left + right = k - 1.
        norm: "batch", "layer", or None, behind each convolution.

    Shape:
        (batch, frames, in_channels) -> (batch, ceil(frames / stride), out_channels)

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    The stride is the inner convolution's, as in torchvision and transformers; the paper's own code has it in the
    reduction, which drops every other frame unseen.

    Source: He et al. 2016, "Deep residual learning for image recognition", arXiv 1512.03385, figure 5, right.

    Example:
        >>> import torch
        >>> BottleneckBlock(64, 256)(torch.zeros(1, 50, 64)).shape
        torch.Size([1, 50, 256])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bottleneck_channels: int | None = None,
        kernel_size: int = 3,
        stride: int = 1,
        padding: Padding = "same",
        norm: Norm | None = "batch",
    ) -> None:
        super().__init__()
        pads = frame_keeping_pads(padding, check_count("kernel_size", kernel_size))
        if bottleneck_channels is None:
            hidden = check_count("out_channels", out_channels, 4) // 4
        else:
            hidden = check_count("bottleneck_channels", bottleneck_channels)
        body = Sequential(
            ConvBlock(in_channels, hidden, 1, norm=norm),
            ConvBlock(hidden, hidden, kernel_size, stride=stride, padding=pads, norm=norm),
            ConvBlock(hidden, out_channels, 1, norm=norm, activation=None),
        )
        self._chain({"sum": _beside_shortcut(body, in_channels, out_channels, stride, norm), "activate": nn.ReLU()})
        self.bottleneck_channels = bottleneck_channels
        self.kernel_size, self.stride, self.padding, self.norm = kernel_size, stride, padding, norm


def _beside_shortcut(
    body: Sequential, in_channels: int, out_channels: int, stride: int, norm: Norm | None
) -> Residual | Parallel:
    if (in_channels, stride) == (out_channels, 1):
        return Residual(body)
    return Parallel(body, ConvBlock(in_channels, out_channels, 1, stride=stride, norm=norm, activation=None))
