"""Memory does not grow with the length of a sound."""

from __future__ import annotations

import wave
from pathlib import Path

from tests.extraction.runs import EXTRACT, manifest, peak_kibibytes
from tests.sounds import noise, s16


def write_noise(path: Path, minutes: int) -> None:
    minute = s16(noise(16000 * 60))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        for _ in range(minutes):
            file.writeframes(minute)


def peak_mebibytes(sound: Path, out: Path) -> float:
    """Of a command that extracts `sound`."""
    return peak_kibibytes(EXTRACT, sound, "--output", out) / 1024


def test_an_hour_takes_hardly_more_memory_than_a_minute(tmp_path: Path) -> None:
    peaks = {}
    for minutes in (1, 60):
        write_noise(tmp_path / "x.wav", minutes)
        peaks[minutes] = peak_mebibytes(tmp_path / "x.wav", tmp_path / f"{minutes}")
        assert manifest(tmp_path / f"{minutes}")[0]["frames"] == minutes * 6000 + 1
    assert peaks[60] - peaks[1] < 200, peaks
