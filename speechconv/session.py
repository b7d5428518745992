"""Live: one stream fed in chunks of any length (`Session`), and many in one batch (`SessionPool`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NewType

import numpy.typing as npt
import torch
from torch import Tensor, nn

from speechconv.inlet import Inlet
from speechconv.layout import axes
from speechconv.streamer import Streamer, StreamState

DEFAULT_SAMPLES = 1 << 15
"""A session steps through at most this many samples at a time unless `max_blocks` says otherwise."""


@dataclass(frozen=True)
class Snapshot:
    """A stream frozen at one point; `Session.restore` goes back to it, any number of times."""

    state: StreamState
    inlet: Inlet
    frames_out: int


class Session:
    """One live stream: push chunks of any length, get the frames that they complete.

    Args:
        layer: any layer, composition or pipeline, in eval mode.
        channels, dtype: of the input, only where the layer does not tell; see `Streamer`.
        max_blocks: most blocks of S samples that one step takes; 1 makes the result bitwise independent of the
            chunking. None steps through up to 32,768 samples at a time.

    Attributes:
        num_samples, num_frames: pushed and given so far.
        closed: no more samples may come.

    Runs under no_grad. Frames are final when they come out, each with the sample that completes it.

    Raises:
        NotStreamable: see `Streamer`.

    Example:
        >>> import speechconv as sc
        >>> session = sc.Session(sc.ConvSTFT(400, hop_length=160, output="power"))
        >>> [len(session.push(torch.zeros(n))) for n in (0, 199, 1, 160)], len(session.close())
        ([0, 0, 1, 1], 1)
    """

    def __init__(
        self,
        layer: nn.Module,
        *,
        channels: int | None = None,
        dtype: torch.dtype | None = None,
        max_blocks: int | None = None,
    ) -> None:
        self.core = Streamer(layer, channels=channels, dtype=dtype)
        self.max_blocks = check_max_blocks(max_blocks, self.core.block)
        self._empty = _no_frames(self.core)
        self.reset()

    def reset(self) -> None:
        """Begin again, as if newly made."""
        self._state = self.core.init(1)
        self._inlet = Inlet(self.core)
        self.num_frames = 0

    @property
    def num_samples(self) -> int:
        return self._inlet.num_samples

    @property
    def closed(self) -> bool:
        return self._inlet.closed

    def push(self, chunk: Tensor | npt.NDArray) -> Tensor:
        """Feed a chunk.

        Args:
            chunk: (samples,) for a front-end, (n, channels) for a frame layer; a tensor or array, any length, 0
                included. Floating, or int16 / int32 (scaled to -1 ... 1).

        Returns:
            (n, out_channels), n >= 0: the frames that this chunk completes.

        Raises:
            ValueError: after close(), or a chunk of another shape.
        """
        self._inlet.push(chunk)
        return self._drain()

    def close(self) -> Tensor:
        """End the signal: (n, out_channels), the frames that were waiting for it. A second close gives none."""
        if self.closed:
            return self._empty
        self._inlet.close()
        self._state = self.core.end(self._state, 0, self._inlet.remaining)
        return self._drain()

    @torch.no_grad()
    def _drain(self) -> Tensor:
        frames = []
        while blocks := min(self._inlet.ready, self.max_blocks):
            x = self._inlet.take(blocks)[None]
            y, first, valid, self._state = self.core.step(x, self._state)
            frames.append(y[0, int(first) : int(first + valid)])
        out = torch.cat(frames) if frames else self._empty
        self.num_frames += len(out)
        return out

    def snapshot(self) -> Snapshot:
        """This point of the stream, to come back to."""
        return Snapshot(self._state, self._inlet.copy(), self.num_frames)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to `snapshot`; it stays valid.

        Raises:
            ValueError: a snapshot of another session, whose state may mean something else.
        """
        if snapshot.inlet.core is not self.core:
            raise ValueError("this snapshot is of another session; restore it there.")
        self._state, self._inlet = snapshot.state, snapshot.inlet.copy()
        self.num_frames = snapshot.frames_out


