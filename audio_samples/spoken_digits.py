"""Spoken digits by espeak-ng: for each voice the ten digits, twice, in a row in one file, and where each of them lies.

recipes/digits_ctc takes the folder as --data, as it takes the Free Spoken Digit Dataset.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from espeak_voice import Waveform, say, trimmed

SAMPLE_RATE = 8000
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TAKES = (("-s", "150", "-p", "42"), ("-s", "185", "-p", "58"))
"""espeak-ng's words a minute and pitch (0 to 99) of each take."""
FIRST_TAKE = 4
"""The Free Spoken Digit Dataset tests on takes 0 to 4, so one take is on either side of its split."""


@dataclass(frozen=True)
class Voice:
    """One speaker: a name for the file, and espeak-ng's."""

    name: str
    espeak: str

    @property
    def how_made(self) -> str:
        takes = " and ".join(f"`{' '.join(take)}`" for take in TAKES)
        return f"espeak-ng `{self.espeak}`: zero to nine, {takes}"


VOICES = (  # espeak-ng 1.51 ignores a variant behind plain en-gb
    Voice("usm1", "en-us+m1"),
    Voice("usm3", "en-us+m3"),
    Voice("usf1", "en-us+f1"),
    Voice("gb", "en-gb"),
    Voice("rpf2", "en-gb-x-rp+f2"),
    Voice("scm2", "en-gb-scotland+m2"),
    Voice("usm7", "en-us+m7"),
    Voice("clf5", "en-gb-x-gbclan+f5"),
)


@cache
def clips(voice: Voice) -> list[Waveform]:
    """Each take's ten digits, in order."""
    return [trimmed(say(word, voice.espeak, SAMPLE_RATE, *take)) for take in TAKES for word in WORDS]


def spoken(voice: Voice) -> Waveform:
    """All of a voice's digits in a row."""
    return np.concatenate(clips(voice))


def write_clips(path: Path) -> None:
    """A JSON list: of each digit its file, first sample, samples, digit, speaker and take."""
    lines: list[str] = []
    for voice in VOICES:
        start = 0
        for number, clip in enumerate(clips(voice)):
            take, digit = divmod(number, len(WORDS))
            place = {"file": f"{voice.name}.flac", "start": start, "samples": len(clip)}
            lines.append(json.dumps(place | {"digit": digit, "speaker": voice.name, "take": FIRST_TAKE + take}))
            start += len(clip)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")
