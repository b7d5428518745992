"""Sound files in blocks of fixed size, so that memory does not grow with their length."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechconv.audio.error import AudioError, truncated
from speechconv.audio.riff import ONE_BY_ONE, Incoming, WavHeader, read_header
from speechconv.audio.segment import Segment
from speechconv.audio.sndfile import SndfileReader
from speechconv.audio.wav_file import WavReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEAD_BYTES = 1 << 12
"""Read of every file first; WAV headers end within it."""
SMALL_BYTES = 1 << 16
"""A file of up to this size is read at once."""
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""Without waiting for the writer of a named pipe, which is refused."""


class AudioFile:
    """One sound file, or a segment of one: whatever libsndfile reads, wav, flac, ogg and mp3 among them; a context
    manager.

    Args:
        path: a regular file.
        start, duration: of the segment, in seconds; what lies before and behind it is not read. See `Segment`.

    Attributes:
        sample_rate: Hz, of the file.
        channels: of the file.
        num_samples: of the segment, of each channel; None where the header does not tell.
        status: of the file that was opened, as `os.stat` gives it.

    Raises:
        AudioError: no such file, no permission, empty, not a sound, a WAV shorter than its header says where the
            segment wants what is missing, or a segment that begins or ends behind the file.
        ValueError: a start or a duration outside its range.

    Example:
        >>> import numpy, soundfile, tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        ...     soundfile.write(file.name, numpy.zeros((70000, 2)), 8000)
        ...     with AudioFile(file.name) as sound:
        ...         sound.sample_rate, [block.shape for block in sound.blocks()]
        ...     with AudioFile(file.name, start=1.0, duration=0.5) as sound:
        ...         sound.num_samples, [block.shape for block in sound.blocks()]
        (8000, [(32768, 2), (32768, 2), (4464, 2)])
        (4000, [(4000, 2)])
    """

    def __init__(self, path: str | os.PathLike[str], start: float = 0.0, duration: float | None = None) -> None:
        segment = Segment(start, duration).check()
        self._descriptor = _open(path)
        try:
            self.status = os.fstat(self._descriptor)
            _check_regular(self.status)
            self._source = open_sound(self._descriptor, self.status.st_size, segment)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.sample_rate: int = self._source.sample_rate
        self.channels: int = self._source.channels
        self.num_samples: int | None = self._source.num_samples

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if isinstance(self._source, SndfileReader):
            self._source.close()
        os.close(self._descriptor)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels) samples, n >= 1 and fixed but for the last block; to be read once.

        Raises:
            AudioError: no samples, a damaged stretch, or fewer samples than declared.
        """
        return self._source.blocks()


def open_sound(descriptor: int, size: int, segment: Segment) -> WavReader | SndfileReader:
    """The reader for an open file of `size` bytes.

    Args:
        descriptor: at the file's first byte; it stays open.

    Raises:
        AudioError: not a sound, or a segment that is not in it.
    """
    try:
        head = os.read(descriptor, size if size <= SMALL_BYTES else HEAD_BYTES)
    except OSError as error:
        raise AudioError(f"cannot be read: {error.strerror}.", stage="open") from error
    if head[:4] in (b"RIFF", b"RF64"):
        header = read_header(Incoming(descriptor, head))
        if header.is_plain:
            return WavReader(descriptor, header, size, head, segment)
        _check_complete(header, size)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return SndfileReader(descriptor, segment)


def _open(path: str | os.PathLike[str]) -> int:
    try:
        return os.open(path, OPEN_FLAGS)
    except OSError as error:
        raise AudioError(f"cannot be opened: {error.strerror}.", stage="open") from error
    except ValueError as error:  # NUL or a lone surrogate in it
        raise AudioError(f"cannot be opened: no file can have this name ({error}).", stage="open") from error


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise AudioError("is a folder; expected a sound file.", stage="open")
    if not stat.S_ISREG(status.st_mode):
        raise AudioError("is not a regular file; feed pipes to `speechconv stream`.", stage="open")
    if not status.st_size:
        raise AudioError("is empty (0 bytes).", stage="open")


def _check_complete(header: WavHeader, file_bytes: int) -> None:
    """AudioError where samples in another codec are missing; libsndfile does not tell."""
    present, declared = file_bytes - header.start, header.data_bytes
    if declared is None or present >= declared:
        return
    if header.codec in ONE_BY_ONE:
        raise truncated(declared // header.frame_bytes, present // header.frame_bytes, header.sample_rate)
    raise AudioError(
        f"is truncated or damaged: it declares {declared} bytes of sound, of which {present} are there.",
        stage="decode",
    )
