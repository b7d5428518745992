"""The convolutional positional embedding of wav2vec 2.0: a frame learns where it stands from the frames around it.

    W[:, :, n] = g[n] v[:, :, n] / |v[:, :, n]|          weight norm, one length g for each tap n
    y[t]       = GELU(b + sum_n W[:, :, n] x[t - l + n])          l = 64 of k = 128: frame t sees t - 64 ... t + 63

The checkpoints pad both sides with k // 2 and drop the last frame, so an even kernel reaches one frame further back
than ahead. torch's "same" does the opposite, t - 63 ... t + 64: every frame would be the checkpoint's next one.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechconv.checks import check_count
from speechconv.combine import Sequential
from speechconv.conv import Conv1d, convolve, empty_filters
from speechconv.geometry import Geometry, frame_keeping_pads
from speechconv.layer import Layer


class ConvPositionalEmbedding(Layer):
    """Positional embedding by one wide grouped convolution and GELU; the branch alone.

    Args:
        channels: of a frame, >= 1; divisible by `groups`.
        kernel_size: taps k, frames, >= 1.
        groups: independent groups of channels, >= 1.
        padding: None pads (k // 2, k - 1 - k // 2) frames, as the checkpoints do; "causal" is (k - 1, 0), "same" is
            torch's ((k - 1) // 2, k // 2), or (left, right) with left + right = k - 1.

    Attributes:
        weight_g: (1, 1, k) the length of each tap.
        weight_v: (channels, channels / groups, k) the direction of each tap.
        bias: (channels,).

    Shape:
        (batch, frames, channels) -> the same. `Residual(ConvPositionalEmbedding(...))` adds it to its input.

    Raises:
        ValueError: an argument outside its range, or pads that change the number of frames.

    `padding` moves the kernel in time: "causal" reads the past 128 frames with the very taps that otherwise reach 63
    frames ahead. Weights trained at one place are wrong at another. To make do with r < 63 frames ahead under a
    checkpoint's weights, cut its last taps off instead, which each tap's own length permits: kernel_size = 65 + r,
    padding = (64, r), weight_g[..., :65 + r], weight_v[..., :65 + r]. Every frame then sees the signal as if it ended r
    frames later: an approximation of the checkpoint, and the same offline and live.

    Weight norm recomputes all taps in every call, live in every step; `fuse` computes them once.

    Weights start as fairseq's: a normal distribution of variance 4 / (k channels), bias 0.

    Source: Baevski et al. 2020, "wav2vec 2.0", arXiv 2006.11477, section 2; fairseq, wav2vec2.py, make_conv_pos;
    Salimans and Kingma 2016, "Weight normalization", arXiv 1602.07868.

    Example:
        >>> embedding = ConvPositionalEmbedding(768)
        >>> embedding(torch.zeros(1, 49, 768)).shape, embedding.geometry.span(0), embedding.geometry.lookahead
        (torch.Size([1, 49, 768]), (-64, 63), 63)
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 128,
        groups: int = 16,
        padding: Literal["causal", "same"] | tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        channels, kernel_size = check_count("channels", channels), check_count("kernel_size", kernel_size)
        if channels % check_count("groups", groups):
            raise ValueError(f"channels (={channels}) must be divisible by groups (={groups}).")
        past = kernel_size // 2
        pads = frame_keeping_pads((past, kernel_size - 1 - past) if padding is None else padding, kernel_size)
        self.geometry = Geometry(kernel_size, 1, *pads)
        self.channels = self.in_channels = self.out_channels = channels
        self.kernel_size, self.groups, self.padding = kernel_size, groups, padding
        self.weight_g = nn.Parameter(torch.empty(1, 1, kernel_size))
        self.weight_v = nn.Parameter(empty_filters(channels, channels // groups, kernel_size))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights as fairseq does."""
        nn.init.normal_(self.weight_v, std=math.sqrt(4 / (self.kernel_size * self.channels)))
        self.weight_g.copy_(_tap_lengths(self.weight_v))
        nn.init.zeros_(self.bias)

    @property
    def weight(self) -> Tensor:
        """The filters as they are now, (channels, channels / groups, k)."""
        return self.weight_v * (self.weight_g / _tap_lengths(self.weight_v))

    def valid(self, x: Tensor) -> Tensor:
        return F.gelu(convolve(x, self.weight, self.bias, groups=self.groups))

    @torch.no_grad()
    def fuse(self) -> Sequential:
        """An equal layer for inference, independent of this one: `Conv1d` with the filters as they are now, and GELU.

        Raises:
            ValueError: in training mode.

        >>> fused = ConvPositionalEmbedding(16, kernel_size=3, groups=4).eval().fuse()
        >>> fused[0]
        Conv1d(16, 16, 3, stride=1, dilation=1, groups=4, bias=True, padding=(1, 1))
        """
        if self.training:
            raise ValueError("fuse() is for inference: call .eval() first.")
        g, shape = self.geometry, (self.channels, self.channels, self.kernel_size)
        with torch.random.fork_rng(devices=[]):  # what is drawn for the weights is overwritten
            conv = Conv1d(*shape, groups=self.groups, padding=(g.pad_left, g.pad_right)).to(self.weight_v)
        conv.load_state_dict({"weight": self.weight, "bias": self.bias})
        return Sequential(conv, nn.GELU()).eval()

    def extra_repr(self) -> str:
        return f"{self.channels}, kernel_size={self.kernel_size}, groups={self.groups}, padding={self.padding!r}"


def _tap_lengths(v: Tensor) -> Tensor:
    """(1, 1, k) Euclidean length of each tap; torch's vector_norm over two axes takes four times as long."""
    return v.square().sum((0, 1), keepdim=True).sqrt()
