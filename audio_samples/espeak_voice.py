"""Speech: espeak-ng talks, soxr resamples."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

SPEECH_PEAK = 0.7  # full scale is 1; the headroom lets users add or filter without clipping

Waveform = NDArray[np.float64]


def espeak(*arguments: str) -> str:
    """Run espeak-ng and return what it printed; leave with the cure if it is not installed."""
    if shutil.which("espeak-ng") is None:
        sys.exit(
            "espeak-ng is needed to make the speech samples and was not found; "
            "install it: `apt-get install espeak-ng` (Debian, Ubuntu) or `brew install espeak-ng` (macOS)."
        )
    return subprocess.run(["espeak-ng", *arguments], check=True, capture_output=True, encoding="utf-8").stdout


def espeak_version() -> str:
    """The version number that `espeak-ng --version` prints, such as "1.51"."""
    printed = espeak("--version")
    found = re.search(r"text-to-speech: (\S+)", printed)
    if found is None:
        sys.exit(f"expected a version number from `espeak-ng --version`, got {printed!r}")
    return found[1]


def say(text: str, voice: str, sample_rate: int, *manner: str) -> Waveform:
    """`text` spoken by an espeak-ng voice, at `sample_rate`, its largest absolute value SPEECH_PEAK; `manner` are more
    of espeak-ng's options."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        espeak("-v", voice, *manner, "-b", "1", "-w", str(path), text)  # -b 1: the text is UTF-8
        samples, espeak_rate = soundfile.read(path)
    samples = soxr.resample(samples, espeak_rate, sample_rate)
    return SPEECH_PEAK / np.abs(samples).max() * samples
