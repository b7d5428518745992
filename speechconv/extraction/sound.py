"""One pass over one input: its samples at the pipeline's rate, and what the manifest says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechconv.audio.files import AudioFile
from speechconv.audio.waveform import Waveform
from speechconv.extraction.inputs import Input
from speechconv.extraction.recipe import Recipe

Samples = NDArray[np.float32]


class LeftOut(Exception):
    """A sound whose duration is not wanted.

    Attributes:
        duration: seconds.
        reason: such as "shorter than 0.5 s".
    """

    def __init__(self, duration: float, reason: str) -> None:
        super().__init__(reason)
        self.duration = duration
        self.reason = reason


class Pass:
    """Reads an input from its beginning, once.

    Args:
        item: the input.
        recipe: says which channel, and what durations are wanted.
        sample_rate: of the pipeline, Hz.

    Attributes:
        num_samples: given so far.
        described: fields of the manifest's line; complete when all blocks were given.
    """

    def __init__(self, item: Input, recipe: Recipe, sample_rate: int) -> None:
        self.described: dict[str, Any] = {}
        self.num_samples = 0
        self._item = item
        self._recipe = recipe
        self._sample_rate = sample_rate

    def blocks(self) -> Iterator[Samples]:
        """(n,) samples, n >= 0.

        Raises:
            AudioError: a fault of the sound.
            LeftOut: it is too short or too long.
        """
        item, recipe = self._item, self._recipe
        channel = recipe.channel if item.channel is None else item.channel
        with item.open() as sound:
            status = sound.status if isinstance(sound, AudioFile) else None
            self._check_duration(sound.num_samples, sound.sample_rate)
            waveform = Waveform(sound, sample_rate=self._sample_rate, channel=channel, resample=recipe.resample)
            for block in waveform.blocks():
                self.num_samples += len(block)
                yield block
        self._check_duration(waveform.source_samples, sound.sample_rate)
        self.described = {
            "id": item.id,
            "audio": item.audio,
            "start": item.start,
            "duration": item.duration,
            "channel": channel,
            "sample_rate": self._sample_rate,
            "num_samples": waveform.num_samples,
            "audio_sample_rate": sound.sample_rate,
            "audio_num_samples": waveform.source_samples,
            "audio_channels": sound.channels,
            "audio_bytes": status and status.st_size,
            "audio_mtime_ns": status and status.st_mtime_ns,
            "audio_sha256": None if status is None or recipe.identity == "stat" else content(item.audio),
            "peak": waveform.peak,
            "rms": waveform.rms,
            "clipped": waveform.clipped,
        }

    def _check_duration(self, samples: int | None, sample_rate: int) -> None:
        if samples is None:
            return
        seconds, recipe = samples / sample_rate, self._recipe
        if seconds < recipe.min_duration:
            raise LeftOut(seconds, f"shorter than {recipe.min_duration:g} s")
        if recipe.max_duration is not None and seconds > recipe.max_duration:
            raise LeftOut(seconds, f"longer than {recipe.max_duration:g} s")


def content(path: str) -> str:
    """sha256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
