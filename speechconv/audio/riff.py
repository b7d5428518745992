"""The header of a WAV file or stream, read without looking past it.

    "RIFF" size "WAVE"  { chunk id, size, bytes, padded to an even count }  ...  "data" size  samples

Programs that write into a pipe cannot know the size: they leave 0, or a number near 2^31 or 2^32, and mean
"to the end".
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from speechconv.audio.error import AudioError
from speechconv.audio.pcm import RAW_FORMATS, Encoding
from speechconv.audio.plausible import check_channels

PCM, IEEE_FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
CODECS = {
    0x0002: "Microsoft ADPCM",
    0x0006: "A-law",
    0x0007: "mu-law",
    0x0011: "IMA ADPCM",
    0x0031: "GSM 6.10",
    0x0055: "MP3",
}
ONE_BY_ONE = (PCM, IEEE_FLOAT, 0x0006, 0x0007)
"""Codecs that store each sample by itself; `frame_bytes` of the others counts a block of many samples."""
WIDTHS = {
    PCM: {1: "u8", 2: "s16le", 3: "s24le", 4: "s32le"},
    IEEE_FLOAT: {4: "f32le", 8: "f64le"},
}
"""Codec -> bytes of a sample -> its name in `RAW_FORMATS`."""
PLACEHOLDERS = ((0x7FFF0000, 0x80000000), (0xFFFF0000, 0xFFFFFFFF))
"""Sizes that mean "unknown": sox writes 0x7FFFF000, arecord 0x7FFFFFFF or one more, ffmpeg 0xFFFFFFFF."""
LARGEST_FMT = 1 << 16


class Incoming:
    """Bytes of a pipe or of an unbuffered file, taken as they arrive; never more than asked for.

    Args:
        descriptor: of an open file or pipe, as `os.open` and `sys.stdin.fileno()` give.
        head: bytes that were read from it before; they come first.
    """

    def __init__(self, descriptor: int, head: bytes = b"") -> None:
        self._descriptor = descriptor
        self._head = head
        self.position = 0

    def some(self, most: int) -> bytes:
        """1 ... `most` bytes as soon as there are any; none at the end.

        Raises:
            AudioError: the operating system cannot read on.
        """
        if self.position < len(self._head):
            data = self._head[self.position : self.position + most]
            self.position += len(data)
            return data
        try:
            data = os.read(self._descriptor, most)
        except OSError as error:
            raise AudioError(f"reading failed after {self.position} bytes: {error.strerror}.", stage="open") from error
        self.position += len(data)
        return data

    def exactly(self, count: int) -> bytes:
        """`count` bytes, fewer only at the end."""
        data = b""
        while len(data) < count and (more := self.some(count - len(data))):
            data += more
        return data

    def skip(self, count: int) -> None:
        """Pass over `count` bytes, or what is left of them."""
        while count > 0 and (data := self.some(min(count, 1 << 16))):
            count -= len(data)


class WavHeader(NamedTuple):
    """What a WAV header tells.

    Attributes:
        codec: 1 for integers, 3 for floats, else another codec.
        channels: of each frame of samples.
        sample_rate: Hz.
        frame_bytes: bytes of one sample of every channel; of one block where the codec is not in `ONE_BY_ONE`.
        bits: of one sample.
        start: bytes before the first sample.
        data_bytes: bytes of samples; None where the writer did not know.
    """

    codec: int
    channels: int
    sample_rate: int
    frame_bytes: int
    bits: int
    start: int
    data_bytes: int | None

    @property
    def is_plain(self) -> bool:
        """Its samples fill their bytes, and `encoding` can tell how."""
        return self.bits * self.channels == 8 * self.frame_bytes and self.bits // 8 in WIDTHS.get(self.codec, ())

    @property
    def encoding(self) -> Encoding:
        """How the samples are stored.

        Raises:
            AudioError: not by integers of 8, 16, 24 or 32 bits nor by floats of 32 or 64.
        """
        if self.codec not in WIDTHS:
            codec = CODECS.get(self.codec, f"codec 0x{self.codec:04x}")
            raise _damaged(f"holds {codec}; expected PCM or float samples, so convert it first (ffmpeg, sox).")
        width, rest = divmod(self.frame_bytes, self.channels)
        if rest or width not in WIDTHS[self.codec]:
            raise _damaged(
                f"declares {self.frame_bytes} bytes for a sample of {self.channels} channel(s); "
                "expected 8, 16, 24 or 32 bits each, or floats of 32 or 64."
            )
        return RAW_FORMATS[WIDTHS[self.codec][width]]


def read_header(stream: Incoming) -> WavHeader:
    """The header of a WAV stream; the next byte of `stream` is then the first of its samples.

    Raises:
        AudioError: not WAV, or a header that is damaged or ends too soon.
    """
    magic, riff_size, kind = struct.unpack("<4sI4s", _need(stream, 12))
    if magic not in (b"RIFF", b"RF64"):
        raise AudioError(
            f"expected a WAV stream, which begins with 'RIFF'; this one begins with {magic!r}. "
            "If these are bare samples, say which: --raw s16le --rate 16000.",
            stage="decode",
        )
    if kind != b"WAVE":
        raise AudioError(f"expected a WAV, which is a RIFF file of kind b'WAVE', got kind {kind!r}.", stage="decode")
    fmt, long_size = None, None
    while True:
        name, size = struct.unpack("<4sI", _need(stream, 8))
        if name == b"data":
            break
        padded = size + size % 2
        if name == b"fmt " and size <= LARGEST_FMT:
            fmt = _need(stream, padded)
        elif name == b"ds64" and 16 <= size <= LARGEST_FMT:
            (long_size,) = struct.unpack_from("<Q", _need(stream, padded), 8)
        else:
            stream.skip(padded)
    if fmt is None:
        raise _damaged("has samples but no 'fmt ' chunk before them, which says how they are stored.")
    start = stream.position
    known = long_size if magic == b"RF64" and long_size else _known_size(size, riff_size, start)
    return WavHeader(*_parse_format(fmt), start, known)


def _parse_format(fmt: bytes) -> tuple[int, int, int, int, int]:
    """(codec, channels, sample rate, bytes of a frame, bits of a sample) of the "fmt " chunk."""
    if len(fmt) < 16:
        raise _damaged(f"has a 'fmt ' chunk of {len(fmt)} bytes; expected 16 or more.")
    codec, channels, sample_rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", fmt)
    if codec == EXTENSIBLE and len(fmt) >= 26:
        (codec,) = struct.unpack_from("<H", fmt, 24)  # the first field of the sub-format's GUID
    if not (channels and sample_rate and frame_bytes):
        raise _damaged(
            f"declares {channels} channels at {sample_rate} Hz, {frame_bytes} bytes a sample; expected >= 1 of each."
        )
    check_channels(channels)
    return codec, channels, sample_rate, frame_bytes, bits


def _known_size(size: int, riff_size: int, start: int) -> int | None:
    """Bytes of samples that the header declares; None where it holds a placeholder.

    0 is a placeholder too, unless the size of the whole file counts something behind the samples.
    """
    if _is_placeholder(size) or (size == 0 and (riff_size <= start - 8 or _is_placeholder(riff_size))):
        return None
    return size


def _is_placeholder(size: int) -> bool:
    return any(first <= size <= last for first, last in PLACEHOLDERS)


def _need(stream: Incoming, count: int) -> bytes:
    data = stream.exactly(count)
    if not stream.position:
        raise AudioError("is empty: it ends before the first byte.", stage="decode")
    if len(data) < count:
        raise _damaged(f"ends inside its header, after {stream.position} bytes.")
    return data


def _damaged(message: str) -> AudioError:
    return AudioError(f"the WAV {message}", stage="decode")
