"""The functional core of a stream: pure steps of one static shape, for sessions, servers, export and gradients.

    y, first, valid, state' = step(x, state)          x: m blocks of S samples -> m frames

The caller feeds `preroll` = (P_l - R) mod S zeros before the first sample; then frame t leaves in the very step that
brings its last sample, S t + R - P_l. Age and remaining samples are counted per row, so rows of any age share one
batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from speechconv.layer import check_layer, geometry_of, placement, plan_layer, run_step, takes
from speechconv.layout import axes
from speechconv.plan import Clock, Edge, Memory, State

OPEN = 1 << 30
"""`remain` of a stream whose end is not known yet; age and remain together stay below 2^31, also in 32-bit runtimes."""


@dataclass(frozen=True)
class StreamState:
    """Everything a stream remembers, for a batch of rows; its shapes and types never change.

    Attributes:
        memories: tensors of the layers, named by `Streamer.state_spec`.
        age: (batch,) int64 samples fed so far, pre-roll included; saturates at a multiple of the block below 2^30.
        remain: (batch,) int64 samples still to be fed until the signal ends; OPEN while that is unknown.
    """

    memories: State
    age: Tensor
    remain: Tensor


class Streamer:
    """The functional core of a stream: pure functions from input and state to frames and state.

    Args:
        layer: any layer, composition or pipeline.
        channels: channels of its input, only where the layer takes any number.
        dtype: of the stream, only where the layer has no parameter or buffer to tell it.

    Attributes:
        block: samples per step (a step may take several blocks).
        preroll: zeros that the caller feeds before the first sample.
        delay: frames that come out before the first real one.
        mirror: samples that the caller mirrors around the two ends, and how; None: none.
        geometry: of the layer.
        plan: the layer and its parts, each at its place in the stream.

    Raises:
        NotStreamable: a layer that cannot give the offline answer live; names it, the reason and what to use instead.

    Example:
        >>> import speechconv as sc
        >>> core = sc.Streamer(sc.Conv1d(1, 2, 4, stride=2, padding="causal"))
        >>> state = core.init(batch=1)
        >>> y, first, valid, state = core.step(torch.ones(1, core.block, 1), state)
        >>> core.block, core.preroll, y.shape, valid
        (2, 1, torch.Size([1, 1, 2]), tensor([1]))
    """

    def __init__(self, layer: nn.Module, *, channels: int | None = None, dtype: torch.dtype | None = None) -> None:
        check_layer(layer)
        channels = takes(layer) if channels is None else channels
        if channels is None:
            raise ValueError(f"{type(layer).__name__} takes any number of channels; pass channels=...")
        self.layer, self.channels = layer, channels
        own = placement(layer)
        if own and dtype not in (None, own[0]):
            raise ValueError(f"the layer holds {own[0]}, a stream of it cannot have dtype={dtype}.")
        self.dtype, self.device = own or (dtype or torch.get_default_dtype(), torch.device("cpu"))
        self.geometry = geometry_of(layer)
        self.mirror = self.geometry.mirror
        g = self.geometry.on_mirrored()
        self.block = g.stride
        self.preroll = (g.pad_left - g.receptive_field) % g.stride
        self.plan = plan_layer(layer, Edge(channels, delay=self.preroll, raw=True), "")
        self.delay = self.plan.out.delay
        self.age_limit = OPEN // self.block * self.block

    @property
    def state_spec(self) -> tuple[Memory, ...]:
        """Name and shape (behind the batch axis) of every tensor in `StreamState.memories`."""
        return self.plan.state_spec

    def init(self, batch: int = 1) -> StreamState:
        """State of `batch` streams that have not begun, in the layer's dtype and on its device."""
        counters = torch.zeros(batch, dtype=torch.int64, device=self.device)
        memories = (
            torch.zeros(batch, *m.shape, dtype=m.dtype or self.dtype, device=self.device) for m in self.state_spec
        )
        return StreamState(tuple(memories), counters, torch.full_like(counters, OPEN))

    def step(
        self, x: Tensor, state: StreamState, active: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, StreamState]:
        """Feed m blocks to every active row.

        Args:
            x: (batch, m * block) waveform or (batch, m * block, channels) frames. What lies outside the signal, or in
                rows that are not active, may be anything.
            state: not changed.
            active: (batch,) bool; the others keep their state. None: all.

        Returns:
            y: (batch, m, out_channels).
            first, valid: (batch,) int64; y[row, first : first + valid] are the row's new frames.
            state: the new state.
        """
        if x.shape[:1] != state.age.shape or x.shape[2:] != axes(0, self.channels)[1:]:
            expected = (len(state.age), "m * block", *axes(0, self.channels)[1:])
            raise ValueError(f"expected an input of shape {expected}, got {tuple(x.shape)}.")
        count = x.shape[1]
        if count % self.block or not count:
            raise ValueError(f"x has {count} samples; a step takes a positive multiple of the block (={self.block}).")
        clock = Clock(state.age, state.remain, self.preroll)
        x = self.plan.edge.zero_unreal(x, clock, active)
        y, memories = run_step(self.plan, x, state.memories, clock)
        first, end, _ = self.plan.out.real(clock, y.shape[1])
        age = (state.age + count).clip(max=self.age_limit)
        remain = torch.where(state.remain == OPEN, OPEN, state.remain - count)
        if active is None:
            return y, first, end - first, StreamState(memories, age, remain)
        after = StreamState(
            tuple(_choose(active, new, old) for new, old in zip(memories, state.memories, strict=True)),
            torch.where(active, age, state.age),
            torch.where(active, remain, state.remain),
        )
        return y, first, torch.where(active, end - first, 0), after

    def end(self, state: StreamState, row: int, remaining: int) -> StreamState:
        """The signal of `row` ends after `remaining` more samples (pre-roll that was not fed yet included)."""
        if not 0 <= remaining < OPEN:
            raise ValueError(f"remaining (={remaining}) must lie in 0 ... {OPEN - 1}.")
        remain = state.remain.clone()
        remain[row] = remaining
        return replace(state, remain=remain)

    def reset(self, state: StreamState, row: int) -> StreamState:
        """`row` as if it had not begun."""
        chosen = torch.zeros_like(state.age, dtype=torch.bool)
        chosen[row] = True
        return StreamState(
            tuple(_choose(chosen, torch.zeros_like(m), m) for m in state.memories),
            torch.where(chosen, 0, state.age),
            torch.where(chosen, OPEN, state.remain),
        )


def _choose(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(rows.view(-1, *(1,) * (new.ndim - 1)), new, old)
