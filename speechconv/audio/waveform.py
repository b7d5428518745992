"""A source as the pipeline wants it: one channel, at its sample rate, every sample a finite number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from speechconv.audio.error import AudioError
from speechconv.audio.plausible import check_resampling

if TYPE_CHECKING:
    import numpy as np
    import soxr
    from numpy.typing import NDArray

Channel = Literal["mix"] | int
Resample = Literal["auto", "error"]
FULL_SCALE = 0.999
"""Samples from here on count as clipped."""
PIECE = 8192


class Source(Protocol):
    """Where samples come from: `AudioFile`, `PcmReader`, or one's own."""

    sample_rate: int
    channels: int

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels) samples, n >= 1."""
        ...


class Waveform:
    """One channel of a source at the pipeline's sample rate, to be read once.

    Args:
        source: where the samples come from.
        sample_rate: wanted, Hz.
        channel: "mix" for the mean of all channels, or one of them, counted from 0.
        resample: "auto" resamples another rate by soxr, high quality; the result does not depend on how the source
            cuts its blocks. "error" refuses another rate.

    Attributes:
        source_samples: read from the source so far, of each channel.
        num_samples: given so far.
        peak, rms: largest and root mean square absolute sample of what was given so far; 1.0 is full scale.
        clipped: samples of it at full scale, `FULL_SCALE` or more.

    Raises:
        AudioError: the source lacks that channel, or has another rate and resample is "error" or cannot be done.
        ValueError: an argument outside its range.
    """

    def __init__(
        self, source: Source, *, sample_rate: int, channel: Channel = "mix", resample: Resample = "auto"
    ) -> None:
        check_channel(channel)
        check_resample(resample)
        if channel != "mix" and channel >= source.channels:
            raise AudioError(
                f"has {source.channels} channel(s), counted from 0; there is no channel {channel}.",
                stage="channel",
            )
        if resample == "error" and source.sample_rate != sample_rate:
            raise AudioError(
                f"has {source.sample_rate} Hz where the pipeline expects {sample_rate} Hz; "
                "resample it first, or use resample='auto'.",
                stage="resample",
            )
        if source.sample_rate != sample_rate:
            check_resampling(source.sample_rate, sample_rate)
        self.source = source
        self.sample_rate = sample_rate
        self.channel: Channel = channel
        self.source_samples = 0
        self.num_samples = 0
        self.peak = 0.0
        self.clipped = 0
        self._energy = 0.0

    @property
    def rms(self) -> float:
        """Root mean square of the samples given so far; 0 before the first."""
        return math.sqrt(self._energy / self.num_samples) if self.num_samples else 0.0

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n,) samples, n >= 0.

        Raises:
            AudioError: NaN or infinite samples in what the channel choice takes, or a fault of the source.
        """
        for block, energy in self._mono() if self.source.sample_rate == self.sample_rate else self._resampled():
            self._measure(block, energy)
            yield block

    def _measure(self, block: NDArray[np.float32], energy: float) -> None:
        import numpy as np

        self.num_samples += len(block)
        self._energy += energy
        peak = max(float(block.max(initial=0.0)), -float(block.min(initial=0.0)))
        self.peak = max(self.peak, peak)
        if peak >= FULL_SCALE:
            self.clipped += int(np.count_nonzero(np.abs(block) >= FULL_SCALE))

    def _mono(self) -> Iterator[tuple[NDArray[np.float32], float]]:
        """The blocks of the chosen channel, and the energy of each."""
        import numpy as np

        for block in self.source.blocks():
            if self.channel != "mix" or block.shape[1] == 1:
                mono = block[:, 0 if self.channel == "mix" else self.channel]
            else:
                mono = block.mean(axis=1, dtype=np.float64).astype(np.float32)
            energy = _energy(mono)
            if not math.isfinite(energy):
                self._check_finite(block if self.channel == "mix" else block[:, [self.channel]])
                energy = _energy(mono.astype(np.float64))  # numbers whose squares are beyond float32
            self.source_samples += len(block)
            yield mono, energy

    def _check_finite(self, block: NDArray[np.float32]) -> None:
        import numpy as np

        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            first = int(bad.argmax())
            kind = "NaN" if np.isnan(block[first]).any() else "an infinite value"
            sample = self.source_samples + first
            raise AudioError(
                f"holds {kind} at {sample / self.source.sample_rate:.3f} s (sample {sample}); "
                "every sample must be a finite number.",
                stage="decode",
            )

    def _resampled(self) -> Iterator[tuple[NDArray[np.float32], float]]:
        import numpy as np

        resampler = self._resampler()
        for block, _ in self._mono():
            resampled = resampler.resample_chunk(block)
            yield resampled, _energy(resampled)
        rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        yield rest, _energy(rest)

    def _resampler(self) -> soxr.ResampleStream:
        import soxr

        try:
            return soxr.ResampleStream(self.source.sample_rate, self.sample_rate, 1, dtype="float32", quality="HQ")
        except (ValueError, RuntimeError) as error:
            raise AudioError(
                f"cannot be resampled from {self.source.sample_rate} to {self.sample_rate} Hz: {error}",
                stage="resample",
            ) from error


def _energy(samples: NDArray[np.floating]) -> float:
    """Sum of squares; not finite where a sample is not. BLAS sums pieces of this length in one thread, always alike."""
    import numpy as np

    pieces = (samples[at : at + PIECE] for at in range(0, len(samples), PIECE))
    with np.errstate(over="ignore"):
        return sum(float(np.dot(piece, piece)) for piece in pieces)


def check_channel(channel: Channel) -> None:
    """ValueError unless `channel` is "mix" or an integer >= 0."""
    if channel != "mix" and (not isinstance(channel, int) or isinstance(channel, bool) or channel < 0):
        raise ValueError(f"channel (={channel!r}) must be 'mix' or a number, counted from 0.")


def check_resample(resample: Resample) -> None:
    """ValueError unless `resample` is one of its two words."""
    if resample not in ("auto", "error"):
        raise ValueError(f"resample (={resample!r}) must be 'auto' or 'error'.")
