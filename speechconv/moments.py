"""Mean and covariance of the k-sample windows of a waveform, and the layers that take them.

Merged block by block in float64 (Chan, Golub and LeVeque 1983), so that neither the length nor an offset costs digits:

    n = n_a + n_b        d = mean_b - mean_a        mean = mean_a + d n_b / n
    scatter = scatter_a + scatter_b + d d' n_a n_b / n                            covariance = scatter / n
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from speechconv.layer import Layer
from speechconv.layout import keep

BLOCK = 1 << 16
"""Windows whose moments are taken at a time."""


@dataclass(frozen=True)
class Window:
    """Which windows of a waveform a statistic is made of: `size` samples, every `stride`."""

    size: int = 1
    stride: int = 1

    def num_windows(self, samples: Tensor) -> Tensor:
        """Whole windows in that many samples."""
        return ((samples - self.size) // self.stride + 1).clip(min=0)


@dataclass(frozen=True)
class Moments:
    """Of the windows of each row, in float64.

    Attributes:
        count: (batch,) windows.
        mean: (batch, k).
        scatter: (batch, k, k) sum of (w - mean) (w - mean)'.
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor

    @property
    def covariance(self) -> Tensor:
        """(batch, k, k), divided by the count; 0 where there is no window."""
        return self.scatter / self.count.clip(min=1)[:, None, None]

    def merge(self, other: Moments) -> Moments:
        """Of both sets of windows together."""
        count = self.count + other.count
        share = (other.count / count.clip(min=1))[:, None]
        step = other.mean - self.mean
        between = step[:, :, None] * step[:, None] * (self.count[:, None] * share)[..., None]
        return Moments(count, self.mean + step * share, self.scatter + other.scatter + between)


def no_moments(window: Window) -> Moments:
    """Of no windows at all, one row."""
    zeros = torch.zeros(1, window.size, window.size, dtype=torch.float64)
    return Moments(zeros[:, 0, 0], zeros[:, 0], zeros)


def moments(x: Tensor, window: Window, lengths: Tensor | None = None) -> Moments:
    """Moments of each row's windows.

    Args:
        x: (batch, samples), or (batch, frames, channels) whose windows are the frames themselves.
        window: size and stride.
        lengths: (batch,) samples of each row; None: all.
    """
    samples = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
    counts = samples if x.ndim == 3 else window.num_windows(samples)
    views = _windows(x, window)
    masked = lengths is not None or x.shape[1] < (1 if x.ndim == 3 else window.size)
    blocks = (
        _block_moments(views[:, first : first + BLOCK].double(), counts - first, masked)
        for first in range(0, views.shape[1], BLOCK)
    )
    total = next(blocks)
    for block in blocks:
        total = total.merge(block)
    return total


def _windows(x: Tensor, window: Window) -> Tensor:
    """(batch, n, size), n >= 1."""
    if x.ndim == 3:
        return x if x.shape[1] else x.new_zeros(len(x), 1, x.shape[2])
    return x.unfold(1, window.size, window.stride) if x.shape[1] >= window.size else x.new_zeros(len(x), 1, window.size)


def _block_moments(windows: Tensor, counts: Tensor, masked: bool) -> Moments:
    """Of the first `counts` windows of each row: (batch, n, k)."""
    counts = counts.clip(0, windows.shape[1])
    real = torch.arange(windows.shape[1], device=windows.device) < counts[:, None]
    windows = keep(windows, real) if masked else windows
    mean = windows.sum(1) / counts.clip(min=1)[:, None]
    centred = windows - mean[:, None]
    centred = keep(centred, real) if masked else centred
    return Moments(counts.double(), mean, centred.mT @ centred)


class UtteranceStatistics(Layer):
    """A layer that takes moments of its input.

    Attributes:
        window: of which windows of a waveform; of frames, `size` is the number of channels.
    """

    window: Window
    typed = False

    @property
    def policy(self) -> str | None:
        """ "utterance": of each input, the whole of it; "frozen": given ones; anything else: it needs none."""
        raise NotImplementedError(f"{type(self).__name__} must define policy.")

    def freeze(self, moments: Moments) -> None:
        """Use these from now on, whatever comes in; one row, kept in float64 until the layer is cast."""
        raise NotImplementedError(f"{type(self).__name__} must define freeze(moments).")

    def _hold(self, mean: Tensor, variance: Tensor) -> None:
        """Frozen statistics, saved with the weights; NaN: not given yet."""
        self.register_buffer("frozen_mean", mean)
        self.register_buffer("frozen_var", variance)

    @property
    def frozen(self) -> tuple[Tensor, Tensor]:
        """Mean and variance as they were frozen.

        Raises:
            ValueError: they were never given.
        """
        mean, variance = self.get_buffer("frozen_mean"), self.get_buffer("frozen_var")
        if not variance.is_meta and bool(variance.isnan().any()):
            raise ValueError(
                f"{type(self).__name__}'s frozen statistics were never given; give it some audio: "
                "pipeline.calibrate(audio)."
            )
        return mean, variance

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> UtteranceStatistics:
        """torch's one door for `.to`, `.bfloat16`, `.cuda`: half types are too coarse for a mean, so float32 stays."""
        held = {name: buffer for name, buffer in self.named_buffers(recurse=False) if name.startswith("frozen_")}
        super()._apply(fn, recurse)
        for name, before in held.items():
            after = self.get_buffer(name)
            if torch.finfo(after.dtype).bits < 32:
                setattr(self, name, before.to(after.device, torch.float32))
        return self
