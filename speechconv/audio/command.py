"""The sound that a shell command writes to its stdout: WAV as it comes, other formats when they are whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from speechconv.audio.error import AudioError
from speechconv.audio.files import open_sound
from speechconv.audio.pipe import PcmReader
from speechconv.audio.riff import Incoming, read_header
from speechconv.audio.segment import Segment, part
from speechconv.audio.sndfile import SndfileReader
from speechconv.audio.wav_file import WavReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEAD_BYTES = 1 << 16
"""Taken first, to see what it is."""
PATIENCE = 1.0
"""Seconds that a command may go on behind a fault of its sound, to tell how it ended."""
GUARDED = 'exec 3<&0 </dev/null; { read _; kill -9 0; } <&3 >/dev/null 2>&1 & exec 3<&-; exec /bin/sh -c "$1"'
"""Runs a command, and beside it a guard that reads from us: when we are killed, it ends the group; nobody else would.
The command's shell takes the place of this one, so its parent and its status are what they would be without."""


class AudioCommand:
    """The sound that a shell command writes to stdout, or a segment of it; a context manager.

    The command runs in a process group of its own, which is ended with the context, or with this process,
    whatever the command started.

    Args:
        command: for /bin/sh. Running it is as safe as whoever wrote it.
        start, duration: of the segment, in seconds; a pipe cannot seek, so what lies before it is read and dropped.

    Attributes:
        sample_rate: Hz.
        channels: of the sound.
        num_samples: of the segment, of each channel; None where the header does not tell.

    Raises:
        AudioError: the command fails, or writes no sound, or the segment is not in it.
        ValueError: a start or a duration outside its range.

    Example:
        >>> import numpy, shlex, soundfile, tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        ...     soundfile.write(file.name, numpy.zeros(16000), 8000)
        ...     with AudioCommand(f"cat {shlex.quote(file.name)}", start=0.5) as sound:
        ...         sound.num_samples, [block.shape for block in sound.blocks()]
        (12000, [(12000, 1)])
    """

    def __init__(self, command: str, start: float = 0.0, duration: float | None = None) -> None:
        self._segment = Segment(start, duration).check()
        self.num_samples: int | None = None
        self._file: IO[bytes] | None = None
        with contextlib.ExitStack() as held:
            self._talk = held.enter_context(tempfile.TemporaryFile())
            self._process = _start(command, self._talk)
            held.callback(_end, self._process)
            self._held = held
            self._source = self._open()
            self._held = held.pop_all()
        self.sample_rate: int = self._source.sample_rate
        self.channels: int = self._source.channels

    def __enter__(self) -> AudioCommand:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the command, and everything it started."""
        self._held.close()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(n, channels) samples, n >= 1 and fixed but for the last block; to be read once.

        Raises:
            AudioError: no samples, fewer than declared, or the command failed.
        """
        with self._told_by_the_command():
            if isinstance(self._source, PcmReader):
                yield from part(self._source.blocks(), self._segment, self.sample_rate, self.channels)
            else:
                yield from self._source.blocks()
        if self._segment.duration is None and self._file is None:
            self._read_to_the_end()
            self._check_status(self._process.wait())

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _open(self) -> PcmReader | SndfileReader | WavReader:
        """The reader of what the command writes."""
        descriptor = self._stdout.fileno()
        with self._told_by_the_command():
            head = Incoming(descriptor).exactly(HEAD_BYTES)
            if not head:
                raise AudioError("wrote nothing to its stdout; expected a sound.", stage="open")
            if head[:4] in (b"RIFF", b"RF64"):
                stream = Incoming(descriptor, head)
                header = read_header(stream)
                if header.is_plain:
                    declared = None if header.data_bytes is None else header.data_bytes // header.frame_bytes
                    span = self._segment.span(header.sample_rate, declared)
                    self.num_samples = None if declared is None else span.length
                    return PcmReader.of_wav(stream, header)
            self._file = self._whole(head)
            self._check_status(self._process.wait())
            source = open_sound(self._file.fileno(), os.fstat(self._file.fileno()).st_size, self._segment)
            if isinstance(source, SndfileReader):
                self._held.callback(source.close)
        self.num_samples = source.num_samples
        return source

    def _whole(self, head: bytes) -> IO[bytes]:
        """A file with everything that the command writes: libsndfile seeks."""
        file = self._held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed by close()
        file.write(head)
        shutil.copyfileobj(self._stdout, file)
        file.seek(0)
        return file

    def _read_to_the_end(self) -> None:
        while os.read(self._stdout.fileno(), HEAD_BYTES):
            pass

    @contextlib.contextmanager
    def _told_by_the_command(self) -> Iterator[None]:
        """A fault of the sound is the command's where that failed too."""
        try:
            yield
        except AudioError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._check_status(self._process.wait(PATIENCE))
            raise

    def _check_status(self, status: int) -> None:
        if status:
            how = f"was ended by signal {-status}" if status < 0 else f"failed with exit status {status}"
            raise AudioError(f"the command {how}: {self._last_words()}", stage="open")

    def _last_words(self) -> str:
        """The last line of its stderr."""
        size = self._talk.seek(0, os.SEEK_END)
        self._talk.seek(max(0, size - 4096))
        lines = self._talk.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing on stderr.")


def _start(command: str, talk: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", GUARDED, "sh", command],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=talk,
            start_new_session=True,
        )
    except OSError as error:
        raise AudioError(f"the command cannot be started: {error.strerror}.", stage="open") from error
    except ValueError as error:  # NUL or a lone surrogate in it
        raise AudioError(f"the command cannot be started: {error}.", stage="open") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and everything that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
