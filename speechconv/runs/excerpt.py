"""The beginning of a sound as its features were made of it: that segment, channel and sample rate."""

from __future__ import annotations

import base64
import io
import os
import wave
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from speechconv.audio.error import AudioError
from speechconv.audio.files import AudioFile
from speechconv.audio.waveform import Source, Waveform
from speechconv.stores.manifest import ManifestLine

REACH = 0.1
"""Seconds behind the excerpt that are read too: a resampler looks ahead."""


def excerpt_of(line: ManifestLine, seconds: float) -> NDArray[np.float32]:
    """(samples,) at the line's sample rate, of `seconds` or of the whole sound where it is shorter.

    Raises:
        ValueError: the sound is gone, is not the one that was extracted, or cannot be read.
    """
    _check_same(line)
    wanted = min(line.num_samples, round(seconds * line.sample_rate))
    with AudioFile(line.audio) as sound:
        reach = wanted / line.sample_rate + REACH
        part = _Part(sound, line.start, reach if line.duration is None else min(reach, line.duration))
        waveform = Waveform(part, sample_rate=line.sample_rate, channel=line.channel)
        found = np.concatenate([np.zeros(0, np.float32), *waveform.blocks()])
    return found[:wanted]


def wav_data_uri(samples: NDArray[np.float32], sample_rate: int) -> str:
    """Samples within -1 ... 1 (clipped there) as a WAV of 16 bits.

    >>> wav_data_uri(np.zeros(4, np.float32), 16000)[:30]
    'data:audio/wav;base64,UklGRiwA'
    """
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setparams((1, 2, sample_rate, 0, "NONE", ""))
        file.writeframes((samples.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


def _check_same(line: ManifestLine) -> None:
    """A command's output is never asked for again; a file must be as old and as large as it was."""
    try:
        status = os.stat(line.audio)
    except (OSError, ValueError):
        raise AudioError("is no longer there.", stage="open") from None
    for known, now in ((line.audio_bytes, status.st_size), (line.audio_mtime_ns, status.st_mtime_ns)):
        if known not in (None, now):
            raise AudioError("has changed since.", stage="open")


class _Part:
    """Some seconds of a source."""

    def __init__(self, source: Source, start: float, seconds: float) -> None:
        self._source = source
        self.sample_rate, self.channels = source.sample_rate, source.channels
        self._start = round(start * source.sample_rate)
        self._stop = self._start + round(seconds * source.sample_rate)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        position = 0
        for block in self._source.blocks():
            piece = block[max(0, self._start - position) : max(0, self._stop - position)]
            position += len(block)
            if len(piece):
                yield piece
            if position >= self._stop:
                return
