"""The contract of every layer: one window function, evaluated offline or live with the same answer.

A layer is a `Geometry` and a function `valid` on windows. Offline, the input gets the layer's zero pads and goes
through `valid`. Live, the same `valid` sees the last R - S frames of history, then the new ones:

    forward:  y = valid(pad(x))
    step:     y = valid(cat(history, x))          history' = the last R - S frames

Live, a layer that pads zeroes the frames that are not real, by the counters of `plan`: that is at once the padding at
both ends, the flush, and a batch of streams of any age.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, overload

import torch
from torch import Tensor, nn

from speechconv import pointwise
from speechconv.geometry import Geometry
from speechconv.layout import axes, check_input, check_lengths, name_channels, pad, zero_past
from speechconv.mirror import mirrored
from speechconv.plan import Clock, Edge, Memory, NotStreamable, Plan, State


class Layer(nn.Module):
    """Base of every layer. A subclass sets `geometry` and the channels, and defines `valid`; the rest follows.

    Attributes:
        geometry: receptive field, stride and zero pads.
        in_channels: channels it takes; WAVEFORM (0) for (batch, samples); None where any number will do.
        out_channels: channels it gives; None for as many as came in.
        tile: frames that are best evaluated together where no gradient is asked for; None: all. See `tiles`.
        resizes: gives another number of frames than its geometry says (it cannot stream, nor stand in a branch).
        typed: its buffers have the type of its input; False where they keep one of their own.
        unmirrored: arguments that a layer whose pads mirror the signal could be made with instead.

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
    resizes: bool = False
    typed: bool = True
    unmirrored: tuple[str, ...] = ("a layer without mirrored pads",)

    def valid(self, x: Tensor) -> Tensor:
        """The layer without its pads.

        Shape: (batch, n, in_channels) -> (batch, (n - R) // S + 1, out_channels), n >= R; a waveform is (batch, n).
        """
        raise NotImplementedError(f"{type(self).__name__} must define valid(x).")

    def num_frames(self, num_samples: Any) -> Any:
        """Frames that `num_samples` give (an int, or an integer tensor); the geometry's but where `resizes` is set."""
        return self.geometry.num_frames(num_samples)

    def channels_after(self, channels: int) -> int:
        """Channels that go out when `channels` come in.

        Raises:
            ValueError: the layer takes another number.
        """
        if self.in_channels is not None and channels != self.in_channels:
            raise ValueError(
                f"{type(self).__name__} takes {name_channels(self.in_channels)}, got {name_channels(channels)}."
            )
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
        check_dtype(x, self)
        if lengths is None:
            return self.offline(x, None)
        check_lengths(lengths, x)
        y = self.offline(zero_past(x, lengths), lengths)
        frames = self.num_frames(lengths)
        return zero_past(y, frames), frames

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """`forward` inside a composition: all input is finite, but frames past a row's length may hold any number."""
        return self.on_padded(self.padded(x, lengths), self.geometry.num_frames(x.shape[1]))

    def on_padded(self, padded: Tensor, frames: int) -> Tensor:
        """The first `frames` frames of an input that has the layer's pads."""
        if not frames:  # one window of zeros, to give (batch, 0, channels) of the right type
            padded = pad(padded, 0, self.geometry.receptive_field)
        return self.valid(padded)[:, :frames]

    def padded(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """`x` with the layer's pads on both sides of each row's own signal."""
        g = self.geometry
        if g.mirror and x.shape[1]:
            x = mirrored(x, lengths, g.mirror)
            lengths = lengths if lengths is None else lengths + g.mirror.left + g.mirror.right
            g = g.on_mirrored()
        if not (g.pad_left or g.pad_right):
            return x
        return pad(x if lengths is None else zero_past(x, lengths), g.pad_left, g.pad_right)

    def plan(self, edge: Edge, path: str = "") -> Plan:
        """This layer at its place in a stream.

        Raises:
            NotStreamable: it cannot give the offline answer live.
        """
        if self.geometry.mirror and not edge.raw:
            raise NotStreamable(
                path,
                f"{self.geometry.mirror.kind} padding mirrors the raw input, so it must be the first stage and have "
                "that input for itself.",
                self.unmirrored,
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
        joined, state = self.joined(x, state, plan, clock)
        return self.valid(joined), state

    def joined(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        """What `valid` sees of a step, and the state after it; arguments as `step`."""
        g = self.geometry
        if (g.pad_right or (g.pad_left and plan.edge.delay)) and not plan.edge.raw:  # else none reaches a real frame
            x = plan.edge.zero_unreal(x, clock)
        if not state:
            gap = g.stride - g.receptive_field
            return x[:, gap:] if gap else x, ()
        joined = torch.cat((state[0], x), 1)
        return joined, (joined[:, x.shape[1] :],)


# A composition holds layers and torch's pointwise modules side by side; these ask either kind the same questions.


def check_layer(layer: nn.Module) -> None:
    """TypeError or ValueError unless `layer` can stand in a composition."""
    if not isinstance(layer, Layer):
        pointwise.check_pointwise(layer)


def geometry_of(layer: nn.Module) -> Geometry:
    return layer.geometry if isinstance(layer, Layer) else Geometry()


def num_frames_of(layer: nn.Module, num_samples: Any) -> Any:
    return layer.num_frames(num_samples) if isinstance(layer, Layer) else num_samples


def check_branch(layer: nn.Module) -> None:
    """As `check_layer`, and ValueError for one whose frames cannot be aligned with those of a skip or branch."""
    check_layer(layer)
    for part in layer.modules():
        if isinstance(part, Layer) and part.resizes:
            raise ValueError(
                f"{type(part).__name__} changes the length of its input, so it cannot stand in a branch; "
                "put it before the branches."
            )


def takes(layer: nn.Module) -> int | None:
    """Channels that `layer` insists on; None where any number will do."""
    return layer.in_channels if isinstance(layer, Layer) else pointwise.takes(layer)


def channels_after(layer: nn.Module, channels: int) -> int:
    return layer.channels_after(channels) if isinstance(layer, Layer) else pointwise.channels_after(layer, channels)


def run_offline(layer: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor:
    return layer.offline(x, lengths) if isinstance(layer, Layer) else layer(x)


def plan_layer(layer: nn.Module, edge: Edge, path: str) -> Plan:
    if isinstance(layer, Layer):
        return layer.plan(edge, path)
    return Plan(layer, path, edge, edge.after(Geometry(), channels_after(layer, edge.channels)))


def run_step(plan: Plan, x: Tensor, state: State, clock: Clock) -> tuple[Tensor, State]:
    if isinstance(plan.layer, Layer):
        return plan.layer.step(x, state, plan, clock)
    pointwise.check_steppable(plan.layer)
    return plan.layer(x), ()


def placement(layer: nn.Module) -> tuple[torch.dtype, torch.device] | None:
    """dtype and device of a layer's first floating parameter or typed buffer; None without one."""
    typed = (module for module in layer.modules() if getattr(module, "typed", True))
    tensors = chain(layer.parameters(), (buffer for module in typed for buffer in module.buffers(recurse=False)))
    return next(((tensor.dtype, tensor.device) for tensor in tensors if tensor.is_floating_point()), None)


def check_dtype(x: Tensor, layer: nn.Module) -> None:
    """TypeError unless `x` has the layer's own floating type."""
    own = placement(layer)
    if own and x.is_floating_point() and x.dtype != own[0]:
        raise TypeError(
            f"{type(layer).__name__} holds {own[0]}, got an input of {x.dtype}; convert one of them: "
            "x.float() or layer.double()."
        )
