"""The convolution module of the Conformer.

u = GLU(W_1 LN(x))                  W_1: C -> 2 C; unreal frames become 0 here, before frames are mixed
v = SiLU(norm(w * u))               one filter w for each channel
y = dropout(W_2 v)
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from speechconv.checks import check_choice, check_count, check_flag, check_unit_interval
from speechconv.combine import Sequential
from speechconv.conv import Conv1d
from speechconv.geometry import frame_keeping_pads
from speechconv.norm import BatchNorm, LayerNorm


class ConformerConvModule(Sequential):
    """Layer norm, pointwise (C -> 2 C), GLU, depthwise, norm, SiLU, pointwise, dropout; the branch alone.

    Args:
        channels: C of a frame, >= 1.
        kernel_size: taps k of the depthwise convolution, frames, >= 1.
        padding: of the depthwise convolution: "same" (look-ahead k // 2 frames), "causal" (none), or (left, right) with
            left + right = k - 1.
        norm: behind the depthwise convolution: "batch" over the valid frames of a batch, or "layer" over channels.
        bias: add a learned constant in each of the three convolutions.
        dropout: probability that a value of the output is 0 in training, 0 ... 1.

    Shape:
        (batch, frames, channels) -> the same. `Residual(ConformerConvModule(...))` adds it to its input.

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    Pointwise convolutions are `torch.nn.Linear`: a checkpoint's (out, in, 1) loses its last axis.

    Source: Gulati et al. 2020, "Conformer", arXiv 2005.08100, section 2.2 and figure 2.

    Example:
        >>> import torch
        >>> module = ConformerConvModule(144)
        >>> module(torch.zeros(2, 50, 144)).shape, module.geometry.lookahead
        (torch.Size([2, 50, 144]), 15)
    """

    depthwise: Conv1d
    depthwise_norm: BatchNorm | LayerNorm

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 31,
        padding: Literal["same", "causal"] | tuple[int, int] = "same",
        norm: Literal["batch", "layer"] = "batch",
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        channels, kernel_size = check_count("channels", channels), check_count("kernel_size", kernel_size)
        pads = frame_keeping_pads(padding, kernel_size)
        check_choice("norm", norm, ("batch", "layer"))
        check_flag("bias", bias)
        check_unit_interval("dropout", dropout)
        self.channels, self.kernel_size, self.padding = channels, kernel_size, padding
        self.norm, self.bias, self.dropout = norm, bias, dropout
        self._chain(
            {
                "layer_norm": LayerNorm(channels),
                "pointwise_in": nn.Linear(channels, 2 * channels, bias=bias),
                "glu": nn.GLU(),
                "depthwise": Conv1d(channels, channels, kernel_size, groups=channels, bias=bias, padding=pads),
                "depthwise_norm": BatchNorm(channels) if norm == "batch" else LayerNorm(channels),
                "silu": nn.SiLU(),
                "pointwise_out": nn.Linear(channels, channels, bias=bias),
                "drop": nn.Dropout(dropout),
            }
        )
