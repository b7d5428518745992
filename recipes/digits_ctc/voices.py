"""Make espeak-ng say the digits in many voices, for training beside real speakers.

    python recipes/digits_ctc/voices.py --output voices        # needs espeak-ng

Written as the Free Spoken Digit Dataset is, with takes from 5 on: all of them are for training.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from audio_samples.espeak_voice import espeak_version, spoken, trimmed
from recipes.ctc.command import run_command
from recipes.ctc.recordings import Samples
from recipes.digits_ctc.corpus import DIGITS, OFFICIAL_TAKES, SAMPLE_RATE

VOICES = {
    "usm1": "en-us+m1",
    "usm3": "en-us+m3",
    "usf1": "en-us+f1",
    "usf3": "en-us+f3",
    "gb": "en-gb",  # espeak-ng 1.51 ignores a variant behind it
    "scm4": "en-gb-scotland+m4",
    "rpf4": "en-gb-x-rp+f4",
    "wmm5": "en-gb-x-gbcwmd+m5",
    "clm2": "en-gb-x-gbclan+m2",
    "caf2": "en-029+f2",
}
"""A speaker's name here, and espeak-ng's. The variants m7 and f5 are audio_samples', for the test."""
TAKES = (("-s", "140", "-p", "40"), ("-s", "170", "-p", "50"), ("-s", "200", "-p", "60"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("voices"), help="folder for the recordings")
    args = parser.parse_args(arguments)
    run_command(lambda: print(f"{write(args.output)} recordings in {args.output}"))


def write(output: Path) -> int:
    """Make all recordings; their number.

    Raises:
        FileNotFoundError: espeak-ng is not installed.
        ValueError: it fails.
    """
    espeak_version()
    folder = output / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for speaker, voice in VOICES.items():
        for digit, word in enumerate(DIGITS.tokens):
            for take, manner in enumerate(TAKES, OFFICIAL_TAKES):
                soundfile.write(folder / f"{digit}_{speaker}_{take}.wav", say(word, voice, *manner), SAMPLE_RATE)
                count += 1
    return count


def say(word: str, voice: str, *manner: str) -> Samples:
    """A word by espeak-ng, at 8 kHz, without silence at its ends, its peak half of full scale."""
    sound, rate = spoken(word, voice, *manner)
    sound = trimmed(soxr.resample(sound.astype(np.float32), rate, SAMPLE_RATE))
    return sound * (0.5 / np.abs(sound).max())


if __name__ == "__main__":
    main()
