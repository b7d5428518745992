"""The wav2vec 2.0 feature encoder: strided convolutions from waveform to frames (Baevski et al. 2020).

    h_0 = GELU(norm(conv_0(x)))        h_i = GELU(conv_i(h_i-1))             norm="group": statistics over time, conv 0
    h_i = GELU(norm(conv_i(h_i-1)))                                          norm="layer": over channels, every conv

Group norm over time needs no pass over the channels. With mean mu and covariance C of the input windows of conv 0,
filter w gives mean w'mu and variance w'Cw, so that norm and convolution are again one convolution (float64):

    W' = gamma rsqrt(w'Cw + eps) W        b' = beta - W'mu                   a bias of the convolution cancels

Where no gradient is asked for, the blocks run tile by tile, frames last: what one block writes, the next finds in
cache. All blocks together are one window function of R samples, so live nothing but R - S samples is remembered.
The cumulative norm has a memory: it is a block of its own, whose frames of conv 0 offline all stand in memory at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechconv.checks import check_choice, check_count, check_counts, check_flag
from speechconv.combine import Sequential
from speechconv.conv import Conv1d, dense_product, windows_of
from speechconv.cumulative import CumulativeNorm
from speechconv.geometry import Geometry
from speechconv.layer import Layer
from speechconv.layout import WAVEFORM
from speechconv.moments import Moments, UtteranceStatistics, Window, moments
from speechconv.plan import Edge, NotStreamable, Plan
from speechconv.tiles import tiles

Norm = Literal["group", "layer"]
GroupNormPolicy = Literal["utterance", "frozen", "cumulative"]

TILE_BYTES = 200
"""Of one channel of the frames whose activations are made together: 50 frames in float32, 100 in bfloat16."""

KERNEL_SIZES = (10, 3, 3, 3, 3, 2, 2)
STRIDES = (5, 2, 2, 2, 2, 2, 2)

gelu_ = torch.ops.aten.gelu_
"""GELU in place, for want of F.gelu(inplace=True): in tiles, fresh memory for every step costs a tenth of the time."""

Filters = tuple[Tensor, Tensor]
"""Of conv 0 with its group norm folded in: (rows, channels, k) and (rows, channels); one row serves the whole batch."""


class FeatureEncoder(UtteranceStatistics):
    """Strided convolutional encoder of wav2vec 2.0, HuBERT and their kin.

    Args:
        channels: of every convolution, >= 1.
        kernel_sizes: of each convolution, samples or frames, >= 1.
        strides: of each, as many.
        norm: "group" (base and the original large): group norm over time behind the first convolution, one group per
            channel. "layer" (large-lv60, XLSR, HuBERT large): layer norm over channels behind each.
        bias: of the convolutions.
        group_norm: where the statistics of norm="group" come from. "utterance" as the checkpoints: each row's own
            valid frames (cannot stream); "frozen": given ones, by `Pipeline.calibrate`; "cumulative": of all frames so
            far.

    Shape:
        (batch, samples) -> (batch, geometry.num_frames(samples), channels); R 400, S 320 by default: 50 frames a second
        at 16 kHz

    Raises:
        ValueError: an argument outside its range; frozen statistics that were never given.

    Parameters are named as in transformers and torchaudio: conv_layers.0.conv.weight, conv_layers.0.layer_norm.weight.

    Source: Baevski et al. 2020, arXiv 2006.11477, section 2 and appendix B.

    Example:
        >>> encoder = FeatureEncoder(channels=32, norm="layer", bias=True)
        >>> encoder(torch.randn(1, 16000)).shape, encoder.geometry.receptive_field, encoder.geometry.stride
        (torch.Size([1, 49, 32]), 400, 320)
    """

    in_channels = WAVEFORM

    def __init__(
        self,
        *,
        channels: int = 512,
        kernel_sizes: Sequence[int] = KERNEL_SIZES,
        strides: Sequence[int] = STRIDES,
        norm: Norm = "group",
        bias: bool = False,
        group_norm: GroupNormPolicy = "utterance",
    ) -> None:
        super().__init__()
        check_choice("norm", norm, get_args(Norm))
        check_choice("group_norm", group_norm, get_args(GroupNormPolicy))
        check_flag("bias", bias)
        for name, values in (("kernel_sizes", kernel_sizes), ("strides", strides)):
            check_counts(name, values, "one for each convolution")
        if len(kernel_sizes) != len(strides):
            raise ValueError(
                f"kernel_sizes (={tuple(kernel_sizes)}) and strides (={tuple(strides)}) must be equally many, one for "
                "each convolution."
            )
        self.channels = self.out_channels = check_count("channels", channels)
        self.kernel_sizes, self.strides = tuple(kernel_sizes), tuple(strides)
        self.norm: Norm = norm
        self.group_norm: GroupNormPolicy = group_norm
        self.window = Window(self.kernel_sizes[0], self.strides[0])
        widths = [1] + [channels] * (len(strides) - 1)
        self.conv_layers = nn.ModuleList(
            Block(width, channels, k, s, bias, self._norm_of(i))
            for i, (width, k, s) in enumerate(zip(widths, kernel_sizes, strides, strict=True))
        )
        self.geometry = chain_geometry(self.blocks)
        if self.policy == "frozen":
            self._hold(torch.full((channels,), torch.nan), torch.full((channels,), torch.nan))

    def _norm_of(self, index: int) -> nn.Module | None:
        if self.norm == "layer":
            return nn.LayerNorm(self.channels)
        if index > 0:
            return None
        return (
            CumulativeNorm(self.channels)
            if self.group_norm == "cumulative"
            else nn.GroupNorm(self.channels, self.channels)
        )

    @property
    def bias(self) -> Tensor | None:
        """Of the first convolution; None where the convolutions have none."""
        return self._first.conv.bias

    @property
    def blocks(self) -> list[Block]:
        """The convolutions with their norms, in order."""
        return list(self.conv_layers)  # pyright: ignore[reportReturnType] - a ModuleList says no more than Module

    @property
    def _first(self) -> Block:
        return self.blocks[0]

    @property
    def policy(self) -> GroupNormPolicy | None:
        return self.group_norm if self.norm == "group" else None

    def freeze(self, moments: Moments) -> None:
        weight = self._first.conv.weight.detach()
        mean, variance = filtered_moments(weight, moments)
        self.group_norm = "frozen"
        self._hold(mean[0], variance[0])

    def valid(self, x: Tensor) -> Tensor:
        if self.policy != "frozen":
            return run_blocks(self.blocks, self.geometry, x[..., None])
        mean, variance = self.frozen
        return run_blocks(
            self.blocks, self.geometry, x, self._first.folded(mean.double()[None], variance.double()[None])
        )

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        if self.policy == "cumulative":
            return self._cumulative_chain().offline(x, lengths)
        if self.policy == "utterance":
            return self._offline_by_utterance(x, lengths)
        return super().offline(x, lengths)

    def _offline_by_utterance(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        frames = self.geometry.num_frames(x.shape[1])
        mean, variance = filtered_moments(self._first.conv.weight, moments(x, self.window, lengths))
        filters = self._first.folded(mean, variance)
        samples = x if frames else x.new_zeros(len(x), self.geometry.receptive_field)
        return run_blocks(self.blocks, self.geometry, samples, filters)[:, :frames]

    def _cumulative_chain(self) -> Sequential:
        """The first convolution, its norm with a memory, and the other blocks as one window."""
        first, *others = self.blocks
        rest = [_Blocks(others)] if others else []
        return Sequential(_FromWaveform(first.conv), first.layer_norm or nn.Identity(), nn.GELU(), *rest)

    def plan(self, edge: Edge, path: str = "") -> Plan:
        if self.policy == "utterance":
            raise NotStreamable(
                path,
                "FeatureEncoder's group norm takes its statistics from the whole utterance.",
                [
                    "group_norm='frozen' with calibrate(audio), and save() for the command line",
                    "group_norm='cumulative'",
                    "a checkpoint with norm='layer' (large-lv60, XLSR, HuBERT large)",
                ],
            )
        if self.policy == "frozen":
            _ = self.frozen  # asks for them now, not in the first step
        return self._cumulative_chain().plan(edge, path) if self.policy == "cumulative" else super().plan(edge, path)

    def extra_repr(self) -> str:
        return (
            f"channels={self.channels}, kernel_sizes={self.kernel_sizes}, strides={self.strides}, norm={self.norm!r}, "
            f"bias={self.bias is not None}, group_norm={self.group_norm!r}"
        )


class Block(nn.Module):
    """Convolution, norm, GELU."""

    def __init__(
        self, in_channels: int, channels: int, kernel_size: int, stride: int, bias: bool, layer_norm: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv = Conv1d(in_channels, channels, kernel_size, stride=stride, bias=bias)
        nn.init.kaiming_normal_(self.conv.weight)
        self.layer_norm = layer_norm

    def forward(self, x: Tensor, *, tiled: bool) -> Tensor:
        """(batch, n, in_channels) -> (batch, frames, channels); `tiled`: without a graph, for few frames."""
        conv, norm = self.conv, self.layer_norm
        if not tiled:
            y = conv.valid(x)
            return F.gelu(y if norm is None else norm(y))
        y = dense_product(windows_of(x, conv.kernel_size, conv.stride), conv.weight, conv.bias)
        return gelu_(y if norm is None else norm(y))

    def folded(self, mean: Tensor, variance: Tensor) -> Filters:
        """Convolution and norm as one convolution, by the (rows, channels) statistics of W * x in float64."""
        norm: Any = self.layer_norm
        scale = norm.weight.double() * torch.rsqrt(variance + norm.eps)
        weight = self.conv.weight[:, 0].double() * scale[..., None]
        bias = norm.bias.double() - mean * scale
        return weight.to(self.conv.weight.dtype), bias.to(self.conv.weight.dtype)


def chain_geometry(blocks: Sequence[Block]) -> Geometry:
    return reduce(Geometry.then, (block.conv.geometry for block in blocks), Geometry())


def filtered_moments(weight: Tensor, of_windows: Moments) -> tuple[Tensor, Tensor]:
    """(rows, channels) mean w'mu and variance w'Cw of what (channels, 1, k) filters make of the windows; float64."""
    w = weight[:, 0].double()
    return of_windows.mean @ w.T, ((w @ of_windows.covariance) * w).sum(-1)


def run_blocks(blocks: Sequence[Block], geometry: Geometry, x: Tensor, filters: Filters | None = None) -> Tensor:
    """All blocks on (batch, n, channels), or on a (batch, n) waveform with the `filters` of a folded first block;
    `geometry` is that of all together."""
    parameters = (p for block in blocks for p in block.parameters())
    if torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in parameters)):
        return _run(blocks, x, filters, tiled=False)
    frames = geometry.num_frames(x.shape[1])
    out = x.new_empty(len(x), frames, len(blocks[-1].conv.weight))
    for rows, span, samples in tiles(geometry, len(x), frames, max(1, TILE_BYTES // x.element_size())):
        y = _run(blocks, x[rows, samples], _rows(filters, rows), tiled=True)
        out = out.to(y.dtype)  # under autocast
        out[rows, span] = y
    return out


def _run(blocks: Sequence[Block], x: Tensor, filters: Filters | None, *, tiled: bool) -> Tensor:
    rest = iter(blocks)
    if filters:
        conv = next(rest).conv
        weight, bias = filters
        windows = x.unfold(1, conv.kernel_size, conv.stride)
        x = torch.baddbmm(bias[:, None], windows, weight.mT.expand(len(x), -1, -1))
        x = gelu_(x) if tiled else F.gelu(x)
    for block in rest:
        x = block(x, tiled=tiled)
    return x


def _rows(filters: Filters | None, rows: slice) -> Filters | None:
    if filters is None or len(filters[0]) == 1:
        return filters
    return filters[0][rows], filters[1][rows]


class _FromWaveform(Layer):
    """A convolution of one input channel on a waveform."""

    in_channels = WAVEFORM

    def __init__(self, conv: Conv1d) -> None:
        super().__init__()
        self.conv, self.geometry, self.out_channels = conv, conv.geometry, conv.out_channels

    def valid(self, x: Tensor) -> Tensor:
        return self.conv.valid(x[..., None])


class _Blocks(Layer):
    """Blocks behind the first as one window function."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.blocks = blocks
        self.geometry = chain_geometry(blocks)

    def valid(self, x: Tensor) -> Tensor:
        return run_blocks(self.blocks, self.geometry, x)
