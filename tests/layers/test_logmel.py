"""The preset "logmel" on speech: librosa is the judge."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

import speechconv as sc


def read(file: Path) -> tuple[NDArray[np.float64], int]:
    """(channels, samples) and the sample rate."""
    samples, sample_rate = soundfile.read(file, always_2d=True)
    return np.ascontiguousarray(samples.T, dtype=np.float64), sample_rate


def librosa_mel(x: NDArray[np.float64], sample_rate: int, n_fft: int, hop_length: int) -> NDArray[np.float64]:
    """(frames, 80) before the logarithm, in float64."""
    return librosa.feature.melspectrogram(
        y=x, sr=sample_rate, n_fft=n_fft, hop_length=hop_length, n_mels=80, dtype=np.float64
    ).T


def assert_logmel_equals_librosas(x: NDArray[np.float64], sample_rate: int, n_fft: int, hop_length: int) -> None:
    pipe = sc.Pipeline.from_preset(
        "logmel", sample_rate=sample_rate, stft={"n_fft": n_fft, "hop_length": hop_length}
    ).double()
    expected = librosa_mel(x, sample_rate, n_fft, hop_length)
    wav = torch.as_tensor(x)[None]
    before_log = sc.Sequential(*list(pipe)[:-1])
    assert np.abs(before_log(wav)[0].numpy() - expected).max() <= 1e-12 * expected.max()
    # a bin of 1e-10 beside an amplitude of 100 holds a rounding of 1e-15 x 100 / sqrt(1e-10) = 1e-8 at worst
    assert np.abs(pipe(wav)[0].numpy() - np.log(np.maximum(expected, 1e-10))).max() <= 1e-8


@pytest.mark.parametrize(
    ("file", "n_fft", "hop_length"),
    [
        ("en_us_digits_16k.wav", 400, 160),
        ("en_gb_sentence_16k.flac", 400, 160),
        ("de_sentence_16k.wav", 400, 160),
        ("en_scotland_sentence_8k.wav", 400, 160),
        ("de_digits_8k.flac", 400, 80),
        ("en_us_sentence_44k.wav", 1103, 441),
        ("de_sentence_44k.flac", 2048, 441),
        ("two_speakers_16k.wav", 400, 160),
    ],
)
def test_logmel_of_speech_equals_librosas(audio_samples: Path, file: str, n_fft: int, hop_length: int) -> None:
    channels, sample_rate = read(audio_samples / "speech" / file)
    for samples in channels:
        assert_logmel_equals_librosas(samples, sample_rate, n_fft, hop_length)


def test_logmel_of_real_speech_equals_librosas(real_speech: Path) -> None:
    """Its twin above runs without the recordings."""
    files = sorted(real_speech.glob("*.wav"))[::50]
    assert len(files) >= 40
    for file in files:
        (samples,), sample_rate = read(file)
        assert sample_rate == 8000
        assert_logmel_equals_librosas(samples, sample_rate, 400, 160)
