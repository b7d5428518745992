"""Statistics over a whole utterance: in one piece offline, in two passes over a file, frozen for live use.

Mean and covariance of the k-sample windows of a signal, merged block by block in float64 (Chan, Golub and LeVeque
1983), so that neither the length nor an offset costs digits:

    n = n_a + n_b        d = mean_b - mean_a        mean = mean_a + d n_b / n
    scatter = scatter_a + scatter_b + d d' n_a n_b / n                            covariance = scatter / n

A layer that needs them offers `window` and `freeze`. Live, or in bounded memory, its statistics come from a first
pass: `freeze_on` streams all that stands before the layer, hands over the moments, and goes on to the next such layer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy.typing as npt
import torch
from torch import Tensor, nn

from speechconv.combine import Sequential, named_parts
from speechconv.inlet import as_samples
from speechconv.layer import Layer, placement
from speechconv.layout import WAVEFORM, keep
from speechconv.session import Session

BLOCK = 1 << 16
"""Windows whose moments are taken at a time."""

Chunks = Iterable[Tensor | npt.NDArray]
Net = TypeVar("Net", bound=Layer)


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
        x: (batch, samples).
        window: size and stride.
        lengths: (batch,) samples of each row; None: all.
    """
    samples = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
    counts = window.num_windows(samples)
    views = (
        x.unfold(1, window.size, window.stride) if x.shape[1] >= window.size else x.new_zeros(len(x), 1, window.size)
    )
    blocks = (
        _block_moments(views[:, first : first + BLOCK].double(), counts - first, masked=lengths is not None)
        for first in range(0, views.shape[1], BLOCK)
    )
    total = next(blocks)
    for block in blocks:
        total = total.merge(block)
    return total


def _block_moments(windows: Tensor, counts: Tensor, masked: bool) -> Moments:
    """Of the first `counts` windows of each row: (batch, n, k)."""
    counts = counts.clip(0, windows.shape[1])
    real = torch.arange(windows.shape[1], device=windows.device) < counts[:, None]
    masked = masked or not bool(counts.all())
    windows = keep(windows, real) if masked else windows
    mean = windows.sum(1) / counts.clip(min=1)[:, None]
    centred = windows - mean[:, None]
    centred = keep(centred, real) if masked else centred
    return Moments(counts.double(), mean, centred.mT @ centred)


class UtteranceStatistics(Layer):
    """A layer that takes moments of its input waveform.

    Attributes:
        window: of which windows.
    """

    window: Window

    @property
    def policy(self) -> str | None:
        """ "utterance": of each input, the whole of it; "frozen": given ones; anything else: it needs none."""
        raise NotImplementedError

    def freeze(self, moments: Moments) -> None:
        """Use these from now on, whatever comes in; one row, kept in float64 until the layer is cast."""
        raise NotImplementedError


class _Collector:
    """Moments of a waveform that comes in chunks."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.total = no_moments(window)
        self._waiting = torch.zeros(0)

    def push(self, samples: Tensor) -> None:
        joined = torch.cat((self._waiting.to(samples), samples))
        size, stride = self.window.size, self.window.stride
        whole = max(0, (len(joined) - max(size, stride)) // stride + 1)
        self._add(joined[: (whole - 1) * stride + size], whole)
        self._waiting = joined[whole * stride :]

    def close(self) -> None:
        self._add(self._waiting, int(self.window.num_windows(torch.tensor(len(self._waiting)))))

    def _add(self, samples: Tensor, count: int) -> None:
        if count:
            self.total = self.total.merge(moments(samples[None], self.window))


def layers_of_policy(net: nn.Module, *policies: str) -> list[UtteranceStatistics]:
    """The layers of `net` whose statistics come as one of `policies` says, in the order of the signal."""
    found = (layer for layer in net.modules() if isinstance(layer, UtteranceStatistics))
    return [layer for layer in found if layer.policy in policies]


@torch.no_grad()
def freeze_on(net: Layer, layers: Iterable[UtteranceStatistics], read: Sequence[Callable[[], Chunks]]) -> None:
    """Freeze each of `layers` on the same audio, in their order, each behind the ones before it.

    Args:
        net: takes a waveform and holds `layers`.
        layers: in the order of the signal.
        read: opens each waveform from its beginning; called once per layer.
    """
    dtype, device = placement(net) or (torch.get_default_dtype(), torch.device("cpu"))
    for layer in layers:
        upstream = list(_before(net, layer))
        total = no_moments(layer.window)
        for opened in read:
            total = total.merge(_collected(layer.window, upstream, opened()))
        layer.freeze(total)
        layer.to(device, dtype)


def _collected(window: Window, upstream: list[nn.Module], chunks: Chunks) -> Moments:
    """Moments of what `upstream` makes of the chunks."""
    collector = _Collector(window)
    session = Session(Sequential(*upstream)) if upstream else None
    for chunk in chunks:
        collector.push(as_samples(chunk, WAVEFORM) if session is None else session.push(chunk))
    if session is not None:
        collector.push(session.close())
    collector.close()
    return collector.total


def _before(net: nn.Module, target: nn.Module) -> Iterator[nn.Module]:
    """Layers that the signal passes on its way to `target`, which `net` holds."""
    if net is target:
        return
    for _, part in named_parts(net):
        if any(inner is target for inner in part.modules()):
            yield from _before(part, target)
            return
        if isinstance(net, Sequential):
            yield part


def frozen_twin(net: Net) -> Net:
    """A copy with the same weights (shared, not copied), whose statistics can be frozen without touching `net`."""
    return copy.deepcopy(net, {id(p): p for p in net.parameters()})
