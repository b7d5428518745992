"""The files of audio_samples/: the README's table tells the truth, and the signals are what they claim."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[1] / "audio_samples"
ROW = re.compile(
    r"^\| \[(?P<path>[^\]]+)\]\((?P=path)\) \| [^|]+ "
    r"\| (?P<sample_rate>\d+) \| (?P<channels>\d+) \| (?P<seconds>[\d.]+) \| `(?P<sha256>[0-9a-f]{64})` \|$",
    re.MULTILINE,
)
STEP_16_BIT = 2.0**-15


class Row(NamedTuple):
    """One line of the README's table."""

    path: str
    sample_rate: int
    channels: int
    seconds: float
    sha256: str


def read_table() -> list[Row]:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    return [
        Row(row["path"], int(row["sample_rate"]), int(row["channels"]), float(row["seconds"]), row["sha256"])
        for row in ROW.finditer(readme)
    ]


TABLE = read_table()
each_row = pytest.mark.parametrize("row", TABLE, ids=[row.path for row in TABLE])


def audio_files() -> list[Path]:
    return sorted(path for path in FOLDER.rglob("*") if path.suffix in {".wav", ".flac"})


def test_no_two_files_hold_the_same_sound() -> None:
    """espeak-ng says nothing when it does not know a voice's variant, and speaks as if there were none."""
    sounds = [hashlib.sha256(soundfile.read(path)[0].tobytes()).hexdigest() for path in audio_files()]
    assert len(set(sounds)) == len(sounds)


def load(path: str) -> tuple[NDArray[np.float64], int]:
    """The decoded samples, of shape (samples, channels), and the sample rate."""
    samples, sample_rate = soundfile.read(FOLDER / path, always_2d=True)
    return np.asarray(samples, dtype=np.float64), sample_rate


def spectral_peak(samples: NDArray[np.float64], sample_rate: int) -> tuple[float, float]:
    """The frequency and the amplitude of the strongest sine, exact if it has whole periods in `samples`."""
    amplitudes = np.abs(np.fft.rfft(samples)) * 2 / len(samples)
    peak = int(np.argmax(amplitudes))
    return peak * sample_rate / len(samples), float(amplitudes[peak])


# The table and the files.


def test_table_lists_every_audio_file_once() -> None:
    files = [path.relative_to(FOLDER).as_posix() for path in audio_files()]
    assert files
    assert sorted(row.path for row in TABLE) == files


@each_row
def test_table_states_the_sha256_of_the_file(row: Row) -> None:
    assert hashlib.sha256((FOLDER / row.path).read_bytes()).hexdigest() == row.sha256


@each_row
def test_table_states_rate_channels_and_seconds_of_the_file(row: Row) -> None:
    samples, sample_rate = load(row.path)
    assert sample_rate == row.sample_rate
    assert samples.shape[1] == row.channels
    assert row.seconds == pytest.approx(len(samples) / sample_rate, abs=0.5e-4)  # printed with four decimals


def test_the_readme_states_the_espeak_version() -> None:
    assert re.search(r"espeak-ng \d+\.\d+", (FOLDER / "README.md").read_text(encoding="utf-8"))


def test_all_files_together_are_under_2_megabytes() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 2_000_000


# What a reader of audio files must meet here.


@pytest.mark.parametrize("kind", ["speech", "signals"])
@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100])
def test_every_sample_rate_is_present(kind: str, sample_rate: int) -> None:
    assert sample_rate in {row.sample_rate for row in TABLE if row.path.startswith(kind)}


@pytest.mark.parametrize("kind", ["speech", "signals"])
@pytest.mark.parametrize("channels", [1, 2])
def test_mono_and_stereo_are_present(kind: str, channels: int) -> None:
    assert channels in {row.channels for row in TABLE if row.path.startswith(kind)}


