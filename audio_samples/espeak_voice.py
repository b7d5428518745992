"""Speech: espeak-ng talks, soxr resamples."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

SPEECH_PEAK = 0.7  # full scale is 1; the headroom lets users add or filter without clipping
SILENCE = 0.01
"""Of the peak: what is softer at either end of a word is cut off."""

Waveform = NDArray[np.float64]
Real = TypeVar("Real", bound=np.floating[Any])


def espeak(*arguments: str) -> str:
    """Run espeak-ng and return what it printed.

    Raises:
        FileNotFoundError: it is not installed, with the cure.
        ValueError: it failed, with what it said.
    """
    if shutil.which("espeak-ng") is None:
        raise FileNotFoundError(
            "espeak-ng, which speaks, was not found; "
            "install it: `apt-get install espeak-ng` (Debian, Ubuntu) or `brew install espeak-ng` (macOS)."
        )
    done = subprocess.run(["espeak-ng", *arguments], check=False, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise ValueError(f"espeak-ng {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


def espeak_version() -> str:
    """The version number that `espeak-ng --version` prints, such as "1.51"."""
    printed = espeak("--version")
    found = re.search(r"text-to-speech: (\S+)", printed)
    if found is None:
        raise ValueError(f"expected a version number from `espeak-ng --version`, got {printed!r}")
    return found[1]


def say(text: str, voice: str, sample_rate: int, *manner: str) -> Waveform:
    """`text` spoken by an espeak-ng voice, at `sample_rate`, its largest absolute value SPEECH_PEAK; `manner` as for
    `spoken`."""
    samples, espeak_rate = spoken(text, voice, *manner)
    samples = soxr.resample(samples, espeak_rate, sample_rate)
    return SPEECH_PEAK / np.abs(samples).max() * samples


def spoken(text: str, voice: str, *manner: str) -> tuple[Waveform, int]:
    """`text` by an espeak-ng voice as it comes, and its sample rate; `manner` are more of espeak-ng's options."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        espeak("-v", voice, *manner, "-b", "1", "-w", str(path), text)  # -b 1: the text is UTF-8
        samples, sample_rate = soundfile.read(path)
    return np.asarray(samples, np.float64), sample_rate


def trimmed(samples: NDArray[Real]) -> NDArray[Real]:
    """Without the silence at both ends."""
    loud = np.flatnonzero(np.abs(samples) > SILENCE * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]
