"""The contract of every layer: one window function, evaluated offline or live with the same answer.

A layer is a `Geometry` and a function `valid` on windows. Offline, the input gets the layer's zero pads and goes
through `valid`. Live, the same `valid` sees the last R - S frames of history, then the new ones:

    forward:  y = valid(pad(x))
    step:     y = valid(cat(history, x))          history' = the last R - S frames

Live, every edge between two layers is late by a fixed number of frames,

    d_i = (p + R_i - P_l,i) / S_i - 1             p = (P_l - R) mod S zeros are fed before the first sample,

so shapes never depend on a stream's age. Which frames are real is counted, not carried: with `age` samples fed
(pre-roll included) and `remain` still to come, frame j = age / S_i + n - d_i is real iff 0 <= j < frames_i(age +
remain - p). A layer that pads zeroes the unreal ones, which is at once the padding at both ends, the flush, and a
batch of streams of any age.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechconv import pointwise
from speechconv.geometry import Geometry

WAVEFORM = 0
"""Channel count of a waveform: (batch, samples), no channel axis."""

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


class Clock(NamedTuple):
    """What a step knows of time: (batch,) int64 samples fed before it, samples still to come, and the pre-roll."""

    age: Tensor
    remain: Tensor
    preroll: int


@dataclass(frozen=True)
class Edge:
    """What flows between two layers of a stream.

    Attributes:
        channels: of each frame; WAVEFORM for raw samples.
        delay: frames on this edge before the first real one.
        geometry: of everything before this edge.
        raw: True at the raw input (or behind nothing but pointwise layers), where the caller may still lengthen the
            signal.
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
        raw = self.raw and geometry == Geometry()
        return Edge(channels, ahead // geometry.stride - 1, self.geometry.then(geometry), raw)

    def late(self, frames: int) -> Edge:
        """The same frames, `frames` later."""
        return replace(self, delay=self.delay + frames, raw=False)

    def real(self, clock: Clock, count: int) -> tuple[Tensor, Tensor]:
        """(batch,) first real one of the `count` frames of a step, and the one behind the last; equal where none is."""
        start = clock.age // self.geometry.stride - self.delay
        total = self.geometry.num_frames(clock.age + clock.remain - clock.preroll)
        first = (-start).clip(0, count)
        return first, torch.maximum((total - start).clip(0, count), first)


class Memory(NamedTuple):
    """One tensor of a layer's streaming state: its name and its shape behind the batch axis."""

    name: str
    shape: tuple[int, ...]


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
        own = tuple(Memory(join_path(self.path, m.name), m.shape) for m in self.memories)
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

    def step(self, x: Tensor, state: State, clock: Clock) -> tuple[Tensor, State]:
        """One step of the layer, pure: new frames and new state."""
        if isinstance(self.layer, Layer):
            return self.layer.step(x, state, self, clock)
        pointwise.check_steppable(self.layer)
        return self.layer(x), ()


class Layer(nn.Module):
    """Base of every layer. A subclass sets `geometry` and the channels, and defines `valid`; the rest follows.

    Attributes:
        geometry: receptive field, stride and zero pads.
        in_channels: channels it takes; WAVEFORM (0) for (batch, samples); None where any number will do.
        out_channels: channels it gives; None for as many as came in.
        tile: frames that are best evaluated together where no gradient is asked for; None: all. See `tiles`.

    Example:
        >>> class Difference(Layer):
        ...     geometry = Geometry(receptive_field=2, pad_left=1)
        ...
        ...     def valid(self, x):
        ...         return x[:, 1:] - x[:, :-1]
        >>> Difference()(torch.tensor([[[1.0], [4.0], [9.0]]])).flatten()
        tensor([1., 3., 5.])
    """

    geometry: Geometry = Geometry()
    in_channels: int | None = None
    out_channels: int | None = None
    tile: int | None = None

    def valid(self, x: Tensor) -> Tensor:
        """The layer without its pads.

        Shape: (batch, n, in_channels) -> (batch, (n - R) // S + 1, out_channels), n >= R; a waveform is (batch, n).
        """
        raise NotImplementedError(f"{type(self).__name__} must define valid(x).")

    def channels_after(self, channels: int) -> int:
        """Channels that go out when `channels` come in.

        Raises:
            ValueError: the layer takes another number.
        """
        if self.in_channels is not None and channels != self.in_channels:
            raise ValueError(f"{type(self).__name__} takes {_name(self.in_channels)}, got {_name(channels)}.")
        return channels if self.out_channels is None else self.out_channels

    @overload
    def forward(self, x: Tensor) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]: ...
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """The whole signal at once.

        Args:
            x: waveform (batch, samples) or frames (batch, frames, channels), floating.
            lengths: (batch,) int64 valid samples or frames of each row. What lies behind them may be anything, NaN
                included.

        Returns:
            (batch, frames, channels); with `lengths` also the (batch,) valid frames, and frames past them are 0.

        Raises:
            ValueError, TypeError: an input of another shape or type.
        """
        check_input(x, self.in_channels, type(self).__name__)
        if lengths is None:
            return self.offline(x, None)
        check_lengths(lengths, x)
        y = self.offline(zero_past(x, lengths), lengths)
        frames = self.geometry.num_frames(lengths)
        return zero_past(y, frames), frames

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """`forward` inside a composition: all input is finite, but frames past a row's length may hold any number."""
        frames = self.geometry.num_frames(x.shape[1])
        padded = self.padded(x, lengths)
        if not frames:  # one window of zeros, to give (batch, 0, channels) of the right type
            padded = _pad(padded, 0, self.geometry.receptive_field)
        return self.valid(padded)[:, :frames]

    def padded(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """`x` with the layer's pads on both sides of each row's own signal."""
        g = self.geometry
        if not (g.pad_left or g.pad_right):
            return x
        return _pad(x if lengths is None else zero_past(x, lengths), g.pad_left, g.pad_right)

    def plan(self, edge: Edge, path: str = "") -> Plan:
        """This layer at its place in a stream.

        Raises:
            NotStreamable: it cannot give the offline answer live.
        """
        if self.geometry.mirror and not edge.raw:
            raise NotStreamable(
                path,
                "reflect padding mirrors the raw input, so it must be the first stage and have that input for itself.",
                ["pad_mode='constant'", "center=False"],
            )
        g = self.geometry.on_mirrored()
        history = max(0, g.receptive_field - g.stride)
        memories = (Memory("history", axes(history, edge.channels)),) if history else ()
        return Plan(self, path, edge, edge.after(g, self.channels_after(edge.channels)), memories)

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        """The next frames of a stream, pure.

        Args:
            x: new input, a whole number of strides.
            state: what `plan` asked for; it is not changed.
            plan: this layer's place.
            clock: which frames are real.
        """
        g = self.geometry
        if g.pad_left or g.pad_right:
            x = zero_unreal(x, plan.edge, clock)
        if not state:
            gap = g.stride - g.receptive_field
            return self.valid(x[:, gap:] if gap else x), ()
        joined = torch.cat((state[0], x), 1)
        return self.valid(joined), (joined[:, x.shape[1] :],)


# A composition holds layers and torch's pointwise modules side by side; these four ask either kind the same questions.


def check_layer(layer: nn.Module) -> None:
    """TypeError or ValueError unless `layer` can stand in a composition."""
    if not isinstance(layer, Layer):
        pointwise.check_pointwise(layer)


def geometry_of(layer: nn.Module) -> Geometry:
    return layer.geometry if isinstance(layer, Layer) else Geometry()


def channels_after(layer: nn.Module, channels: int) -> int:
    return layer.channels_after(channels) if isinstance(layer, Layer) else pointwise.channels_after(layer, channels)


def run_offline(layer: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor:
    return layer.offline(x, lengths) if isinstance(layer, Layer) else layer(x)


def plan_layer(layer: nn.Module, edge: Edge, path: str) -> Plan:
    if isinstance(layer, Layer):
        return layer.plan(edge, path)
    return Plan(layer, path, edge, edge.after(Geometry(), channels_after(layer, edge.channels)))


def join_path(*names: str) -> str:
    return ".".join(name for name in names if name)


def axes(frames: int, channels: int) -> tuple[int, ...]:
    """Shape of `frames` frames behind the batch axis."""
    return (frames,) if channels == WAVEFORM else (frames, channels)


def zero_past(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` with everything past each row's length set to 0 (selected, not multiplied: NaN does not survive)."""
    return _keep(x, torch.arange(x.shape[1], device=x.device) < lengths[:, None])


def zero_unreal(x: Tensor, edge: Edge, clock: Clock) -> Tensor:
    """`x` with frames before the first and after the last real one set to 0."""
    first, end = edge.real(clock, x.shape[1])
    index = torch.arange(x.shape[1], device=x.device)
    return _keep(x, (index >= first[:, None]) & (index < end[:, None]))


def _pad(x: Tensor, left: int, right: int) -> Tensor:
    return F.pad(x, (0, 0) * (x.ndim - 2) + (left, right))


def _keep(x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask if x.ndim == 2 else mask[..., None], x, torch.zeros((), dtype=x.dtype, device=x.device))


def _name(channels: int) -> str:
    return "a waveform" if channels == WAVEFORM else f"{channels} channels"


def check_input(x: Tensor, channels: int | None, name: str) -> None:
    """ValueError or TypeError unless `x` has the layout that a layer of `channels` input channels takes."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} expected a torch tensor, got {type(x).__name__}; convert it by torch.as_tensor.")
    if not (x.is_floating_point() or x.is_complex()):
        raise TypeError(
            f"{name} expected a floating tensor, got {x.dtype}; scale integers first (int16: x.float() / 32768)."
        )
    shape = tuple(x.shape)
    if channels == WAVEFORM and x.ndim != 2:
        hint = "squeeze the channel axis" if x.ndim == 3 else "add a batch axis: wav[None]"
        raise ValueError(f"{name} expected a waveform of shape (batch, samples), got {shape}; {hint}.")
    if channels != WAVEFORM and x.ndim != 3:
        raise ValueError(f"{name} expected frames of shape (batch, frames, channels), got {shape}.")
    if channels and x.shape[2] != channels:
        hint = "; channels are the last axis here, so transpose" if x.shape[1] == channels else ""
        raise ValueError(f"{name} expected (batch, frames, {channels}), got {shape}{hint}.")


def check_lengths(lengths: Tensor, x: Tensor) -> None:
    """ValueError or TypeError unless `lengths` is an int64 (batch,) tensor of values 0 ... x.shape[1]."""
    if not isinstance(lengths, Tensor) or lengths.dtype != torch.int64:
        found = lengths.dtype if isinstance(lengths, Tensor) else type(lengths).__name__
        raise TypeError(f"lengths must be an int64 tensor of shape (batch,), got {found}.")
    if lengths.shape != x.shape[:1]:
        raise ValueError(f"lengths must have shape ({x.shape[0]},), got {tuple(lengths.shape)}.")
    if lengths.numel() and (int(lengths.min()) < 0 or int(lengths.max()) > x.shape[1]):
        raise ValueError(f"lengths (={lengths.tolist()}) must lie in 0 ... {x.shape[1]}, the input's length.")
