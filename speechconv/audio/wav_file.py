"""Uncompressed samples of a WAV file: the segment that is asked for, and nothing else, is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechconv.audio.error import AudioError, truncated
from speechconv.audio.segment import Segment, block_length

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from speechconv.audio.riff import WavHeader


class WavReader:
    """Samples of a WAV file, integers or floats, without libsndfile; the numbers are the same.

    Args:
        descriptor: of the file; it stays open.
        header: of the file.
        size: of the file in bytes.
        head: the first bytes of the file; a small file is all in them and not read again.
        segment: which part.

    Attributes:
        num_samples: of the segment, of each channel.

    Raises:
        AudioError: the header declares more samples than there are and the segment wants them, or see `Segment.span`.
    """

    def __init__(self, descriptor: int, header: WavHeader, size: int, head: bytes, segment: Segment) -> None:
        self.sample_rate = header.sample_rate
        self.channels = header.channels
        self._first, self.num_samples = _span(header, size, segment)
        self._descriptor = descriptor
        self._header = header
        self._head = head

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels) samples, n >= 1 and fixed but for the last block.

        Raises:
            AudioError: no samples, or the file got shorter while it was read.
        """
        if not self.num_samples:
            raise AudioError("holds no samples, only a header.", stage="decode")
        encoding, width, size = self._header.encoding, self._header.frame_bytes, block_length(self.channels)
        at = self._header.start + self._first * width
        for done in range(0, self.num_samples, size):
            count = min(size, self.num_samples - done)
            data = self._bytes(at + done * width, count * width)
            if len(data) < count * width:
                raise truncated(self._first + self.num_samples, self._first + done, self.sample_rate)
            yield encoding.decode(data).reshape(-1, self.channels)

    def _bytes(self, at: int, count: int) -> bytes | memoryview:
        """`count` bytes from `at` on, fewer where the file ends."""
        if at + count <= len(self._head):
            return memoryview(self._head)[at : at + count]
        try:
            os.lseek(self._descriptor, at, os.SEEK_SET)
            data = os.read(self._descriptor, count)
            while len(data) < count and (more := os.read(self._descriptor, count - len(data))):
                data += more
        except OSError as error:
            raise AudioError(f"reading failed after {at} bytes: {error.strerror}.", stage="open") from error
        return data


def _span(header: WavHeader, size: int, segment: Segment) -> tuple[int, int]:
    """First sample and number of samples of the segment, all of which are there."""
    present = max(0, size - header.start)
    declared = present if header.data_bytes is None else header.data_bytes
    first, count = segment.span(header.sample_rate, declared // header.frame_bytes)
    assert count is not None
    if present < declared and (segment == Segment() or (first + count) * header.frame_bytes > present):
        raise truncated(declared // header.frame_bytes, present // header.frame_bytes, header.sample_rate)
    return first, count
