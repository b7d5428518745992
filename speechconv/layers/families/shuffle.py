"""Grouped convolution and the shuffle that lets its groups meet.

shuffle    channel (group g, number n) of G groups of N goes to place n G + g
unit       v = norm(w * shuffle(ReLU(norm(W_1 x))))            W_1, W_2 in groups, w a filter for each channel
           y = ReLU(x + norm(W_2 v))                           stride 1
           y = ReLU([average(x), norm(W_2 v)])                 stride 2, side by side
"""

from __future__ import annotations

from torch import Tensor, nn

from speechconv.checks import check_count
from speechconv.combine import Parallel, Residual, Sequential
from speechconv.geometry import Padding, frame_keeping_pads
from speechconv.layer import Layer
from speechconv.layers.families.conv_block import ConvBlock, Norm
from speechconv.layers.families.pooling import AvgPool1d


class ChannelShuffle(Layer):
    """Deals the channels of each group out among all groups, so that a grouped convolution behind it sees them all.

    Args:
        channels: of a frame, >= 1; divisible by `groups`.
        groups: G, >= 1.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range.

    Source: Zhang et al. 2018, "ShuffleNet", arXiv 1707.01083, section 3.1 and figure 1; the groups themselves are
    Krizhevsky, Sutskever and Hinton's (2012, "ImageNet classification with deep convolutional neural networks").

    Example:
        >>> import torch
        >>> ChannelShuffle(6, groups=2)(torch.arange(6.0)[None, None])
        tensor([[[0., 3., 1., 4., 2., 5.]]])
    """

    def __init__(self, channels: int, *, groups: int) -> None:
        super().__init__()
        self.channels = self.in_channels = self.out_channels = check_count("channels", channels)
        self.groups = check_count("groups", groups)
        if channels % groups:
            raise ValueError(f"channels (={channels}) must be divisible by groups (={groups}).")

    def valid(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.groups, -1)).transpose(2, 3).flatten(2)

    def extra_repr(self) -> str:
        return f"{self.channels}, groups={self.groups}"


class ShuffleUnit(Sequential):
    """ShuffleNet's bottleneck: grouped pointwise, shuffle, depthwise, grouped pointwise, beside its input.

    Args:
        in_channels: channels of a frame, >= 1.
        out_channels: of the output, >= 4 and divisible by 4: the bottleneck has a quarter of them. With stride 1 as
            many as come in; else more: the averaged input is a part of them, and the branch gives the rest.
        groups: of both pointwise convolutions, >= 1; divides in_channels, the bottleneck, and what the branch gives.
        kernel_size: taps k of the depthwise convolution, and frames of the average, >= 1.
        stride: 1 adds the branch to the input; above 1 both are strided, and lie side by side.
        padding: of the depthwise convolution and the average: "same", "causal", or (left, right) with left + right =
            k - 1.
        norm: "batch", "layer", or None, behind each convolution.

    Shape:
        (batch, frames, in_channels) -> (batch, ceil(frames / stride), out_channels)

    Raises:
        ValueError: an argument outside its range, or channels that do not fit.

    Source: Zhang et al. 2018, "ShuffleNet", arXiv 1707.01083, section 3.2 and figure 2.

    Example:
        >>> import torch
        >>> net = Sequential(ShuffleUnit(24, 240, stride=2), ShuffleUnit(240, 240))
        >>> net(torch.zeros(1, 100, 24)).shape
        torch.Size([1, 50, 240])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        groups: int = 3,
        kernel_size: int = 3,
        stride: int = 1,
        padding: Padding = "same",
        norm: Norm | None = "batch",
    ) -> None:
        super().__init__()
        pads = frame_keeping_pads(padding, check_count("kernel_size", kernel_size))
        given = check_count("out_channels", out_channels)
        if check_count("stride", stride) > 1:
            given -= check_count("in_channels", in_channels)
        hidden = out_channels // 4
        _check_channels(in_channels, out_channels, given, groups, stride)
        body = Sequential(
            ConvBlock(in_channels, hidden, 1, groups=groups, norm=norm),
            ChannelShuffle(hidden, groups=groups),
            ConvBlock(
                hidden, hidden, kernel_size, stride=stride, groups=hidden, padding=pads, norm=norm, activation=None
            ),
            ConvBlock(hidden, given, 1, groups=groups, norm=norm, activation=None),
        )
        average = AvgPool1d(kernel_size, stride=stride, padding=pads)
        merge = Residual(body) if stride == 1 else Parallel(average, body, join="cat")
        self._chain({"merge": merge, "activate": nn.ReLU()})
        self.groups, self.kernel_size, self.stride = groups, kernel_size, stride
        self.padding, self.norm = padding, norm


def _check_channels(in_channels: int, out_channels: int, given: int, groups: int, stride: int) -> None:
    """ValueError unless a unit can have these channels, `given` by its branch."""
    check_count("groups", groups)
    if out_channels % 4:
        raise ValueError(
            f"out_channels (={out_channels}) must be divisible by 4: the bottleneck has a quarter of them."
        )
    if stride == 1 and in_channels != out_channels:
        raise ValueError(
            f"with stride 1 the branch is added to its input, so out_channels (={out_channels}) must be in_channels "
            f"(={in_channels})."
        )
    if given < 1:
        raise ValueError(
            f"with stride {stride} the input's channels are a part of the output, so out_channels (={out_channels}) "
            f"must be above in_channels (={in_channels})."
        )
    for name, value in (
        ("in_channels", in_channels),
        ("out_channels / 4", out_channels // 4),
        ("what the branch gives", given),
    ):
        if value % groups:
            raise ValueError(f"{name} (={value}) must be divisible by groups (={groups}).")
