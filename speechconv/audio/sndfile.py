"""Sounds through libsndfile: flac, ogg, mp3, and WAV in other codecs than plain samples."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechconv.audio.error import AudioError, truncated
from speechconv.audio.plausible import check_channels
from speechconv.audio.segment import Segment, block_length, part

if TYPE_CHECKING:
    import numpy as np
    import soundfile
    from numpy.typing import NDArray

INEXACT_SEEK = ("OGG", "MP3", "MPEG")
"""Formats in which libsndfile does not find the samples that reading from the start would give: MP3 borrows bits from
frames before, Ogg's last page is off by up to a page's cut, Opus needs a run-up. They are read up to the segment."""
UNKNOWN_LENGTH = (0, 2**63 - 1)
"""What libsndfile says of a FLAC stream whose writer did not know its length."""


class SndfileReader:
    """A segment of a sound file through libsndfile, forwards only.

    Args:
        descriptor: of the file at its first byte; not its path, which need not be UTF-8. It stays open.
        segment: which part.

    Attributes:
        num_samples: of the segment, of each channel; None where the file's writer did not know.

    Raises:
        AudioError: not a sound, or see `Segment.span`.
    """

    def __init__(self, descriptor: int, segment: Segment) -> None:
        self._file = _open_sndfile(descriptor)
        try:
            self.sample_rate: int = self._file.samplerate
            self.channels: int = self._file.channels
            check_channels(self.channels)
            self._segment = segment
            self._total = None if self._file.frames in UNKNOWN_LENGTH else self._file.frames
            self._first, self.num_samples = segment.span(self.sample_rate, self._total)
            if self._total is None:
                self.num_samples = None
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Let go of libsndfile's part; the descriptor stays open."""
        self._file.close()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels) samples, n >= 1 and fixed but for the last block.

        Raises:
            AudioError: no samples, a damaged stretch, or fewer samples than declared.
        """
        if self._total is None and self._segment != Segment():
            return part(self._until(None, 0), self._segment, self.sample_rate, self.channels)
        if self._first and self._file.format in INEXACT_SEEK:
            self._pass_over()
        elif self._first:
            self._seek()
        return self._until(self.num_samples, self._first)

    def _seek(self) -> None:
        import soundfile

        try:
            self._file.seek(self._first)
        except soundfile.LibsndfileError as error:
            raise self._damaged(self._first, error) from error

    def _pass_over(self) -> None:
        """Read up to the segment."""
        at, size = 0, block_length(self.channels)
        while at < self._first and (found := len(self._read(min(size, self._first - at), at))):
            at += found
        if at < self._first:
            raise truncated(self._total or self._first, at, self.sample_rate)

    def _until(self, count: int | None, first: int) -> Iterator[NDArray[np.float32]]:
        """`count` samples from where the file stands, at sample `first`; None: all that follow."""
        size, found = block_length(self.channels), 0
        while found != count:
            block = self._read(size if count is None else min(size, count - found), first + found)
            if not len(block):
                break
            found += len(block)
            yield block
        if count is not None and found < count:
            raise truncated(self._total or count, first + found, self.sample_rate)
        if not found:
            raise AudioError("holds no samples, only a header.", stage="decode")

    def _read(self, size: int, at: int) -> NDArray[np.float32]:
        import numpy as np
        import soundfile

        try:
            return np.asarray(self._file.read(size, dtype="float32", always_2d=True), np.float32)
        except soundfile.LibsndfileError as error:
            raise self._damaged(at, error) from error

    def _damaged(self, at: int, error: soundfile.LibsndfileError) -> AudioError:
        seconds = at / self.sample_rate
        return AudioError(
            f"is truncated or damaged: decoding failed behind {seconds:.3f} s: {error.error_string}", stage="decode"
        )


def _open_sndfile(descriptor: int) -> soundfile.SoundFile:
    import soundfile

    try:
        return _forwards()(descriptor, closefd=False)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"is not a sound file that can be read (wav, flac, ogg, mp3): {error.error_string}",
            stage="decode",
        ) from error


@functools.cache
def _forwards() -> type[soundfile.SoundFile]:
    import soundfile

    class Forwards(soundfile.SoundFile):
        """Never seeks by itself, which soundfile otherwise does after each read, and FLAC of unknown length cannot."""

        def seekable(self) -> bool:
            return False

    return Forwards
