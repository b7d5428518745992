"""Layers joined: one after another, around a skip, or side by side.

Live, branches of different delay are aligned at their *input*: branch b waits max(R - P_l) - (R_b - P_l,b) frames,
after which every branch emits frame t in the same step, whatever its stride.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from speechconv.gathered import gathered_runs, gathers, run_gathered
from speechconv.geometry import Geometry
from speechconv.layer import (
    Layer,
    channels_after,
    check_branch,
    check_layer,
    geometry_of,
    num_frames_of,
    plan_layer,
    run_offline,
    run_step,
    takes,
)
from speechconv.layout import WAVEFORM, axes
from speechconv.plan import Clock, Edge, Memory, Plan, State, join_path
from speechconv.tiles import run_tiles, tiled_runs

Join = Literal["sum", "cat", "product"]


class Sequential(Layer):
    """Layers in the order of the signal.

    Args:
        layers: speechconv layers, and torch's elementwise activations, Linear, LayerNorm, GLU and Dropout as they are.

    Shape:
        what the first layer takes -> what the last one gives

    Raises:
        TypeError: something that is not a layer.
        ValueError: a layer that does not fit the one before it.

    Example:
        >>> from speechconv import Conv1d
        >>> net = Sequential(Conv1d(1, 8, 10, stride=5), nn.LayerNorm(8), nn.GELU(), Conv1d(8, 8, 3, stride=2))
        >>> net(torch.zeros(1, 100, 1)).shape, net.geometry.receptive_field, net.geometry.stride
        (torch.Size([1, 9, 8]), 20, 10)
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self._chain({str(i): layer for i, layer in enumerate(layers)})

    def _chain(self, layers: dict[str, nn.Module]) -> None:
        """Register `layers` under their names and check that each fits the one before it."""
        geometry, channels = Geometry(), None
        for name, layer in layers.items():
            check_layer(layer)
            self.add_module(name, layer)
            try:
                geometry = geometry.then(geometry_of(layer))
                channels = _follow(layer, channels)
            except ValueError as error:
                raise ValueError(f"layer {name} ({type(layer).__name__}): {error}") from None
        self.geometry, self.out_channels = geometry, channels
        self.in_channels = _first_taken(layers.values())

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return (layer for _, layer in named_parts(self))

    def __getitem__(self, index: int) -> nn.Module:
        return list(self)[index]

    def num_frames(self, num_samples: Any) -> Any:
        for layer in self:
            num_samples = num_frames_of(layer, num_samples)
        return num_samples

    def channels_after(self, channels: int) -> int:
        for layer in self:
            channels = channels_after(layer, channels)
        return channels

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is not None and any(map(gathers, layers := list(self._inlined()))):
            for run in gathered_runs(layers):
                x, lengths = run_gathered(run, x, lengths)
            return x
        for layer, followers in tiled_runs(list(self)):
            x = run_tiles(layer, followers, x, lengths)
            lengths = lengths if lengths is None else num_frames_of(layer, lengths)
        return x

    def _inlined(self) -> Iterator[nn.Module]:
        """The layers, with those of chains within the chain in their place."""
        for layer in self:
            if isinstance(layer, Sequential) and type(layer).offline is Sequential.offline:
                yield from layer._inlined()
            else:
                yield layer

    def plan(self, edge: Edge, path: str = "") -> Plan:
        parts, out = [], edge
        for name, layer in named_parts(self):
            parts.append(plan_layer(layer, out, join_path(path, name)))
            out = parts[-1].out
        return Plan(self, path, edge, out, parts=tuple(parts))

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        _, shares = plan.split(state)
        after: State = ()
        for part, share in zip(plan.parts, shares, strict=True):
            x, share = run_step(part, x, share, clock)
            after += share
        return x, after


