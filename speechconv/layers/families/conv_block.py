"""Convolution, norm, activation: the block that most families are built of.

y = activation(norm(w * x))        * strided, dilated, grouped, as `Conv1d`
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from speechconv.checks import check_choice, check_count
from speechconv.combine import Sequential
from speechconv.conv import Conv1d
from speechconv.geometry import Padding, resolve_padding
from speechconv.layers.families.pointwise_conv import PointwiseConv
from speechconv.norm import BatchNorm, LayerNorm

Norm = Literal["batch", "layer"]
Activation = Literal["relu", "relu6", "silu", "gelu"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


class ConvBlock(Sequential):
    """A convolution, a norm behind it, and an activation.

    Args:
        in_channels: channels of a frame, >= 1; divisible by `groups`.
        out_channels: filters, >= 1; divisible by `groups`.
        kernel_size: taps k, >= 1.
        stride: frames between two outputs, >= 1.
        dilation: frames between two taps, >= 1.
        groups: independent groups of channels, >= 1; in_channels of them is a depthwise convolution.
        padding: as `Conv1d`'s.
        norm: "batch" over the valid frames of a batch, "layer" over channels, or None. A norm has a constant for each
            channel, so the convolution has none beside it.
        activation: "relu", "relu6", "silu", "gelu", or None.

    Shape:
        (batch, frames, in_channels) -> (batch, geometry.num_frames(frames), out_channels)

    Raises:
        ValueError: an argument outside its range.

    Source: Ioffe and Szegedy 2015, "Batch normalization", arXiv 1502.03167, section 3.2.

    Example:
        >>> import torch
        >>> stem = ConvBlock(1, 64, 10, stride=5, padding="causal")
        >>> stem(torch.zeros(1, 16000, 1)).shape, stem.geometry.lookahead
        (torch.Size([1, 3200, 64]), 0)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        padding: Padding = "same",
        norm: Norm | None = "batch",
        activation: Activation | None = "relu",
    ) -> None:
        super().__init__()
        check_choice("activation", activation, (*get_args(Activation), None))
        kernel_size = check_count("kernel_size", kernel_size)
        settings = {"stride": stride, "groups": groups, "bias": norm is None}
        if kernel_size == 1:
            check_count("dilation", dilation)
            resolve_padding(padding, kernel_size)
            conv = PointwiseConv(in_channels, out_channels, **settings)
        else:
            conv = Conv1d(in_channels, out_channels, kernel_size, dilation=dilation, padding=padding, **settings)
        self.kernel_size, self.stride, self.dilation, self.groups = kernel_size, stride, dilation, groups
        self.padding, self.norm, self.activation = padding, norm, activation
        parts = {"conv": conv, **norm_part(norm, out_channels)}
        if activation is not None:
            parts["activate"] = ACTIVATIONS[activation]()
        self._chain(parts)


def norm_part(norm: Norm | None, channels: int) -> dict[str, nn.Module]:
    """The part "normalise" of a chain, or none.

    Raises:
        ValueError: an unknown norm.

    >>> list(norm_part("batch", 4)), list(norm_part(None, 4))
    (['normalise'], [])
    """
    check_choice("norm", norm, (*get_args(Norm), None))
    if norm is None:
        return {}
    return {"normalise": BatchNorm(channels) if norm == "batch" else LayerNorm(channels)}
