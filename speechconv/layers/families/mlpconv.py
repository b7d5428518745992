"""mlpconv: a small perceptron that slides over the frames, a convolution and the pointwise ones behind it.

f_1 = max(w_1 * x + b_1, 0)         f_n = max(W_n f_(n-1) + b_n, 0)
"""

from __future__ import annotations

from torch import nn

from speechconv.checks import check_count, check_counts
from speechconv.combine import Sequential
from speechconv.conv import Conv1d
from speechconv.geometry import Padding
from speechconv.layers.families.pointwise_conv import PointwiseConv


class MLPConv(Sequential):
    """A convolution and pointwise convolutions, a ReLU behind each; its parts are numbered as they run.

    Args:
        in_channels: channels of a frame, >= 1.
        out_channels: of the last pointwise convolution, >= 1.
        kernel_size: taps k of the convolution, >= 1.
        hidden_channels: of the convolution, then of each pointwise one but the last, each >= 1; None: two hidden layers
            of out_channels, which is the depth of the paper's.
        stride: of the convolution, >= 1.
        padding: of the convolution, as `Conv1d`'s.

    Shape:
        (batch, frames, in_channels) -> (batch, geometry.num_frames(frames), out_channels)

    Raises:
        ValueError: an argument outside its range.

    Source: Lin, Chen and Yan 2013, "Network in Network", arXiv 1312.4400, section 3.1, equation 2.

    Example:
        >>> import torch
        >>> layer = MLPConv(80, 96, 5, hidden_channels=(192, 160))
        >>> layer(torch.zeros(1, 50, 80)).shape, [conv.out_channels for conv in list(layer)[::2]]
        (torch.Size([1, 50, 96]), [192, 160, 96])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        hidden_channels: tuple[int, ...] | None = None,
        stride: int = 1,
        padding: Padding = "same",
    ) -> None:
        check_count("out_channels", out_channels)
        if hidden_channels is not None:
            check_counts("hidden_channels", hidden_channels, "or None")
        first, *rest = hidden_channels or (out_channels, out_channels)
        layers: list[nn.Module] = [Conv1d(in_channels, first, kernel_size, stride=stride, padding=padding), nn.ReLU()]
        for width in (*rest, out_channels):
            layers += [PointwiseConv(first, width), nn.ReLU()]
            first = width
        super().__init__(*layers)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.hidden_channels = None if hidden_channels is None else tuple(hidden_channels)
