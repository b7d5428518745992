"""Samples of a pipe as they arrive, WAV or raw PCM: no seeking, no waiting to fill a buffer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechconv.audio.error import AudioError, truncated
from speechconv.audio.pcm import RAW_FORMATS, Encoding
from speechconv.audio.riff import Incoming, WavHeader, read_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READ_BYTES = 1 << 16
"""At most this much is taken from the pipe at once; less as soon as there is any."""


class PcmReader:
    """Uncompressed samples out of bytes as they arrive. `open_wav` and `open_raw` make one.

    Args:
        stream: stands at the first sample.
        encoding: how a sample is stored.
        sample_rate: Hz.
        channels: interleaved, >= 1.
        data_bytes: bytes of samples; None for all until the stream ends.

    Attributes:
        leftover: bytes of an incomplete last sample, which are dropped; known at the end.
    """

    def __init__(
        self,
        stream: Incoming,
        encoding: Encoding,
        *,
        sample_rate: int,
        channels: int,
        data_bytes: int | None = None,
    ) -> None:
        self.sample_rate = sample_rate
        self.channels = channels
        self.leftover = 0
        self._stream = stream
        self._encoding = encoding
        self._data_bytes = data_bytes

    @classmethod
    def of_wav(cls, stream: Incoming, header: WavHeader) -> PcmReader:
        """The samples behind a WAV header that was just read."""
        return cls(
            stream,
            header.encoding,
            sample_rate=header.sample_rate,
            channels=header.channels,
            data_bytes=header.data_bytes,
        )

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels) samples, n >= 1, each block with what one read brought.

        Raises:
            AudioError: no samples at all, or fewer than the header declares.
        """
        frame_bytes = self._encoding.width * self.channels
        carried, taken = b"", 0
        while data := self._stream.some(self._allowance(taken)):
            taken += len(data)
            carried += data
            whole = len(carried) - len(carried) % frame_bytes
            if whole:
                yield self._encoding.decode(carried[:whole]).reshape(-1, self.channels)
            carried = carried[whole:]
        self.leftover = len(carried)
        self._check_end(taken, frame_bytes)

    def _allowance(self, taken: int) -> int:
        """Bytes to read next: nothing past the declared end."""
        return READ_BYTES if self._data_bytes is None else min(READ_BYTES, self._data_bytes - taken)

    def _check_end(self, taken: int, frame_bytes: int) -> None:
        if taken < frame_bytes:
            raise AudioError("holds no samples.", stage="decode")
        if self._data_bytes is not None and taken < self._data_bytes:
            raise truncated(self._data_bytes // frame_bytes, taken // frame_bytes, self.sample_rate)


def open_wav(descriptor: int) -> PcmReader:
    """Samples of a WAV stream: integers of 8 to 32 bits, floats of 32 or 64; of known length or not.

    Args:
        descriptor: of an open pipe or file, at its first byte.

    Raises:
        AudioError: not WAV, a damaged header, or another codec.
    """
    stream = Incoming(descriptor)
    return PcmReader.of_wav(stream, read_header(stream))


def open_raw(descriptor: int, encoding: str, *, sample_rate: int, channels: int = 1) -> PcmReader:
    """Samples of a stream without a header.

    Args:
        descriptor: of an open pipe or file.
        encoding: a key of `RAW_FORMATS`, such as "s16le".
        sample_rate: Hz, >= 1.
        channels: interleaved, >= 1.

    Raises:
        ValueError: an argument outside its range.
    """
    if encoding not in RAW_FORMATS:
        raise ValueError(f"unknown raw encoding {encoding!r}; expected one of {', '.join(RAW_FORMATS)}.")
    for name, value in (("sample_rate", sample_rate), ("channels", channels)):
        if value < 1:
            raise ValueError(f"{name} (={value}) must be >= 1.")
    return PcmReader(Incoming(descriptor), RAW_FORMATS[encoding], sample_rate=sample_rate, channels=channels)
