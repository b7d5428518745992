"""Which samples a segment of a sound is.

    first = round(start * sample_rate)      end = round((start + duration) * sample_rate)      halves upwards

so that segments which meet in seconds meet in samples. An end up to `OVERSHOOT` behind the sound's is cut, as Kaldi
does; further behind it is an error, and so is a segment that begins there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from speechconv.audio.error import AudioError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OVERSHOOT = 0.5
"""Seconds that a segment may end behind its sound."""
LONGEST = 1e9
"""Seconds, thirty years; a number beyond is no time."""
BLOCK_VALUES = 1 << 16
"""Samples of a block, all channels together."""


class Segment(NamedTuple):
    """A part of a sound in seconds; `Segment()` is all of it.

    Attributes:
        start: 0 to `LONGEST`.
        duration: > 0, up to `LONGEST`; None: to the end of the sound.
    """

    start: float = 0.0
    duration: float | None = None

    def check(self) -> Segment:
        """Itself; ValueError unless both numbers are in their range."""
        if not 0 <= self.start <= LONGEST:
            raise ValueError(f"the segment's start (={self.start} s) must be a number >= 0{_up_to(self.start)}.")
        if self.duration is not None and not 0 < self.duration <= LONGEST:
            raise ValueError(
                f"the segment's duration (={self.duration} s) must be a number > 0{_up_to(self.duration)}."
            )
        return self

    def span(self, sample_rate: int, total: int | None) -> Span:
        """Its samples in a sound of `total` samples; None where nobody knows how many.

        Raises:
            AudioError: it begins behind the end of the sound, ends too far behind it, or is shorter than one sample.

        >>> Segment(0.5, 0.25).span(8000, 16000), Segment(1.5).span(8000, 16000)
        (Span(first=4000, length=2000), Span(first=12000, length=4000))
        """
        if self == Segment():
            return Span(0, total)
        first = _index(self.start, sample_rate)
        end = None if self.duration is None else _index(self.start + self.duration, sample_rate)
        if end == first:
            raise AudioError(f"{self} is shorter than one sample at {sample_rate} Hz.", stage="input")
        if total is None:
            return Span(first, None if end is None else end - first)
        if first >= total:
            raise self.behind(total, sample_rate)
        if end is not None and end - total > OVERSHOOT * sample_rate:
            raise self.beyond(total, sample_rate)
        return Span(first, min(total, total if end is None else end) - first)

    def behind(self, total: int, sample_rate: int) -> AudioError:
        """The error of a segment that begins where the sound has ended."""
        return AudioError(f"{self} begins behind the end of the sound at {total / sample_rate:.3f} s.", stage="input")

    def beyond(self, total: int, sample_rate: int) -> AudioError:
        """The error of a segment that ends too far behind the sound."""
        return AudioError(
            f"{self} ends more than {OVERSHOOT} s behind the end of the sound at {total / sample_rate:.3f} s.",
            stage="input",
        )

    def __str__(self) -> str:
        end = "the end" if self.duration is None else f"{self.start + self.duration:.3f} s"
        return f"the segment from {self.start:.3f} s to {end}"


class Span(NamedTuple):
    """A segment in samples.

    Attributes:
        first: its first sample.
        length: how many, >= 0; None: all that follow.
    """

    first: int
    length: int | None


def _up_to(seconds: float) -> str:
    return f" and <= {LONGEST:g}" if seconds > LONGEST else ""


def _index(seconds: float, sample_rate: int) -> int:
    return math.floor(seconds * sample_rate + 0.5)


def block_length(channels: int) -> int:
    """Samples of each channel in a block."""
    return max(1, BLOCK_VALUES // channels)


def part(
    blocks: Iterable[NDArray[np.float32]], segment: Segment, sample_rate: int, channels: int
) -> Iterator[NDArray[np.float32]]:
    """A segment of a sound that cannot seek or whose length nobody knows, in blocks of fixed size but for the last.

    Args:
        blocks: (n, channels) samples of all of it; what is behind the segment is not asked for.

    Raises:
        AudioError: the sound ended before the segment began, or too long before it ended.
    """
    first, count = segment.span(sample_rate, None)
    end = None if count is None else first + count
    heard = 0

    def hear() -> Iterator[NDArray[np.float32]]:
        nonlocal heard
        for block in blocks:
            heard += len(block)
            yield block

    yield from _regular(_cut(hear(), first, end), block_length(channels))
    if segment.start > 0 and heard <= first:
        raise segment.behind(heard, sample_rate)
    if end is not None and end - heard > OVERSHOOT * sample_rate:
        raise segment.beyond(heard, sample_rate)


def _cut(blocks: Iterable[NDArray[np.float32]], first: int, end: int | None) -> Iterator[NDArray[np.float32]]:
    """The samples `first` ... `end` - 1 of `blocks`."""
    position = 0
    for block in blocks:
        wanted = block[max(0, first - position) : None if end is None else end - position]
        position += len(block)
        if len(wanted):
            yield wanted
        if end is not None and position >= end:
            return


def _regular(blocks: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """The same samples in blocks of `size`."""
    import numpy as np

    waiting: list[NDArray[np.float32]] = []
    have = 0
    for block in blocks:
        waiting.append(block)
        have += len(block)
        if have >= size:
            together = np.concatenate(waiting)
            whole = have - have % size
            yield from (together[at : at + size] for at in range(0, whole, size))
            waiting, have = [together[whole:]], have - whole
    if have:
        yield np.concatenate(waiting)
