"""The presets of librosa, torchaudio, Whisper, Seamless and NeMo, each against the real thing.

Sounds: speech, a full-band chirp and noise, tones at full scale, near-silence. Tolerances are the ones promised for
spectra, mels, decibels and Whisper (largest difference relative to the largest value; L2 relative to L2), or else 3 to
10 times the worst difference measured, which stands beside each.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from transformers import ParakeetFeatureExtractor, SeamlessM4TFeatureExtractor, WhisperFeatureExtractor

from tests.feature_sounds import (
    CALIBRATED,
    DTYPES,
    SOUNDS,
    WHISPERS,
    Array,
    apart,
    features,
    off,
    off_l2,
    preset,
    read,
    some_digits,
    sound,
)
from tests.precision import double_constants

each_sound = pytest.mark.parametrize("kind", SOUNDS)


def torchaudio_features(kind: str, x: Array, sample_rate: int) -> Array:
    """One row alone, in float64."""
    import torchaudio

    with double_constants(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "At least one mel filterbank has all zero values")
        transform = getattr(torchaudio.transforms, kind)(sample_rate)
        return transform(torch.from_numpy(x)).T.numpy()


JUDGES: dict[str, Callable[[Array, int], NDArray]] = {
    "stft": lambda x, _: librosa.stft(x, dtype=np.complex128).T,
    "librosa-mel": lambda x, sr: librosa.feature.melspectrogram(y=x, sr=sr, dtype=np.float64).T,
    "librosa-mfcc": lambda x, sr: librosa.feature.mfcc(y=x, sr=sr, dtype=np.float64).T,
    "torchaudio-mel": lambda x, sr: torchaudio_features("MelSpectrogram", x, sr),
    "torchaudio-mfcc": lambda x, sr: torchaudio_features("MFCC", x, sr),
}
# (float64, float32). Promised for an FFT's spectra; worst measured 4.9e-16, 1.7e-7 and in L2 3.5e-16, 1.3e-7
SPECTRUM, SPECTRUM_L2 = (2e-15, 1e-6), (1e-15, 5e-7)
# Promised for mels, which have no row for L2; worst 3.5e-14, 2.2e-7
MEL = (1e-12, 2e-6)
# In dB, at most 80 below the largest, before the DCT. Promised: 1e-8, 5e-3; worst 3.2e-12, 1.6e-3
DECIBELS = (2e-11, 5e-3)
# Behind the DCT; worst 4.7e-15, 1.2e-6
CEPSTRA = (3e-14, 5e-6)
TOLERANCES = {
    "stft": SPECTRUM,
    "librosa-mel": MEL,
    "librosa-mfcc": CEPSTRA,
    "torchaudio-mel": MEL,
    "torchaudio-mfcc": CEPSTRA,
}


def assert_theirs(name: str, x: Array, **overrides: Any) -> None:
    rate = preset(name, **overrides).sample_rate
    expected = JUDGES[name](x, rate)
    for i, dtype in enumerate(DTYPES):
        y = features(name, x, dtype, **overrides)
        assert off(y, expected) <= TOLERANCES[name][i]
        if name == "stft":
            assert off_l2(y, expected) <= SPECTRUM_L2[i]
        if name.endswith("mfcc"):
            decibels = librosa.power_to_db(JUDGES[name.replace("mfcc", "mel")](x, rate))
            assert apart(features(name, x, dtype, stages=-1, **overrides), decibels) <= DECIBELS[i]


@pytest.mark.parametrize("name", JUDGES)
@each_sound
def test_librosas_and_torchaudios_presets_equal_theirs(name: str, kind: str) -> None:
    assert_theirs(name, sound(kind))


def assert_theirs_at_8_khz(files: list[Path]) -> None:
    for file in files:
        assert soundfile.info(file).samplerate == 8000
        for name in JUDGES:
            assert_theirs(name, read(file)[:12_000], sample_rate=8000)


def test_at_8_khz_speech_has_the_features_of_librosa_and_torchaudio(audio_samples: Path) -> None:
    assert_theirs_at_8_khz([audio_samples / "speech" / "en_scotland_sentence_8k.wav"])


def test_at_8_khz_real_speech_has_the_features_of_librosa_and_torchaudio(real_speech: Path) -> None:
    assert_theirs_at_8_khz(some_digits(real_speech))


# Whisper


def whisper_in_double(x: Array, n_mels: int) -> Array:
    """WhisperFeatureExtractor's own definition, plainly and in float64 (theirs rounds spectra to float32)."""
    x = np.pad(x, (0, max(0, 480_000 - len(x))))
    spectrum = librosa.stft(x, n_fft=400, hop_length=160, pad_mode="reflect", dtype=np.complex128)[:, :-1]
    mel = WhisperFeatureExtractor(feature_size=n_mels).mel_filters.T @ np.abs(spectrum) ** 2
    log = np.log10(np.maximum(mel, 1e-10))
    return ((np.maximum(log, log.max() - 8) + 4) / 4).T