def check_max_blocks(max_blocks: int | None, block: int) -> int:
    if max_blocks is None:
        return max(1, DEFAULT_SAMPLES // block)
    if max_blocks < 1:
        raise ValueError(f"max_blocks (={max_blocks}) must be >= 1.")
    return max_blocks


@torch.no_grad()
def _no_frames(core: Streamer) -> Tensor:
    """(0, out_channels) of the stream's dtype, by a step on zeros that also warms the layers up."""
    zeros = torch.zeros(1, *axes(core.block, core.channels), dtype=core.dtype, device=core.device)
    return core.step(zeros, core.init(1))[0][0, :0]


Handle = NewType("Handle", int)


class SessionPool:
    """Many live streams of different age, stepped together in one batch.

    Args:
        layer: any layer, composition or pipeline, in eval mode.
        max_sessions: rows of the batch; opening more is an error.
        channels, dtype, max_blocks: as for `Session`.

    A pool gives each stream the offline answer within float tolerance; its bits may depend on the batch, unlike a
    Session's.

    Example:
        >>> import speechconv as sc
        >>> pool = sc.SessionPool(sc.ConvSTFT(400, hop_length=160, output="power"), max_sessions=2)
        >>> a, b = pool.open(), pool.open()
        >>> pool.push(a, torch.zeros(1000)); pool.push(b, torch.zeros(100)); pool.close(b)
        >>> {handle: len(frames) for handle, frames in pool.pump().items()} == {a: 6, b: 1}
        True
    """

    def __init__(
        self,
        layer: nn.Module,
        *,
        max_sessions: int = 32,
        channels: int | None = None,
        dtype: torch.dtype | None = None,
        max_blocks: int | None = None,
    ) -> None:
        if max_sessions < 1:
            raise ValueError(f"max_sessions (={max_sessions}) must be >= 1.")
        self.core = Streamer(layer, channels=channels, dtype=dtype)
        self.max_sessions = max_sessions
        self.max_blocks = check_max_blocks(max_blocks, self.core.block)
        self._state = self.core.init(max_sessions)
        self._rows: dict[Handle, int] = {}
        self._inlets: dict[Handle, Inlet] = {}
        self._opened = 0

    def __len__(self) -> int:
        """Streams that are open, or closed with frames still to be pumped."""
        return len(self._rows)

    def open(self) -> Handle:
        """A new stream.

        Raises:
            ValueError: the pool is full.
        """
        free = next((row for row in range(self.max_sessions) if row not in self._rows.values()), None)
        if free is None:
            raise ValueError(
                f"the pool is full (max_sessions={self.max_sessions}); close and pump a stream, or make a larger pool."
            )
        self._opened += 1
        handle = Handle(self._opened)
        self._rows[handle], self._inlets[handle] = free, Inlet(self.core)
        self._state = self.core.reset(self._state, free)
        return handle

    def _inlet(self, handle: Handle) -> Inlet:
        if handle not in self._inlets:
            raise ValueError(f"no stream has the handle {handle!r}; it was never opened, or closed and pumped.")
        return self._inlets[handle]

    def push(self, handle: Handle, chunk: Tensor | npt.NDArray) -> None:
        """Feed a chunk to one stream, as `Session.push`; `pump` gives the frames."""
        self._inlet(handle).push(chunk)

    def close(self, handle: Handle) -> None:
        """End one stream's signal; the next `pump` gives its tail and frees the handle."""
        inlet = self._inlet(handle)
        if not inlet.closed:
            inlet.close()
            self._state = self.core.end(self._state, self._rows[handle], inlet.remaining)

    @torch.no_grad()
    def pump(self) -> dict[Handle, Tensor]:
        """Step every stream as far as its samples allow: (n, out_channels) of each that has new frames, n >= 1."""
        frames: dict[Handle, list[Tensor]] = {}
        while ready := {handle: inlet.ready for handle, inlet in self._inlets.items() if inlet.ready}:
            blocks = min(*ready.values(), self.max_blocks)
            for handle, new in self._step(list(ready), blocks).items():
                frames.setdefault(handle, []).append(new)
        for handle in [handle for handle, inlet in self._inlets.items() if inlet.closed]:
            del self._rows[handle], self._inlets[handle]
        return {handle: torch.cat(parts) for handle, parts in frames.items()}

    def _step(self, handles: list[Handle], blocks: int) -> dict[Handle, Tensor]:
        """The new frames of `handles`, each fed the same number of blocks."""
        taken = {self._rows[handle]: self._inlets[handle].take(blocks) for handle in handles}
        idle = torch.zeros_like(next(iter(taken.values())))
        x = torch.stack([taken.get(row, idle) for row in range(self.max_sessions)])
        y, first, valid, self._state = self.core.step(x, self._state, self._active(taken))
        spans = torch.stack((first, first + valid), 1).tolist()
        frames = {}
        for handle in handles:
            row = self._rows[handle]
            start, end = spans[row]
            if end > start:
                frames[handle] = y[row, start:end]
        return frames

    def _active(self, rows: Collection[int]) -> Tensor | None:
        """Which rows keep step; None spares a copy of the whole state where every open stream does, for a free row may
        hold anything: `open` clears it."""
        if len(rows) == len(self._rows):
            return None
        return torch.tensor([row in rows for row in range(self.max_sessions)], device=self.core.device)
