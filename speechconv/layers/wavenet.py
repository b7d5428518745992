"""WaveNet: gated dilated convolutions, each on the frames that the one before it refined.

    z   = tanh(W_f * x + V_f h) . sigmoid(W_g * x + V_g h)          * a dilated convolution, h the conditioning
    s   = s + U_s z                                                 skip: the layer's share of the output
    x   = x + U_r z                                                 residual: what the next layer sees

U_s and U_r are one matrix, W_f and W_g one convolution. The last layer has no U_r: nothing would see its x.

Live, a layer that looks r frames ahead gives z r frames late, so x, s and h wait r frames beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from speechconv.checks import check_count, check_counts, check_flag
from speechconv.combine import delay
from speechconv.conv import Conv1d
from speechconv.geometry import Geometry
from speechconv.layer import Layer, run_offline, run_step
from speechconv.layout import axes, pad
from speechconv.plan import Clock, Edge, Memory, Plan, State, join_path

DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

TILE_FRAMES = 4096
"""Frames, of all rows and per thread, that go through the stack together where no gradient is asked for: what each
layer makes of them stays in cache."""


class WaveNetStack(Layer):
    """A stack of WaveNet's gated dilated layers; its output is the sum of their skips.

    Args:
        channels: of the residual path, >= 1; so many channels come in.
        kernel_size: taps of each dilated convolution, >= 2.
        dilations: frames between two taps, layer by layer, each >= 1.
        stacks: how often the layers of `dilations` follow each other, >= 1.
        skip_channels: of the output, >= 1; None: as `channels`.
        condition_channels: of a local conditioning at the same frame rate, >= 0. It comes in as the last channels of
            the input; `Parallel(..., join="cat")` puts it there.
        causal: frame t sees no later frame. Otherwise each layer pads "same", as torch: the window is centred on frame
            t, but for an even kernel_size each layer of odd dilation looks one frame further ahead than back.

    Shape:
        (batch, frames, channels + condition_channels) -> (batch, frames, skip_channels)

    Raises:
        ValueError: an argument outside its range.

    The receptive field is 1 + stacks (kernel_size - 1) sum(dilations) frames. The output is the bare sum, as it enters
    the post-net of the paper's figure 4 (ReLU, 1x1, ReLU, 1x1); put nn.ReLU() and nn.Linear behind it for that.

    Source: van den Oord et al. 2016, "WaveNet: a generative model for raw audio", arXiv 1609.03499, sections 2.3-2.5.

    Example:
        >>> stack = WaveNetStack(64, skip_channels=256)
        >>> stack(torch.zeros(1, 50, 64)).shape, stack.geometry.receptive_field, stack.geometry.lookahead
        (torch.Size([1, 50, 256]), 1024, 0)
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 2,
        dilations: tuple[int, ...] = DILATIONS,
        stacks: int = 1,
        skip_channels: int | None = None,
        condition_channels: int = 0,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.kernel_size = check_count("channels", channels), check_count("kernel_size", kernel_size, 2)
        self.dilations = check_counts("dilations", dilations, "one for each layer")
        self.stacks = check_count("stacks", stacks)
        self.skip_channels = None if skip_channels is None else check_count("skip_channels", skip_channels)
        self.condition_channels = check_count("condition_channels", condition_channels, 0)
        self.causal = check_flag("causal", causal)
        self.in_channels = self.channels + self.condition_channels
        self.out_channels = self.skip_channels or self.channels
        count = len(self.dilations) * self.stacks
        layers = [
            self._gated(dilation, first=number == 0, last=number == count - 1)
            for number, dilation in enumerate(self.dilations * self.stacks)
        ]
        self.layers = cast("Sequence[GatedLayer]", nn.ModuleList(layers))
        self.geometry = reduce(Geometry.then, (layer.dilated.geometry for layer in layers))

    def _gated(self, dilation: int, *, first: bool, last: bool) -> GatedLayer:
        padding = "causal" if self.causal else "same"
        return GatedLayer(
            Conv1d(self.channels, 2 * self.channels, self.kernel_size, dilation=dilation, padding=padding),
            self.channels,
            skip_channels=self.skip_channels or self.channels,
            condition_channels=self.condition_channels,
            first=first,
            last=last,
        )

    def _flows(self, x: Tensor) -> Flows:
        residual, condition = x.split((self.channels, self.condition_channels), -1)
        return Flows(residual, x.new_zeros(()), condition)

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        tile = TILE_FRAMES * torch.get_num_threads()
        if not torch.is_grad_enabled() and x.shape[0] * x.shape[1] > 2 * tile:
            return self._offline_in_tiles(x, lengths, max(1, tile // len(x)))
        flows = self._flows(x)
        for layer in self.layers:
            flows = layer(run_offline(layer.dilated, flows.residual, lengths), flows)
        return flows.skips

    def _offline_in_tiles(self, x: Tensor, lengths: Tensor | None, tile: int) -> Tensor:
        """The same as a stream, `tile` frames a step."""
        plan = self.plan(Edge(self.channels + self.condition_channels, delay=0))
        state = tuple(x.new_zeros(len(x), *memory.shape) for memory in plan.state_spec)
        age = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        end = age + x.shape[1] if lengths is None else lengths
        frames = []
        for new in pad(x, 0, self.geometry.lookahead).split(tile, 1):
            y, state = self.step(new, state, plan, Clock(age, end - age, preroll=0))
            age = age + new.shape[1]
            frames.append(y)
        return torch.cat(frames, 1)[:, self.geometry.lookahead :]

    def plan(self, edge: Edge, path: str = "") -> Plan:
        parts, memories = [], []
        refined = replace(edge, channels=self.channels)
        for number, layer in enumerate(self.layers):
            parts.append(layer.dilated.plan(refined, join_path(path, f"layers.{number}.dilated")))
            refined = replace(parts[-1].out, channels=self.channels)
            wait = layer.dilated.geometry.lookahead
            memories += [Memory(f"layers.{number}.{flow}", axes(wait, width)) for flow, width in layer.beside.items()]
        out = edge.after(self.geometry, self.channels_after(edge.channels))
        return Plan(self, path, edge, out, tuple(memories), tuple(parts))

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        waiting, shares = plan.split(state)
        queue = iter(waiting)
        kept: State = ()
        after: State = ()
        flows = self._flows(x)
        for layer, part, share in zip(self.layers, plan.parts, shares, strict=True):
            y, share = run_step(part, flows.residual, share, clock)
            after += share
            for name in layer.beside:
                late, rest = delay(getattr(flows, name), next(queue))
                flows = flows._replace(**{name: late})
                kept += (rest,)
            flows = layer(y, flows)
        return flows.skips, kept + after

    def extra_repr(self) -> str:
        return (
            f"{self.channels}, kernel_size={self.kernel_size}, dilations={self.dilations}, stacks={self.stacks}, "
            f"skip_channels={self.skip_channels}, condition_channels={self.condition_channels}, causal={self.causal}"
        )


class Flows(NamedTuple):
    """What passes from layer to layer: x, the sum of skips so far (at first the empty one), and the conditioning."""

    residual: Tensor
    skips: Tensor
    condition: Tensor


class GatedLayer(nn.Module):
    """One layer of a `WaveNetStack`, from what its dilated convolution gives to the next x and sum of skips.

    Attributes:
        dilated: W_f and W_g as one convolution; the stack runs it.
        condition: V_f and V_g as one matrix, or None.
        mix: U_r and U_s as one matrix; the last layer's is U_s alone.
        beside: fields of `Flows` that wait, live, beside a convolution that looks ahead, and their channels.
    """

    def __init__(
        self, dilated: Conv1d, channels: int, *, skip_channels: int, condition_channels: int, first: bool, last: bool
    ) -> None:
        super().__init__()
        self.widths = (0 if last else channels, skip_channels)
        self.dilated = dilated
        self.condition = nn.Linear(condition_channels, 2 * channels, bias=False) if condition_channels else None
        self.mix = nn.Linear(channels, sum(self.widths))
        flows = {"residual": self.widths[0], "skips": 0 if first else skip_channels, "condition": condition_channels}
        self.beside = {name: width for name, width in flows.items() if width and dilated.geometry.lookahead}

    def forward(self, y: Tensor, flows: Flows) -> Flows:
        if self.condition is not None:
            y = y + self.condition(flows.condition)
        filtered, gate = y.chunk(2, -1)
        refinement, skip = self.mix(torch.tanh(filtered) * torch.sigmoid(gate)).split(self.widths, -1)
        residual = flows.residual + refinement if self.widths[0] else flows.residual
        return Flows(residual, flows.skips + skip, flows.condition)