class Parallel(Layer):
    """Layers side by side on one input, joined frame by frame.

    Args:
        branches: two layers or more. Their strides may be reached in any way (an STFT beside a stack of strided
            convolutions), but all must share the total stride and pad_left + pad_right - receptive_field.
        join: "sum", "product" (equal channels), or "cat" along the channels.

    Shape:
        (batch, frames, channels) -> (batch, geometry.num_frames(frames), joined channels)

    A branch that mirrors its input (a reflect-padded STFT) works offline only.

    Raises:
        ValueError: branches that give different numbers of frames or cannot be joined.

    Example:
        >>> from speechconv import Conv1d
        >>> pair = Parallel(Conv1d(4, 3, 5, padding="same"), Conv1d(4, 2, 9, padding="causal"), join="cat")
        >>> pair(torch.zeros(1, 50, 4)).shape, pair.geometry.lookahead
        (torch.Size([1, 50, 5]), 2)
    """

    def __init__(self, *branches: nn.Module, join: Join = "sum") -> None:
        super().__init__()
        if len(branches) < 2:
            raise ValueError(f"Parallel needs at least two branches, got {len(branches)}.")
        if join not in ("sum", "cat", "product"):
            raise ValueError(f"join (={join!r}) must be 'sum', 'cat' or 'product'.")
        for name, branch in enumerate(branches):
            check_branch(branch)
            self.add_module(str(name), branch)
        self.join: Join = join
        self.geometry = Geometry.union(*map(geometry_of, branches))
        inputs = {c for c in map(takes, branches) if c is not None}
        if len(inputs) > 1:
            raise ValueError(f"branches must take the same input, got {sorted(inputs)} channels (0: a waveform).")
        self.in_channels = inputs.pop() if inputs else None
        if self.in_channels is not None:
            self.out_channels = self.channels_after(self.in_channels)

    def channels_after(self, channels: int) -> int:
        given = [channels_after(branch, channels) for _, branch in named_parts(self)]
        if self.join == "cat":
            if WAVEFORM in given:
                raise ValueError("join='cat' puts channels side by side, and a waveform has none; use 'sum'.")
            return sum(given)
        if len(set(given)) > 1:
            raise ValueError(f"join={self.join!r} needs branches of equal channels, got {given}.")
        return given[0]

    def _joined(self, outputs: list[Tensor]) -> Tensor:
        if self.join == "cat":
            return torch.cat(outputs, -1)
        total = outputs[0]
        for output in outputs[1:]:
            total = total + output if self.join == "sum" else total * output
        return total

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return self._joined([run_offline(branch, x, lengths) for _, branch in named_parts(self)])

    def plan(self, edge: Edge, path: str = "") -> Plan:
        parts = tuple(
            plan_layer(branch, edge.late(self._wait(branch)), join_path(path, name))
            for name, branch in named_parts(self)
        )
        memories = tuple(
            Memory(f"{name}.wait", axes(wait, edge.channels))
            for name, branch in named_parts(self)
            if (wait := self._wait(branch))
        )
        out = edge.after(self.geometry, self.channels_after(edge.channels))
        return Plan(self, path, edge, out, memories, parts)

    def _wait(self, branch: nn.Module) -> int:
        """Frames that `branch` waits for the one that needs the most future."""
        return self.geometry.lookahead - geometry_of(branch).lookahead

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        waits, shares = plan.split(state)
        queue = iter(waits)
        kept: State = ()
        after: State = ()
        outputs = []
        for part, share in zip(plan.parts, shares, strict=True):
            delayed = x
            if self._wait(part.layer):
                delayed, rest = delay(x, next(queue))
                kept += (rest,)
            output, share = run_step(part, delayed, share, clock)
            outputs.append(output)
            after += share
        return self._joined(outputs), kept + after


class Residual(Layer):
    """A skip around a body: y = x + scale * body(x).

    Args:
        body: a layer of stride 1 whose pads keep the number of frames, pad_left + pad_right = receptive_field - 1, and
            that gives as many channels as it takes.
        scale: factor of the body, e.g. 0.5 for the Conformer's half-step feed-forward.

    Shape:
        (batch, frames, channels) -> (batch, frames, channels)

    Raises:
        ValueError: a body that changes the number of frames or channels.

    Example:
        >>> from speechconv import Conv1d
        >>> Residual(Conv1d(4, 4, 3, padding="same"), scale=0.5)(torch.zeros(1, 7, 4)).shape
        torch.Size([1, 7, 4])
    """

    def __init__(self, body: nn.Module, *, scale: float = 1.0) -> None:
        super().__init__()
        check_branch(body)
        g = geometry_of(body)
        if g.stride != 1 or g.pad_left + g.pad_right != g.receptive_field - 1:
            raise ValueError(
                "a residual body must keep the number of frames: stride 1, pad_left + pad_right = receptive_field - 1; "
                f"got stride {g.stride}, receptive field {g.receptive_field}, pads ({g.pad_left}, {g.pad_right})."
            )
        self.body, self.scale, self.geometry = body, scale, g
        self.in_channels = takes(body)
        if self.in_channels is not None:
            self.out_channels = self.channels_after(self.in_channels)

    def channels_after(self, channels: int) -> int:
        given = channels_after(self.body, channels)
        if given != channels:
            raise ValueError(f"a residual body must keep the channels, got {channels} in and {given} out.")
        return channels

    def _joined(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y if self.scale == 1.0 else x + self.scale * y

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return self._joined(x, run_offline(self.body, x, lengths))

    def plan(self, edge: Edge, path: str = "") -> Plan:
        part = plan_layer(self.body, edge.shared(), join_path(path, "body"))
        wait = self.geometry.lookahead
        memories = (Memory("skip", axes(wait, edge.channels)),) if wait else ()
        out = edge.after(self.geometry, self.channels_after(edge.channels))
        return Plan(self, path, edge, out, memories, (part,))

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        kept, (share,) = plan.split(state)
        y, after = run_step(plan.parts[0], x, share, clock)
        if kept:
            x, rest = delay(x, kept[0])
            kept = (rest,)
        return self._joined(x, y), kept + after


def named_parts(composition: nn.Module) -> list[tuple[str, nn.Module]]:
    """A composition's layers in order; one that stands in two places is named twice, unlike in `named_children`."""
    return [(name, layer) for name, layer in composition._modules.items() if layer is not None]


def delay(x: Tensor, waiting: Tensor) -> tuple[Tensor, Tensor]:
    """`x` behind the frames that are `waiting`, and the frames that wait next."""
    joined = torch.cat((waiting, x), 1)
    return joined[:, : x.shape[1]], joined[:, x.shape[1] :]


def _follow(layer: nn.Module, channels: int | None) -> int | None:
    """Channels behind `layer`, as far as they are known."""
    channels = takes(layer) if channels is None else channels
    return None if channels is None else channels_after(layer, channels)


def _first_taken(layers: Iterable[nn.Module]) -> int | None:
    """Channels that a chain insists on: the first layer's that does, unless one before it changes their number."""
    for layer in layers:
        if takes(layer) is not None:
            return takes(layer)
        if any(channels_after(layer, channels) != channels for channels in (2, 6)):
            return None
    return None
