"""Recordings of one channel, at the one sample rate that a recipe takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechconv.audio.error import AudioError
from speechconv.audio.files import AudioFile

Samples = NDArray[np.float32]


def read_recording(path: Path, sample_rate: int) -> Samples:
    """All samples of a recording.

    Raises:
        ValueError: a file that cannot be read, is damaged or empty, has another sample rate, or several channels.
    """
    with _opened(path, sample_rate) as file:
        return np.concatenate(list(file.blocks()))[:, 0]


def num_samples(path: Path, sample_rate: int) -> int:
    """Of a recording, by its header.

    Raises:
        ValueError: as `read_recording`, as far as the header tells; or one that does not tell.
    """
    with _opened(path, sample_rate) as file:
        if not file.num_samples:
            raise ValueError(f"{path} holds no samples, or its header does not tell how many.")
        return file.num_samples


@contextmanager
def _opened(path: Path, sample_rate: int) -> Iterator[AudioFile]:
    try:
        with AudioFile(path) as file:
            if (file.sample_rate, file.channels) != (sample_rate, 1):
                raise ValueError(
                    f"{path} has {file.sample_rate} Hz and {file.channels} channel(s); this recipe takes "
                    f"{sample_rate} Hz and one."
                )
            yield file
    except AudioError as error:
        raise ValueError(f"{path}: {error}") from None
