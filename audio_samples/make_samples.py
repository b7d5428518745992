"""Make every audio sample of this folder, and the table in README.md.

    python audio_samples/make_samples.py            # write speech/, digits/, signals/ and the table (needs espeak-ng)
    python audio_samples/make_samples.py --check    # compare signals/ with the formulas; writes nothing

The signals are formulas, the speech is espeak-ng's. Waveforms are float64, of shape `(samples,)` or, as
soundfile has it, `(samples, channels)`. A file holds each value rounded to the nearest step of its subtype.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import spoken_digits
from espeak_voice import Waveform, espeak_version, say
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
TABLE_BEGIN = "<!-- table: begin, written by make_samples.py -->"
TABLE_END = "<!-- table: end -->"
STEP = {"PCM_16": 2.0**-15, "PCM_24": 2.0**-23, "FLOAT": 2.0**-24}  # FLOAT: the widest gap of float32 below 1


@dataclass(frozen=True)
class Sample:
    """One file: where it goes, in what format, what the table says of it and the function that makes it."""

    path: str
    sample_rate: int
    how_made: str
    make: Callable[[], Waveform]
    subtype: str = "PCM_16"


# Signals: the formula is the whole truth.


def tone(frequency: float, amplitude: float, *, sample_rate: int, seconds: float = 1.0) -> Waveform:
    """amplitude * sin(2 pi frequency t), with t = n / sample_rate."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    return amplitude * np.sin(2 * np.pi * frequency * t)


def chirp(f_end: float, amplitude: float, *, sample_rate: int, seconds: float = 1.0) -> Waveform:
    """A linear chirp: the instantaneous frequency is f_end * t / seconds, so it starts at 0 Hz."""
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    return amplitude * np.sin(np.pi * f_end / seconds * t**2)


def impulse(position: int, *, n_samples: int, amplitude: float = 0.5) -> Waveform:
    """Zeros, but for `amplitude` at sample `position` (counted from 0)."""
    samples = np.zeros(n_samples)
    samples[position] = amplitude
    return samples


def stereo(left: Waveform, right: Waveform) -> Waveform:
    """Two mono waveforms side by side; the shorter is followed by zeros."""
    n_samples = max(len(left), len(right))
    return np.stack([np.pad(channel, (0, n_samples - len(channel))) for channel in (left, right)], axis=1)


# Speech.


def speech(path: str, sample_rate: int, voice: str, text: str) -> Sample:
    """One speaker, mono."""
    return Sample(path, sample_rate, f'espeak-ng `{voice}`: "{text}"', lambda: say(text, voice, sample_rate))


def dialogue(path: str, sample_rate: int, left: tuple[str, str], right: tuple[str, str]) -> Sample:
    """Two speakers at once, a channel each; a speaker is (voice, text)."""
    return Sample(
        path,
        sample_rate,
        f'espeak-ng, left `{left[0]}`: "{left[1]}", right `{right[0]}`: "{right[1]}"',
        lambda: stereo(say(left[1], left[0], sample_rate), say(right[1], right[0], sample_rate)),
    )


SPEECH = [
    speech("speech/en_us_digits_16k.wav", 16000, "en-us", "zero one two three four five six"),
    speech("speech/en_us_m7_digits_8k.flac", 8000, "en-us+m7", "four, seven, one, nine, two"),
    speech("speech/en_lancashire_f5_digits_16k.flac", 16000, "en-gb-x-gbclan+f5", "three, one, four, one, five, nine"),
    speech("speech/en_gb_sentence_16k.flac", 16000, "en-gb", "The quick brown fox jumps over the lazy dog."),
    speech("speech/en_scotland_sentence_8k.wav", 8000, "en-gb-scotland", "Please leave a message after the tone."),
    speech("speech/en_us_sentence_44k.wav", 44100, "en-us+f4", "Speech is a wave in air."),
    speech("speech/de_sentence_16k.wav", 16000, "de", "Heute scheint die Sonne über den Bergen."),
    speech("speech/de_digits_8k.flac", 8000, "de+f3", "null eins zwei drei vier fünf"),
    speech("speech/de_sentence_44k.flac", 44100, "de+m3", "Der Zug fährt um acht Uhr ab."),
    dialogue(
        "speech/two_speakers_16k.wav",
        16000,
        left=("en-us+m3", "Good morning, how are you today?"),
        right=("de+f2", "Guten Morgen, wie geht es Ihnen heute?"),
    ),
]

DIGITS = [
    Sample(f"digits/{voice.name}.flac", spoken_digits.SAMPLE_RATE, voice.how_made, partial(spoken_digits.spoken, voice))
    for voice in spoken_digits.VOICES
]

