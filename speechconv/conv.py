"""The one convolution: any kernel, stride, dilation, groups and pads, offline and live.

y[t] = b + sum_n W[:, :, n] x[s t - l + d n]          zeros outside the signal

A live step makes few frames, often one: there torch's convolution costs up to a hundred times the arithmetic, and the
product of the windows with the filters is taken as it stands (`convolve`).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechconv.checks import check_count, check_flag
from speechconv.geometry import Geometry, Padding, resolve_padding
from speechconv.layer import Layer

FEW = 1 << 20
FEW_DEPTHWISE = 1 << 15
"""Numbers in all windows together up to which their product with the filters beats torch's convolution."""
LARGE_DEPTHWISE = 7000
"""Numbers in depthwise filters from which on conv1d's gradients beat conv2d's: 226 channels of 31 taps."""


class Conv1d(Layer):
    """Convolution over frames (cross-correlation, as torch's).

    Args:
        in_channels: channels of a frame, >= 1; divisible by `groups`.
        out_channels: filters, >= 1; divisible by `groups`.
        kernel_size: taps k, >= 1.
        stride: frames between two outputs, >= 1.
        dilation: frames between two taps, >= 1. The kernel spans k_eff = (k - 1) d + 1 frames.
        groups: independent groups of channels, >= 1.
        bias: add a learned constant to each output channel.
        padding: "valid" (none), "causal" (k_eff - 1 on the left, at any stride), "same" (as torch, stride 1 keeps the
            number of frames), or (left, right) with left + right <= k_eff - 1.

    Shape:
        (batch, frames, in_channels) -> (batch, geometry.num_frames(frames), out_channels)

    Raises:
        ValueError: an argument outside its range.

    `weight` and `bias` have torch's names, shapes and initial distribution: (out_channels, in_channels / groups, k).

    Example:
        >>> conv = Conv1d(80, 256, 3, stride=2, padding="causal")
        >>> conv(torch.zeros(1, 100, 80)).shape, conv.geometry.lookahead
        (torch.Size([1, 50, 256]), 0)
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
        bias: bool = True,
        padding: Padding = "valid",
    ) -> None:
        super().__init__()
        in_channels, out_channels = check_count("in_channels", in_channels), check_count("out_channels", out_channels)
        kernel_size, stride = check_count("kernel_size", kernel_size), check_count("stride", stride)
        dilation, groups = check_count("dilation", dilation), check_count("groups", groups)
        check_flag("bias", bias)
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            if value % groups:
                raise ValueError(f"{name} (={value}) must be divisible by groups (={groups}).")
        span = (kernel_size - 1) * dilation + 1
        self.geometry = Geometry(span, stride, *resolve_padding(padding, span))
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.dilation, self.groups = kernel_size, stride, dilation, groups
        self.padding = padding
        self.weight = nn.Parameter(empty_filters(out_channels, in_channels // groups, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights as torch.nn.Conv1d does: uniform within 1 / sqrt(fan in)."""
        bound = 1 / math.sqrt(self.weight[0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def valid(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, {self.kernel_size}, stride={self.stride}, "
            f"dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}, padding={self.padding!r}"
        )


def empty_filters(out_channels: int, in_channels: int, kernel_size: int) -> Tensor:
    """Room for filters of torch's shape (out_channels, in_channels, k); each lies in memory as the frames that it meets
    do, channel by channel within tap by tap, so that a product reads it as it is."""
    if in_channels == 1:
        return torch.empty(out_channels, 1, kernel_size)  # the same memory, by the strides that torch's DDP asks for
    return torch.empty(out_channels, kernel_size, in_channels).transpose(1, 2)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, dilation: int = 1, groups: int = 1
) -> Tensor:
    """Convolution without pads, frames last but one.

    Args:
        x: (batch, n, in_channels), n >= (k - 1) dilation + 1.
        weight: (out_channels, in_channels / groups, k).
        bias: (out_channels,) or None.
        stride, dilation, groups: as for `Conv1d`.

    Returns:
        (batch, (n - (k - 1) dilation - 1) // stride + 1, out_channels)
    """
    depthwise = weight.shape[1] == 1 and groups == len(weight) > 1
    windows = windows_of(x, weight.shape[2], stride, dilation)
    few = windows.numel() <= (FEW_DEPTHWISE if depthwise else FEW)
    learns = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if learns and depthwise and weight.numel() >= LARGE_DEPTHWISE:
        return _conv1d(x, weight, bias, stride, dilation, groups)
    if learns or not few:
        return _conv2d(x, weight, bias, stride, dilation, groups)
    if groups == 1:
        return dense_product(windows, weight, bias)
    y = (windows * weight[:, 0].T).sum(2) if depthwise else _grouped_product(windows, weight, groups)
    return y if bias is None else y + bias


def _conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, dilation: int, groups: int) -> Tensor:
    return F.conv1d(x.transpose(1, 2), weight, bias, stride, 0, dilation, groups).transpose(1, 2)


def _conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, dilation: int, groups: int) -> Tensor:
    """The same products over images one pixel high: conv2d takes frames and filters as they lie, conv1d copies both.

    In float64, which has no such kernels, conv1d is the faster; other devices keep it.
    """
    if x.dtype == torch.float64 or not x.is_cpu:
        return _conv1d(x, weight, bias, stride, dilation, groups)
    image = x.transpose(1, 2).unsqueeze(2)
    y = F.conv2d(image, weight.unsqueeze(2), bias, (1, stride), 0, (1, dilation), groups)
    return y.squeeze(2).transpose(1, 2)


def windows_of(x: Tensor, kernel_size: int, stride: int = 1, dilation: int = 1) -> Tensor:
    """The frames under the kernel at each place: (batch, n, c) -> (batch, frames, k, c), a view; no gradient."""
    frames = (x.shape[1] - (kernel_size - 1) * dilation - 1) // stride + 1
    batch, frame, channel = x.stride()
    strides = (batch, stride * frame, dilation * frame, channel)
    return x.as_strided((x.shape[0], frames, kernel_size, x.shape[2]), strides, x.storage_offset())


def dense_product(windows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(batch, frames, k, c) windows with (o, c, k) filters: (batch, frames, o)."""
    return F.linear(windows.flatten(2), weight.transpose(1, 2).flatten(1), bias)


def _grouped_product(windows: Tensor, weight: Tensor, groups: int) -> Tensor:
    """(batch, frames, k, groups c) windows with (groups o, c, k) filters: (batch, frames, groups o)."""
    rows = windows.unflatten(3, (groups, -1)).permute(3, 0, 1, 2, 4).flatten(3).flatten(1, 2)
    filters = weight.transpose(1, 2).flatten(1).unflatten(0, (groups, -1))
    return torch.bmm(rows, filters.transpose(1, 2)).transpose(0, 1).reshape(*windows.shape[:2], len(weight))
