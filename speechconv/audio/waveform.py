"""A source as the pipeline wants it: one channel, at its sample rate, every sample a finite number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from speechconv.audio.error import AudioError

if TYPE_CHECKING:
    import numpy as np
    import soxr
    from numpy.typing import NDArray

Channel = Literal["mix"] | int
Resample = Literal["auto", "error"]


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

    Raises:
        AudioError: the source lacks that channel, or has another rate and resample is "error".
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
        self.source = source
        self.sample_rate = sample_rate
        self.channel: Channel = channel
        self.source_samples = 0
        self.num_samples = 0

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n,) samples, n >= 0.

        Raises:
            AudioError: NaN or infinite samples in what the channel choice takes, or a fault of the source.
        """
        mono = self._mono()
        for block in mono if self.source.sample_rate == self.sample_rate else self._resampled(mono):
            self.num_samples += len(block)
            yield block

    def _mono(self) -> Iterator[NDArray[np.float32]]:
        import numpy as np

        for block in self.source.blocks():
            chosen = block if self.channel == "mix" else block[:, [self.channel]]
            self._check_finite(chosen)
            self.source_samples += len(block)
            yield (chosen[:, 0] if chosen.shape[1] == 1 else chosen.mean(axis=1, dtype=np.float64).astype(np.float32))

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

    def _resampled(self, blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        import numpy as np

        resampler = self._resampler()
        for block in blocks:
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def _resampler(self) -> soxr.ResampleStream:
        import soxr

        try:
            return soxr.ResampleStream(self.source.sample_rate, self.sample_rate, 1, dtype="float32", quality="HQ")
        except (ValueError, RuntimeError) as error:
            raise AudioError(
                f"cannot be resampled from {self.source.sample_rate} to {self.sample_rate} Hz: {error}",
                stage="resample",
            ) from error


def check_channel(channel: Channel) -> None:
    """ValueError unless `channel` is "mix" or an integer >= 0."""
    if channel != "mix" and (not isinstance(channel, int) or isinstance(channel, bool) or channel < 0):
        raise ValueError(f"channel (={channel!r}) must be 'mix' or a number, counted from 0.")


def check_resample(resample: Resample) -> None:
    """ValueError unless `resample` is one of its two words."""
    if resample not in ("auto", "error"):
        raise ValueError(f"resample (={resample!r}) must be 'auto' or 'error'.")