def assert_whispers(name: str, x: Array) -> None:
    """float32 as promised, worst 5.8e-5; float64, of which 1e-9 is promised, worst 2.8e-13."""
    n_mels = WHISPERS[name]
    theirs = WhisperFeatureExtractor(feature_size=n_mels)(x, sampling_rate=16_000, truncation=False)
    y = features(name, x, torch.float32)
    assert y.shape == (3000, n_mels)
    assert apart(y, theirs["input_features"][0].T) <= 2e-4
    assert apart(features(name, x), whisper_in_double(x, n_mels)) <= 2e-12


@pytest.mark.parametrize("name", WHISPERS)
@each_sound
def test_whisper_equals_transformers_feature_extractor(name: str, kind: str) -> None:
    assert_whispers(name, sound(kind))


@pytest.mark.parametrize("samples", [480_000, 480_001, 480_159, 480_160, 500_000])
def test_whisper_leaves_longer_input_whole(samples: int) -> None:
    x = np.tile(sound("speech"), 21)[:samples]
    theirs = WhisperFeatureExtractor()(x, sampling_rate=16_000, truncation=False)["input_features"][0].T
    y = features("whisper", x, torch.float32)
    assert len(y) == samples // 160 == preset("whisper").output_lengths(samples)
    assert np.abs(y - theirs).max() <= 2e-4


@pytest.mark.parametrize("name", WHISPERS)
def test_whisper_of_real_speech_equals_transformers(name: str, real_speech: Path) -> None:
    """Digits of 8 kHz, taken for 16 kHz: speech that is twice as fast."""
    for file in some_digits(real_speech):
        assert_whispers(name, read(file))


def test_whispers_frames_are_counted_as_they_come() -> None:
    pipe = preset("whisper")
    counts = {0: 0, 1: 3000, 479_999: 3000, 480_000: 3000, 480_160: 3001, 1_000_000: 6250}
    assert [pipe.output_lengths(n) for n in counts] == list(counts.values())
    assert pipe.output_lengths(torch.tensor(list(counts))).tolist() == list(counts.values())
    assert pipe.float()(torch.zeros(1, 0)).shape == (1, 0, 80)


# Seamless and NeMo


