"""Sound files in blocks of fixed size, so that memory does not grow with their length."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechconv.audio.error import AudioError
from speechconv.audio.pipe import PcmReader, open_wav, truncated
from speechconv.audio.riff import ONE_BY_ONE, Incoming, WavHeader, read_header

if TYPE_CHECKING:
    import numpy as np
    import soundfile
    from numpy.typing import NDArray

BLOCK_VALUES = 1 << 16
"""Samples of a block, all channels together."""
UNKNOWN_LENGTH = (0, 2**63 - 1)
"""What libsndfile says of a FLAC stream whose writer did not know its length."""


class AudioFile:
    """One sound file: whatever libsndfile reads, wav, flac, ogg and mp3 among them; a context manager.

    Args:
        path: a regular file.

    Attributes:
        sample_rate: Hz, of the file.
        channels: of the file.

    Raises:
        AudioError: no such file, no permission, empty, not a sound, or a WAV shorter than its header says.

    Example:
        >>> import numpy, soundfile, tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        ...     soundfile.write(file.name, numpy.zeros((70000, 2)), 8000)
        ...     with AudioFile(file.name) as sound:
        ...         sound.sample_rate, [block.shape for block in sound.blocks()]
        (8000, [(32768, 2), (32768, 2), (4464, 2)])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._descriptor = _open(path)
        try:
            self._source = self._decoder()
        except BaseException:
            os.close(self._descriptor)
            raise
        self.sample_rate: int = self._source.sample_rate
        self.channels: int = self._source.channels

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

    def _decoder(self) -> SndfileReader | PcmReader:
        header = self._wav_header()
        if header is not None and header.data_bytes is None:
            return open_wav(self._descriptor)
        if header is not None:
            _check_complete(header, os.fstat(self._descriptor).st_size)
        return SndfileReader(self._descriptor)

    def _wav_header(self) -> WavHeader | None:
        """The header of a WAV file; libsndfile does not tell whether the samples it declares are there."""
        stream = Incoming(self._descriptor)
        is_wav = stream.exactly(4) in (b"RIFF", b"RF64")
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        header = read_header(Incoming(self._descriptor)) if is_wav else None
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return header


class SndfileReader:
    """A sound file through libsndfile, forwards only.

    Args:
        descriptor: of the file at its first byte; not its path, which need not be UTF-8. It stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = _open_sndfile(descriptor)
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels

    def close(self) -> None:
        self._file.close()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        size = max(1, BLOCK_VALUES // self.channels)
        found = 0
        while len(block := self._read(size, found)):
            found += len(block)
            yield block
        declared = self._file.frames
        if declared not in UNKNOWN_LENGTH and found < declared:
            raise truncated(declared, found, self.sample_rate)
        if not found:
            raise AudioError("holds no samples, only a header.", stage="decode")

    def _read(self, size: int, found: int) -> NDArray[np.float32]:
        import numpy as np
        import soundfile

        try:
            return np.asarray(self._file.read(size, dtype="float32", always_2d=True), np.float32)
        except soundfile.LibsndfileError as error:
            seconds = found / self.sample_rate
            raise AudioError(
                f"is truncated or damaged: decoding failed behind {seconds:.3f} s: {error.error_string}",
                stage="decode",
            ) from error


def _open_sndfile(descriptor: int) -> soundfile.SoundFile:
    import soundfile

    class Forwards(soundfile.SoundFile):
        """Never seeks, which soundfile otherwise does after each read, and FLAC of unknown length cannot."""

        def seekable(self) -> bool:
            return False

    try:
        return Forwards(descriptor, closefd=False)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"is not a sound file that can be read (wav, flac, ogg, mp3): {error.error_string}",
            stage="decode",
        ) from error


def _open(path: str | os.PathLike[str]) -> int:
    """A descriptor of a regular file that is not empty."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise AudioError("is a folder; expected a sound file.", stage="open")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError("is not a regular file; feed pipes to `speechconv stream`.", stage="open")
        if not status.st_size:
            raise AudioError("is empty (0 bytes).", stage="open")
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise AudioError(f"cannot be opened: {error.strerror}.", stage="open") from error


def _check_complete(header: WavHeader, file_bytes: int) -> None:
    present, declared = file_bytes - header.start, header.data_bytes
    if declared is None or present >= declared:
        return
    if header.codec in ONE_BY_ONE:
        raise truncated(declared // header.frame_bytes, present // header.frame_bytes, header.sample_rate)
    raise AudioError(
        f"is truncated or damaged: it declares {declared} bytes of sound, of which {present} are there.",
        stage="decode",
    )