SIGNALS = [
    Sample(
        "signals/tone_16k.wav",
        16000,
        "1000 Hz sine, amplitude 0.5, phase 0",
        lambda: tone(1000, 0.5, sample_rate=16000),
    ),
    Sample(
        "signals/tones_stereo_44k.flac",
        44100,
        "left: 1000 Hz sine, amplitude 0.5; right: 3000 Hz sine, amplitude 0.25; 24-bit",
        lambda: stereo(tone(1000, 0.5, sample_rate=44100), tone(3000, 0.25, sample_rate=44100)),
        subtype="PCM_24",
    ),
    Sample(
        "signals/chirp_16k.wav",
        16000,
        "linear chirp, 0 Hz to 8000 Hz, amplitude 0.5; float32",
        lambda: chirp(8000, 0.5, sample_rate=16000),
        subtype="FLOAT",
    ),
    Sample(
        "signals/chirp_44k.flac",
        44100,
        "linear chirp, 0 Hz to 8000 Hz, amplitude 0.5",
        lambda: chirp(8000, 0.5, sample_rate=44100),
    ),
    Sample(
        "signals/impulse_16k.wav",
        16000,
        "0.5 at sample 4000 (the first is 0), else zeros",
        lambda: impulse(4000, n_samples=16000),
    ),
    Sample(
        "signals/impulses_stereo_8k.wav",
        8000,
        "0.5 at sample 1000 (left) and at sample 3000 (right), else zeros",
        lambda: stereo(impulse(1000, n_samples=8000), impulse(3000, n_samples=8000)),
    ),
    Sample("signals/silence_16k.wav", 16000, "zeros", lambda: np.zeros(16000)),
    Sample("signals/silence_8k.flac", 8000, "zeros", lambda: np.zeros(8000)),
]


# Files and the table.


def quantise(samples: Waveform, subtype: str) -> NDArray[Any]:
    """Round to the nearest step, as the integers (or float32) that soundfile stores untouched."""
    if subtype == "FLOAT":
        return samples.astype(np.float32)
    steps = np.round(samples / STEP[subtype])
    if subtype == "PCM_24":
        return steps.astype(np.int32) << 8  # soundfile keeps the upper 24 bits of an int32
    return steps.astype(np.int16)


def clear_time_stamp(path: Path) -> None:
    """Zero the time of writing that libsndfile puts into a float WAV, so that the bytes can be made again."""
    data = bytearray(path.read_bytes())
    chunk = data.find(b"PEAK", 0, 128)  # the chunk: id, size, version, time stamp, four bytes each
    if chunk >= 0:
        data[chunk + 12 : chunk + 16] = bytes(4)
        path.write_bytes(data)


def write(sample: Sample) -> None:
    """Make one sample and write its file."""
    path = HERE / sample.path
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, quantise(sample.make(), sample.subtype), sample.sample_rate, subtype=sample.subtype)
    if sample.subtype == "FLOAT":
        clear_time_stamp(path)


def table_row(sample: Sample) -> str:
    """The README's line for one written file; all but how it was made is read from the file."""
    path = HERE / sample.path
    info = soundfile.info(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    cells = [f"[{sample.path}]({sample.path})", sample.how_made, str(info.samplerate), str(info.channels)]
    return "| " + " | ".join([*cells, f"{info.frames / info.samplerate:.4f}", f"`{sha256}`"]) + " |"


def write_table() -> None:
    """Replace what stands between the README's two markers."""
    readme = HERE / "README.md"
    before, begin, rest = readme.read_text(encoding="utf-8").partition(TABLE_BEGIN)
    _, end, after = rest.partition(TABLE_END)
    if not (begin and end):
        sys.exit(f"expected the lines {TABLE_BEGIN!r} and {TABLE_END!r} in README.md; put them back.")
    lines = [
        f"Speech by espeak-ng {espeak_version()}.",
        "",
        "| file | how made | sample rate Hz | channels | seconds | sha256 |",
        "|---|---|---:|---:|---:|---|",
        *(table_row(sample) for sample in SPEECH + DIGITS + SIGNALS),
    ]
    readme.write_text("\n".join([before + begin, *lines, end + after]), encoding="utf-8", newline="\n")


def difference(sample: Sample) -> str | None:
    """How the file differs from the formula rounded to the nearest step; None if it does not."""
    path = HERE / sample.path
    if not path.exists():
        return f"{sample.path}: the file is missing"
    info = soundfile.info(path)
    expected = sample.make()
    stored, _ = soundfile.read(path, dtype="float64")
    for name, want, got in (
        ("sample rate", sample.sample_rate, info.samplerate),
        ("subtype", sample.subtype, info.subtype),
        ("shape", expected.shape, stored.shape),
    ):
        if want != got:
            return f"{sample.path}: expected {name} {want}, got {got}"
    # Half a step is the rounding; 1e-9 of full scale is far more than libraries differ in sin(x).
    wrong = np.argwhere(np.abs(stored - expected) > STEP[sample.subtype] / 2 + 1e-9)
    if len(wrong) == 0:
        return None
    at = tuple(wrong[0])
    first = f"first at sample {at[0]}: expected {expected[at]}, got {stored[at]}"
    return f"{sample.path}: {len(wrong)} values differ, {first}"


def check() -> int:
    """Compare every signal with its file; the exit code: 0 if all are equal, 1 if not."""
    differences = [text for text in map(difference, SIGNALS) if text]
    for text in differences:
        print(text, file=sys.stderr)
    if not differences:
        print(f"{len(SIGNALS)} signals equal their files")
    return 1 if differences else 0


def main() -> int:
    """Parse the command line, then make or check."""
    parser = argparse.ArgumentParser(description="Make the audio samples and the table in README.md.")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing: compare the signals, made in memory, with their files (no espeak-ng needed)",
    )
    if parser.parse_args().check:
        return check()
    try:
        for sample in SPEECH + DIGITS + SIGNALS:
            write(sample)
        spoken_digits.write_clips(HERE / "digits" / "clips.json")
        write_table()
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
