"""Samples on their way into a stream: any chunks in, whole blocks out.

    fed to the core:   p zeros | mirrored start | the signal | mirrored end | zeros until the last frame is out

The mirrored parts exist for reflect and symmetric padding alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speechconv.geometry import Mirror, MirrorKind
from speechconv.layout import WAVEFORM, axes
from speechconv.mirror import mirror_index
from speechconv.streamer import Streamer

FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


class Inlet:
    """Samples on their way into a stream: pre-roll, mirrored ends, whole blocks out."""

    def __init__(self, core: Streamer) -> None:
        self.core = core
        self.dtype, self.device = core.dtype, core.device
        self.fed = 0  # blocks taken
        self.num_samples = 0  # of the signal, mirrored ends not counted
        self.closed = False
        self._begun = False  # the mirrored start is in
        self._waiting = self._zeros(core.preroll)
        self._ends = self._zeros(0)  # a mirroring stream keeps the samples that its end will mirror

    def _zeros(self, count: int) -> Tensor:
        return torch.zeros(axes(count, self.core.channels), dtype=self.dtype, device=self.device)

    def push(self, chunk: Tensor | npt.NDArray) -> None:
        """Take any number of samples (waveform) or frames (n, channels)."""
        if self.closed:
            raise ValueError("this stream is closed; reset the session, or open another stream.")
        samples = as_samples(chunk, self.core.channels).to(self.device, self.dtype)
        self.num_samples += samples.shape[0]
        if not self.core.mirror:
            self._waiting = torch.cat((self._waiting, samples))
            return
        self._ends = torch.cat((self._ends, samples))
        if self._begun:
            self._waiting = torch.cat((self._waiting, samples))
        elif self.num_samples >= max(1, self.core.mirror.start):
            self._begin(self.core.mirror)
        self._ends = self._ends[-max(1, self.core.mirror.start, self.core.mirror.end) :]

    def _begin(self, mirror: Mirror) -> None:
        """The signal so far is in `_ends`, whole."""
        before = mirror_part(self._ends, -mirror.left, 0, mirror.kind)
        self._waiting = torch.cat((self._waiting, before, self._ends))
        self._begun = True

    def close(self) -> None:
        """The signal ends here."""
        self.closed = True
        if self.core.mirror and self.num_samples:
            if not self._begun:
                self._begin(self.core.mirror)
            end = len(self._ends)
            behind = mirror_part(self._ends, end, end + self.core.mirror.right, self.core.mirror.kind)
            self._waiting = torch.cat((self._waiting, behind))

    @property
    def remaining(self) -> int:
        """Samples that are still to be fed until the signal ends."""
        return self._waiting.shape[0]

    @property
    def ready(self) -> int:
        """Blocks that can be taken now; once closed, as many as the last frame still needs."""
        if not self.closed:
            return self._waiting.shape[0] // self.core.block
        frames = self.core.geometry.num_frames(self.num_samples)
        return max(0, frames + self.core.delay - self.fed) if frames else 0

    def take(self, blocks: int) -> Tensor:
        """The next `blocks` blocks; zeros behind the end."""
        count = blocks * self.core.block
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self.fed += blocks
        return taken if len(taken) == count else torch.cat((taken, self._zeros(count - len(taken))))

    def copy(self) -> Inlet:
        """An independent inlet at the same point (tensors are never written in place, so they are shared)."""
        twin = Inlet.__new__(Inlet)
        twin.__dict__.update(self.__dict__)
        return twin


def mirror_part(signal: Tensor, start: int, end: int, kind: MirrorKind) -> Tensor:
    """Samples at positions `start` ... `end` - 1, outside `signal`, that mirror it."""
    positions = torch.arange(start, end, device=signal.device)
    return signal[mirror_index(positions, len(signal), kind)]


def as_samples(chunk: Tensor | npt.NDArray, channels: int) -> Tensor:
    """A chunk as a floating tensor: (samples,) for a waveform, else (n, channels).

    int16 and int32 waveforms are scaled by 2^-15 and 2^-31.

    Raises:
        TypeError: other integers, or something that is no array.
        ValueError: another shape.
    """
    if not isinstance(chunk, Tensor):
        array = np.asarray(chunk)
        scale = FULL_SCALE.get(array.dtype.newbyteorder("=")) if channels == WAVEFORM else None
        if array.size == 0 and array.ndim == 1 and channels != WAVEFORM:
            array = array.reshape(0, channels)
        native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        chunk = torch.tensor(native if scale is None else native / scale)  # a copy: the array may be read-only
    elif channels == WAVEFORM and not chunk.is_floating_point():
        return as_samples(chunk.cpu().numpy(), channels)
    if not chunk.is_floating_point():
        raise TypeError(
            f"expected floating, int16 or int32 samples, got {chunk.dtype}; scale other integers to -1 ... 1 first."
        )
    expected = "(samples,)" if channels == WAVEFORM else f"(n, {channels})"
    if chunk.ndim != len(axes(0, channels)) or (channels and chunk.shape[1] != channels):
        raise ValueError(f"expected a chunk of shape {expected}, got {tuple(chunk.shape)}.")
    return chunk.detach()
