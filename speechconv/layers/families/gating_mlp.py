"""Branchformer's convolutional gating MLP: half of the channels, filtered in time, gates the other half.

h = GELU(W_1 x)                            C -> H
[r, g] = h                                 the first H / 2 channels and the rest
y = W_2 (r . (w * LN(g) + b))              one filter w for each channel; w starts near 0 and b at 1: all pass
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from speechconv.checks import check_count, check_flag, check_unit_interval
from speechconv.combine import Parallel, Sequential
from speechconv.conv import Conv1d
from speechconv.geometry import frame_keeping_pads
from speechconv.layer import Layer
from speechconv.norm import LayerNorm

START = 1e-6
"""Standard deviation of a gate's weights at the start."""


class ConvGatingUnit(Sequential):
    """The convolutional spatial gating unit (CSGU) alone.

    Args:
        channels: H of a frame, even, >= 2.
        kernel_size: taps k of the depthwise convolution, >= 1.
        padding: of the depthwise convolution: "same", "causal", or (left, right) with left + right = k - 1.
        linear: a matrix for the channels of the gate behind the convolution.
        dropout: probability that a value of the output is 0 in training, 0 ... 1.
        eps: added to the variance that the norm divides by, > 0; ESPnet's is 1e-12.

    Shape:
        (batch, frames, channels) -> (batch, frames, channels / 2)

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    Source: Peng et al. 2022, "Branchformer", arXiv 2207.02971, section 3.3 and figure 3.

    Example:
        >>> import torch
        >>> ConvGatingUnit(64, padding="causal")(torch.zeros(1, 50, 64)).shape
        torch.Size([1, 50, 32])
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 31,
        padding: Literal["same", "causal"] | tuple[int, int] = "same",
        linear: bool = False,
        dropout: float = 0.0,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if check_count("channels", channels, 2) % 2:
            raise ValueError(f"channels (={channels}) must be even: one half gates the other.")
        pads = frame_keeping_pads(padding, check_count("kernel_size", kernel_size))
        check_flag("linear", linear)
        check_unit_interval("dropout", dropout)
        half = channels // 2
        mixers: list[Conv1d | nn.Linear] = [Conv1d(half, half, kernel_size, groups=half, padding=pads)]
        mixers += [nn.Linear(half, half)] * linear
        for mixer in mixers:
            nn.init.normal_(mixer.weight, std=START)
            nn.init.ones_(mixer.get_parameter("bias"))
        gate = Sequential(Half(channels, second=True), LayerNorm(half, eps=eps), *mixers)
        self._chain(
            {"gated": Parallel(Half(channels, second=False), gate, join="product"), "drop": nn.Dropout(dropout)}
        )
        self.channels, self.kernel_size, self.padding = channels, kernel_size, padding
        self.linear, self.dropout, self.eps = linear, dropout, eps


class ConvGatingMLP(Sequential):
    """The whole cgMLP: expansion, GELU, gating unit, projection; the branch alone.

    Args:
        channels: C of a frame, >= 1.
        hidden_channels: H inside, even, >= 2.
        kernel_size: taps k of the depthwise convolution, >= 1.
        padding: of the depthwise convolution: "same", "causal", or (left, right) with left + right = k - 1.
        linear: a matrix for the channels of the gate behind the convolution.
        dropout: probability that a gated value is 0 in training, 0 ... 1.
        eps: added to the variance that the norm divides by, > 0; ESPnet's is 1e-12.

    Shape:
        (batch, frames, channels) -> the same. `Residual(Sequential(LayerNorm(channels), ConvGatingMLP(...)))` is the
        local branch of a Branchformer layer.

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    Source: Peng et al. 2022, "Branchformer", arXiv 2207.02971, section 3.3; after the gMLP of Liu et al. 2021, arXiv
    2105.08050. ESPnet's ConvolutionalGatingMLP, whose linear_units are hidden_channels.

    Example:
        >>> import torch
        >>> mlp = ConvGatingMLP(256, hidden_channels=1024)
        >>> mlp(torch.zeros(1, 50, 256)).shape, mlp.geometry.lookahead
        (torch.Size([1, 50, 256]), 15)
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden_channels: int,
        kernel_size: int = 31,
        padding: Literal["same", "causal"] | tuple[int, int] = "same",
        linear: bool = False,
        dropout: float = 0.0,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        channels = check_count("channels", channels)
        if check_count("hidden_channels", hidden_channels, 2) % 2:
            raise ValueError(f"hidden_channels (={hidden_channels}) must be even: one half gates the other.")
        unit = ConvGatingUnit(
            hidden_channels, kernel_size=kernel_size, padding=padding, linear=linear, dropout=dropout, eps=eps
        )
        self._chain(
            {
                "expand": nn.Linear(channels, hidden_channels),
                "gelu": nn.GELU(),
                "unit": unit,
                "project": nn.Linear(hidden_channels // 2, channels),
            }
        )
        self.channels, self.hidden_channels, self.kernel_size = channels, hidden_channels, kernel_size
        self.padding, self.linear, self.dropout, self.eps = padding, linear, dropout, eps


class Half(Layer):
    """The first or the second half of the channels."""

    def __init__(self, channels: int, *, second: bool) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.second = channels, channels // 2, second

    def valid(self, x: Tensor) -> Tensor:
        return x.chunk(2, 2)[self.second]

    def extra_repr(self) -> str:
        return f"{self.in_channels}, second={self.second}"
