"""A stack of dilated convolutions: the window grows with the sum of the dilations, the cost with their number.

x = x + ReLU(norm(w * x))                       * of dilation d, layer by layer; x + left out without the skips
R = 1 + (k - 1) sum d
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from speechconv.checks import check_count, check_counts, check_flag
from speechconv.combine import Residual, Sequential
from speechconv.geometry import frame_keeping_pads, resolve_padding
from speechconv.layers.families.conv_block import ConvBlock, Norm


class DilatedStack(Sequential):
    """Convolutions of growing dilation, one behind the other; its layers are numbered as they run.

    Args:
        channels: of a frame, and of every layer, >= 1.
        kernel_size: taps k of each convolution, >= 1.
        dilations: frames between two taps, layer by layer, each >= 1.
        padding: "same" and "causal" of each layer, as `Conv1d`'s; (left, right) with left + right = k - 1 are in taps:
            each layer pads dilation times as many frames.
        norm: "batch", "layer", or None, behind each convolution.
        residual: a skip around each layer.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    Source: Yu and Koltun 2016, "Multi-scale context aggregation by dilated convolutions", arXiv 1511.07122, section 3
    and table 1 (residual=False, norm=None, dilations=(1, 1, 2, 4, 8, 16, 1), a `PointwiseConv` behind); Bai, Kolter and
    Koltun 2018, the temporal convolutional network, arXiv 1803.01271, section 3 (causal, with skips).

    Example:
        >>> import torch
        >>> stack = DilatedStack(64, dilations=(1, 2, 4, 8))
        >>> stack(torch.zeros(1, 50, 64)).shape, stack.geometry.receptive_field, stack.geometry.lookahead
        (torch.Size([1, 50, 64]), 31, 15)
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        dilations: tuple[int, ...] = (1, 2, 4, 8),
        padding: Literal["same", "causal"] | tuple[int, int] = "same",
        norm: Norm | None = "batch",
        residual: bool = True,
    ) -> None:
        frame_keeping_pads(padding, check_count("kernel_size", kernel_size))
        dilations = check_counts("dilations", dilations, "one for each layer")
        check_flag("residual", residual)
        layers: list[nn.Module] = []
        for dilation in dilations:
            pads = _pads(padding, kernel_size, dilation)
            layer = ConvBlock(channels, channels, kernel_size, dilation=dilation, padding=pads, norm=norm)
            layers.append(Residual(layer) if residual else layer)
        super().__init__(*layers)
        self.channels, self.kernel_size, self.dilations = channels, kernel_size, dilations
        self.padding, self.norm, self.residual = padding, norm, residual


def _pads(padding: Literal["same", "causal"] | tuple[int, int], kernel_size: int, dilation: int) -> tuple[int, int]:
    if isinstance(padding, str):
        return resolve_padding(padding, (kernel_size - 1) * dilation + 1)
    return padding[0] * dilation, padding[1] * dilation
