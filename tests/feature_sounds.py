"""Sounds that feature presets are compared on, and how far apart two features are."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

import speechconv as sc

Array = NDArray[np.float64]
SAMPLES = Path(__file__).parent.parent / "audio_samples" / "speech"
SOUNDS = ("speech", "chirp", "noise", "tones", "near silence")
STREAMS = ("stft", "librosa-mel", "torchaudio-mel")
KALDI = ("kaldi-fbank", "kaldi-mfcc")
WHISPERS = {"whisper": 80, "whisper-128": 128}
WHOLE = ("librosa-mfcc", "torchaudio-mfcc", *WHISPERS)
CALIBRATED = ("seamless-fbank", "nemo-mel")
DTYPES = (torch.float64, torch.float32)


def read(file: Path) -> Array:
    samples, _ = soundfile.read(file, dtype="float64")
    return np.asarray(samples, np.float64)


def some_digits(real_speech: Path) -> list[Path]:
    """Five, of four speakers."""
    files = sorted(real_speech.glob("*.wav"))[::450]
    assert files
    return files


def sound(kind: str, samples: int = 24_000) -> Array:
    """1.5 s at 16 kHz, -1 ... 1."""
    rng = np.random.default_rng(0)
    time = np.arange(samples) / 16_000
    match kind:
        case "speech":
            return read(SAMPLES / "en_us_digits_16k.wav")[:samples]
        case "chirp":
            return 0.9 * np.sin(2 * np.pi * (20 * time + 7900 / 2 / time[-1] * time**2))
        case "noise":
            return 0.3 * rng.standard_normal(samples)
        case "tones":
            return (np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 3001.7 * time)) / 2
    return 1e-5 * rng.standard_normal(samples)


@functools.cache
def preset(name: str, **overrides: Any) -> sc.Pipeline:
    with warnings.catch_warnings():  # torchaudio's 128 bands on 201 bins: as there, some are empty
        warnings.filterwarnings("ignore", "[0-9]+ of 128 mel bands hold no FFT bin")
        return sc.Pipeline.from_preset(name, **overrides)


def features(
    name: str, x: Array, dtype: torch.dtype = torch.float64, *, stages: int | None = None, **overrides: Any
) -> NDArray:
    """Of the whole preset, or of its first `stages` alone."""
    pipe = preset(name, **overrides).to(dtype)
    if stages is not None:
        pipe = sc.Pipeline(list(pipe)[:stages], sample_rate=pipe.sample_rate)
    with torch.no_grad():
        return pipe(torch.from_numpy(x)[None].to(dtype))[0].numpy()


def apart(y: NDArray, expected: NDArray) -> float:
    """Largest difference."""
    assert y.shape == expected.shape
    return float(np.abs(y - expected).max())


def off(y: NDArray, expected: NDArray) -> float:
    """Largest difference, relative to the largest expected value."""
    return apart(y, expected) / float(np.abs(expected).max())


def off_l2(y: NDArray, expected: NDArray) -> float:
    return float(np.linalg.norm(y - expected) / np.linalg.norm(expected))
