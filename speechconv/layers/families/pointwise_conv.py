"""Pointwise convolution: one matrix for the channels of every frame, kernel 1.

y[t] = b + W x[s t]
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.conv import Conv1d


class PointwiseConv(Conv1d):
    """A convolution of one tap: channels are mixed, frames are not.

    Args:
        in_channels: channels of a frame, >= 1; divisible by `groups`.
        out_channels: filters, >= 1; divisible by `groups`.
        stride: frames between two outputs, >= 1; those between are dropped.
        groups: independent groups of channels, >= 1.
        bias: add a learned constant to each output channel.

    Shape:
        (batch, frames, in_channels) -> (batch, ceil(frames / stride), out_channels)

    Raises:
        ValueError: an argument outside its range.

    The numbers and weights of `Conv1d(in_channels, out_channels, 1)`, as the product of two matrices: channels lie last
    here, so no frame is moved. Without stride and groups it is `torch.nn.Linear`, but for the last axis of its weight.

    Source: Lin, Chen and Yan 2013, "Network in Network", arXiv 1312.4400, section 3.1 (cross-channel parametric
    pooling).

    Example:
        >>> PointwiseConv(64, 128, stride=2)(torch.zeros(1, 9, 64)).shape
        torch.Size([1, 5, 128])
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, 1, stride=stride, groups=groups, bias=bias)

    def valid(self, x: Tensor) -> Tensor:
        x, weight = x[:, :: self.stride], self.weight[:, :, 0]
        if self.groups == 1:
            return F.linear(x, weight, self.bias)
        groups = x.unflatten(2, (self.groups, -1))
        y = torch.einsum("btgi,goi->btgo", groups, weight.unflatten(0, (self.groups, -1))).flatten(2)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, stride={self.stride}, groups={self.groups}, "
            f"bias={self.bias is not None}"
        )
