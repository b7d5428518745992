"""Statistics of a whole utterance in bounded memory, or frozen for live use: passes over the same audio.

`freeze_on` streams all that stands before a layer, hands it the moments of what comes out, and goes on to the next such
layer; then the whole streams.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy.typing as npt
import torch
from torch import Tensor, nn

from speechconv.combine import Sequential, named_parts
from speechconv.inlet import as_samples
from speechconv.layer import Layer, placement
from speechconv.layout import WAVEFORM
from speechconv.moments import Moments, UtteranceStatistics, Window, moments, no_moments
from speechconv.session import Session

Chunks = Iterable[Tensor | npt.NDArray]
Net = TypeVar("Net", bound=Layer)


class _Collector:
    """Moments of a waveform, or of frames, that come in chunks."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.total = no_moments(window)
        self._waiting = torch.zeros(0)

    def push(self, samples: Tensor) -> None:
        if samples.ndim == 2:
            self._add(samples, len(samples))
            return
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


@torch.inference_mode(False)
@torch.no_grad()
def freeze_on(
    net: Layer,
    layers: Iterable[UtteranceStatistics],
    read: Sequence[Callable[[], Chunks]],
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Freeze each of `layers` on the same audio, in their order, each behind the ones before it.

    Args:
        net: takes a waveform and holds `layers`.
        layers: in the order of the signal.
        read: opens each waveform from its beginning; called once per layer.
        dtype: of the statistics, only where `net` has no parameter to tell it.
    """
    dtype, device = placement(net) or (dtype or torch.get_default_dtype(), torch.device("cpu"))
    for layer in layers:
        upstream = list(_before(net, layer))
        total = no_moments(layer.window)
        for opened in read:
            total = total.merge(_collected(layer.window, upstream, opened(), dtype))
        layer.freeze(total)
        layer.to(device, dtype)


def _collected(window: Window, upstream: list[nn.Module], chunks: Chunks, dtype: torch.dtype) -> Moments:
    """Moments of what `upstream` makes of the chunks, in that type."""
    collector = _Collector(window)
    session = Session(Sequential(*upstream), dtype=dtype) if upstream else None
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