def seamless(x: Array) -> NDArray:
    y = SeamlessM4TFeatureExtractor()(x, sampling_rate=16_000, return_tensors="np")["input_features"][0]
    return y[: (1 + (len(x) - 400) // 160) // 2]


def assert_seamless(x: Array) -> None:
    """Theirs rounds spectra and logarithms to float32: 1e-4 is promised, worst 9.9e-6. In float32, quiet bands that
    hardly move are divided by how much they move; worst 9.1e-4."""
    expected = seamless(x)
    assert apart(features("seamless-fbank", x), expected) <= 1e-4
    assert apart(features("seamless-fbank", x, torch.float32), expected) <= 3e-3


@pytest.mark.parametrize("kind", ["speech", "noise"])
@pytest.mark.parametrize("samples", [24_000, 24_160])
def test_seamless_equals_transformers_feature_extractor(kind: str, samples: int) -> None:
    """An odd last frame counts in the statistics and is dropped."""
    assert preset("seamless-fbank").output_lengths(samples) == (1 + (samples - 400) // 160) // 2
    assert_seamless(sound(kind, 24_160)[:samples])


def nemo(x: Array) -> NDArray:
    y = ParakeetFeatureExtractor()(x, sampling_rate=16_000, return_tensors="np")["input_features"][0]
    return y[: len(x) // 160]


def nemo_logarithms(x: Array) -> Array:
    """In float64, before each band is normalised."""
    extractor = ParakeetFeatureExtractor()
    bank = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=80, dtype=np.float64)
    extractor.mel_filters = torch.from_numpy(bank)
    emphasised = torch.from_numpy(np.append(x[:1], x[1:] - 0.97 * x[:-1]))
    with double_constants():
        return extractor._torch_extract_fbank_features(emphasised[None])[0, : len(x) // 160].numpy()


def assert_nemo(x: Array) -> None:
    """Worst 6.4e-13; in float32, where bands hardly move, ours 4.2e-4 and theirs 8.1e-4."""
    logarithms = nemo_logarithms(x)
    expected = (logarithms - logarithms.mean(0)) / (logarithms.std(0, ddof=1) + 1e-5)
    y = features("nemo-mel", x)
    assert apart(y, expected) <= 5e-12
    assert apart(features("nemo-mel", x, torch.float32), expected) <= 2e-3
    assert apart(y, nemo(x)) <= 3e-3  # theirs is float32 throughout


@pytest.mark.parametrize("kind", ["speech", "noise"])
@pytest.mark.parametrize("samples", [24_000, 23_999])
def test_nemo_equals_transformers_feature_extractor(kind: str, samples: int) -> None:
    assert preset("nemo-mel").output_lengths(samples) == samples // 160
    assert_nemo(sound(kind)[:samples])


@pytest.mark.parametrize("assert_equal", [assert_seamless, assert_nemo])
def test_seamless_and_nemo_of_speech_taken_for_16_khz_equal_transformers(
    assert_equal: Callable[[Array], None], audio_samples: Path
) -> None:
    assert_equal(read(audio_samples / "speech" / "en_scotland_sentence_8k.wav")[:12_000])


@pytest.mark.parametrize("assert_equal", [assert_seamless, assert_nemo])
def test_seamless_and_nemo_of_real_speech_equal_transformers(
    assert_equal: Callable[[Array], None], real_speech: Path
) -> None:
    """Digits of 8 kHz, taken for 16 kHz."""
    for file in some_digits(real_speech):
        assert_equal(read(file))


# Stages before the normalisation, their judge, its float64 tolerance: Seamless' rounds to float32, worst 1.0e-6; NeMo's
# does not, worst 2.1e-12
LOGARITHMS = {
    "seamless-fbank": (3, SeamlessM4TFeatureExtractor()._extract_fbank_features, 5e-6),
    "nemo-mel": (4, nemo_logarithms, 1e-11),
}


@pytest.mark.parametrize("name", CALIBRATED)
@each_sound
def test_before_the_normalisation_logarithms_are_transformers(name: str, kind: str) -> None:
    """float32 on bands within 70 dB of the frame's largest; worst 1.7e-4."""
    stages, judge, tolerance = LOGARITHMS[name]
    x = sound(kind)
    expected = judge(x)
    loud = expected >= expected.max(1, keepdims=True) - 7 * np.log(10)
    assert apart(features(name, x, stages=stages), expected) <= tolerance
    assert apart(features(name, x, torch.float32, stages=stages)[loud], expected[loud]) <= 1e-3


@pytest.mark.parametrize(("name", "samples", "shape"), [("seamless-fbank", 400, (0, 160)), ("nemo-mel", 160, (1, 80))])
def test_one_valid_frame_alone_gives_no_nan(name: str, samples: int, shape: tuple[int, int]) -> None:
    y = features(name, sound("noise", samples))
    assert y.shape == shape
    assert not y.any()
    padded = torch.full((2, 4000), torch.nan, dtype=torch.float64)
    padded[0], padded[1, :samples] = torch.randn(4000), 1.0
    z, frames = preset(name).double()(padded, torch.tensor([4000, samples]))
    assert z.isfinite().all()
    assert frames[1] == shape[0]
    assert not z[1].any()
