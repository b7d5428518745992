"""Where a layer stands in a stream: fixed numbers, no tensors.

Every edge between two layers is late by a fixed number of frames,

    d_i = (p + R_i - P_l,i) / S_i - 1             p = (P_l - R) mod S zeros are fed before the first sample,

so shapes never depend on a stream's age. Which frames are real is counted, not carried: with `age` samples fed
(pre-roll included) and `remain` still to come, frame n of a step is frame j = age / S_i + n - d_i of the signal, and
real iff 0 <= j < frames_i(age + remain - p).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechconv.geometry import Geometry
from speechconv.layout import keep

State = tuple[Tensor, ...]


class NotStreamable(TypeError):
    """A layer cannot give the offline answer live; raised when the stream is planned, never while it runs.

    Attributes:
        path: where the layer stands, e.g. "stages.0".
        reason: why it cannot.
        alternatives: what to use instead.
    """

    def __init__(self, path: str, reason: str, alternatives: Sequence[str]) -> None:
        self.path, self.reason, self.alternatives = path, reason, tuple(alternatives)
        super().__init__(f"{path or 'this layer'} cannot stream: {reason} Instead: {'; '.join(alternatives)}.")


@dataclass(frozen=True)
class Clock:
    """What a step knows of time: (batch,) int64 samples fed before it, samples still to come, and the pre-roll.

    `known` remembers which frames are real, for the many edges of one step that share the answer.
    """

    age: Tensor
    remain: Tensor
    preroll: int
    known: dict[tuple[int, ...], RealFrames] = field(default_factory=dict)


class RealFrames(NamedTuple):
    """(batch,) first real frame of a step and the one behind the last, equal where none is; (batch, count) mask."""

    first: Tensor
    end: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Edge:
    """What flows between two layers of a stream.

    Attributes:
        channels: of each frame; WAVEFORM for raw samples.
        delay: frames on this edge before the first real one.
        geometry: of everything before this edge.
        raw: True at the raw input itself, where unreal samples are 0 and the caller may mirror the signal's ends.
    """

    channels: int
    delay: int
    geometry: Geometry = Geometry()
    raw: bool = False

    def after(self, geometry: Geometry, channels: int) -> Edge:
        """The edge behind a layer."""
        ahead = self.delay + geometry.receptive_field - geometry.pad_left
        if ahead % geometry.stride:
            raise ValueError(f"{ahead} is no multiple of the stride (={geometry.stride}): the pre-roll is off.")
        return Edge(channels, ahead // geometry.stride - 1, self.geometry.then(geometry))

    def shared(self) -> Edge:
        """The same frames where others read them too, so that the caller may not mirror them."""
        return replace(self, raw=False)

    def late(self, frames: int) -> Edge:
        """The same frames, `frames` later."""
        return replace(self, delay=self.delay + frames, raw=False)

    def real(self, clock: Clock, count: int) -> RealFrames:
        """Which of the `count` frames of a step are real."""
        key = (*self.geometry.law, self.delay, count)
        if key not in clock.known:
            clock.known[key] = self._real(clock, count)
        return clock.known[key]

    def start(self, clock: Clock) -> Tensor:
        """(batch,) number of a step's first frame, counted from the first real one; below 0 before it."""
        return clock.age // self.geometry.stride - self.delay

    def total(self, clock: Clock) -> Tensor:
        """(batch,) real frames of the whole signal; out of reach while its end is not known."""
        return self.geometry.num_frames(clock.age + clock.remain - clock.preroll)

    def _real(self, clock: Clock, count: int) -> RealFrames:
        start, total = self.start(clock), self.total(clock)
        first = (-start).clip(0, count)
        end = torch.maximum((total - start).clip(0, count), first)
        index = torch.arange(count, device=clock.age.device)
        return RealFrames(first, end, (index >= first[:, None]) & (index < end[:, None]))

    def zero_unreal(self, x: Tensor, clock: Clock, active: Tensor | None = None) -> Tensor:
        """`x` with 0 before the first and after the last real frame, and in rows that are not active."""
        real = self.real(clock, x.shape[1]).mask
        return keep(x, real if active is None else real & active[:, None])


class Memory(NamedTuple):
    """One tensor of a layer's streaming state: its name, its shape behind the batch axis, and its type (None: the
    stream's)."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype | None = None


@dataclass(frozen=True)
class Plan:
    """A layer at its place in a stream: fixed numbers, no tensors. `Layer.plan` makes it, `Streamer` runs it.

    Attributes:
        layer: the module.
        path: its place, as in `named_modules`.
        edge, out: what comes in and what goes out.
        memories: its own state.
        parts: plans of its children, in order.
    """

    layer: nn.Module
    path: str
    edge: Edge
    out: Edge
    memories: tuple[Memory, ...] = ()
    parts: tuple[Plan, ...] = ()

    @property
    def state_spec(self) -> tuple[Memory, ...]:
        """Own memories, then those of the parts, under their full names."""
        own = tuple(m._replace(name=join_path(self.path, m.name)) for m in self.memories)
        return own + tuple(m for part in self.parts for m in part.state_spec)

    def split(self, state: State) -> tuple[State, list[State]]:
        """`state` as one's own tensors and a tuple for each part."""
        own, rest = state[: len(self.memories)], state[len(self.memories) :]
        shares = []
        for part in self.parts:
            size = len(part.state_spec)
            shares.append(rest[:size])
            rest = rest[size:]
        return own, shares


def join_path(*names: str) -> str:
    """Module names as one path: ("stages", "", "0") is "stages.0"."""
    return ".".join(name for name in names if name)