@pytest.mark.parametrize(
    "stored_as", [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24")], ids="-".join
)
def test_every_format_is_present(stored_as: tuple[str, str]) -> None:
    infos = [soundfile.info(path) for path in audio_files()]
    assert stored_as in {(info.format, info.subtype) for info in infos}


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_file_is_what_its_name_says(suffix: str) -> None:
    files = [path for path in audio_files() if path.suffix == suffix]
    assert files
    assert {soundfile.info(path).format for path in files} == {suffix[1:].upper()}


def test_the_24_bit_file_uses_its_lower_8_bits() -> None:
    samples, _ = load("signals/tones_stereo_44k.flac")
    steps = samples * 2.0**23
    assert np.array_equal(steps, np.round(steps))
    assert np.any(steps % 2**8 != 0)


# Speech.


@pytest.mark.parametrize("language", ["en", "de"])
def test_speech_is_there_in_two_languages(language: str) -> None:
    assert len([row for row in TABLE if row.path.startswith(f"speech/{language}_")]) >= 2


@pytest.mark.parametrize("row", [row for row in TABLE if row.path.startswith("speech/")], ids=lambda row: row.path)
def test_speech_lasts_1_to_4_seconds_is_loud_and_never_clips(row: Row) -> None:
    samples, _ = load(row.path)
    assert 1 <= row.seconds <= 4
    assert np.all(np.abs(samples).max(axis=0) == pytest.approx(0.7, abs=STEP_16_BIT))
    assert np.all(np.sqrt(np.mean(samples**2, axis=0)) > 0.02)


def test_two_speakers_are_two_voices_in_two_channels_at_16_khz() -> None:
    samples, sample_rate = load("speech/two_speakers_16k.wav")
    assert sample_rate == 16000
    left, right = samples.T
    assert abs(np.corrcoef(left, right)[0, 1]) < 0.1


# Signals with known answers.


@pytest.mark.parametrize(
    ("path", "channel", "frequency", "amplitude", "step"),
    [
        ("signals/tone_16k.wav", 0, 1000, 0.5, STEP_16_BIT),
        ("signals/tones_stereo_44k.flac", 0, 1000, 0.5, 2.0**-23),
        ("signals/tones_stereo_44k.flac", 1, 3000, 0.25, 2.0**-23),
    ],
)
def test_tone_has_its_frequency_and_amplitude(
    path: str, channel: int, frequency: float, amplitude: float, step: float
) -> None:
    samples, sample_rate = load(path)
    tone = samples[:, channel]
    peak_frequency, peak_amplitude = spectral_peak(tone, sample_rate)
    assert peak_frequency == frequency
    assert peak_amplitude == pytest.approx(amplitude, abs=step)
    t = np.arange(len(tone)) / sample_rate
    rest = tone - amplitude * np.sin(2 * np.pi * frequency * t)
    assert np.abs(rest).max() < 0.501 * step  # nothing but rounding is left


@pytest.mark.parametrize("path", ["signals/chirp_16k.wav", "signals/chirp_44k.flac"])
def test_chirp_rises_in_a_line_from_0_to_8000_hz(path: str) -> None:
    samples, sample_rate = load(path)
    seconds = len(samples) / sample_rate
    # The strongest frequency of a 20 ms window is the chirp's at the window's middle. The outermost windows
    # are left out, since 0 Hz and the Nyquist frequency fold there; the others' line is drawn to both ends.
    n = sample_rate // 50
    starts = np.arange(n, len(samples) - 2 * n, n)
    window = np.hanning(n)
    found = [
        spectral_peak(np.pad(samples[start : start + n, 0] * window, (0, 9 * n)), sample_rate)[0] for start in starts
    ]
    times = (starts + (n - 1) / 2) / sample_rate
    slope, f_start = np.polyfit(times, found, 1)
    # Zero padding to ten times the length puts the bins 5 Hz apart; the tolerances are four bins.
    assert f_start == pytest.approx(0, abs=20)
    assert f_start + slope * seconds == pytest.approx(8000, abs=20)
    assert np.abs(f_start + slope * times - found).max() < 20
    assert np.abs(samples).max() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("path", "positions"),
    [("signals/impulse_16k.wav", [4000]), ("signals/impulses_stereo_8k.wav", [1000, 3000])],
)
def test_impulse_is_one_sample_at_its_position(path: str, positions: list[int]) -> None:
    samples, _ = load(path)
    assert samples.shape[1] == len(positions)
    for channel, position in zip(samples.T, positions, strict=True):
        assert np.flatnonzero(channel).tolist() == [position]
        assert channel[position] == 0.5


@pytest.mark.parametrize("path", ["signals/silence_16k.wav", "signals/silence_8k.flac"])
def test_silence_is_exactly_zero(path: str) -> None:
    samples, sample_rate = load(path)
    assert len(samples) == sample_rate
    assert not np.any(samples)


# make_samples.py


def run_script(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the folder's make_samples.py; `path` stands for PATH, where the script looks for espeak-ng."""
    return subprocess.run(
        [sys.executable, str(folder / "make_samples.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=None if path is None else {**os.environ, "PATH": path},
    )


def copy_folder(to: Path) -> Path:
    return shutil.copytree(FOLDER, to / "audio_samples", ignore=shutil.ignore_patterns("__pycache__"))


def test_check_finds_the_committed_signals_equal_to_their_formulas() -> None:
    result = run_script(FOLDER, "--check")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("path", ["signals/silence_16k.wav", "signals/tone_16k.wav"])
def test_check_names_a_sample_that_is_one_step_off(tmp_path: Path, path: str) -> None:
    folder = copy_folder(tmp_path)
    samples, sample_rate = soundfile.read(folder / path, dtype="int16")
    samples[123] += 1
    soundfile.write(folder / path, samples, sample_rate)
    result = run_script(folder, "--check")
    assert result.returncode == 1
    assert f"{path}: 1 values differ, first at sample 123: expected " in result.stderr


def test_check_names_a_missing_file_and_a_wrong_rate(tmp_path: Path) -> None:
    folder = copy_folder(tmp_path)
    (folder / "signals/silence_8k.flac").unlink()
    samples, _ = soundfile.read(folder / "signals/tone_16k.wav", dtype="int16")
    soundfile.write(folder / "signals/tone_16k.wav", samples, 8000)
    result = run_script(folder, "--check")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "signals/tone_16k.wav: expected sample rate 16000, got 8000",
        "signals/silence_8k.flac: the file is missing",
    ]


def test_without_espeak_the_script_says_how_to_install_it(tmp_path: Path) -> None:
    result = run_script(copy_folder(tmp_path), path=str(tmp_path / "empty"))
    assert result.returncode == 1
    assert "`apt-get install espeak-ng`" in result.stderr
    assert "`brew install espeak-ng`" in result.stderr
