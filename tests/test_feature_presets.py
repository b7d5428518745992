"""The presets of librosa, torchaudio, Whisper, Seamless and NeMo, each against the real thing.

Sounds: speech, a full-band chirp and noise, tones at full scale, near-silence. Tolerances are those that float32 and
float64 reach with head-room of 3 to 5, relative to the largest expected value where nothing else is said.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from transformers import ParakeetFeatureExtractor, SeamlessM4TFeatureExtractor, WhisperFeatureExtractor

import speechconv as sc

Array = NDArray[np.float64]
SAMPLES = Path(__file__).parent.parent / "audio_samples" / "speech"
SOUNDS = ("speech", "chirp", "noise", "tones", "near silence")
each_sound = pytest.mark.parametrize("kind", SOUNDS)
STREAMS = ("stft", "librosa-mel", "torchaudio-mel")
WHOLE = ("librosa-mfcc", "torchaudio-mfcc", "whisper", "whisper-128")
CALIBRATED = ("seamless-fbank", "nemo-mel")


def read(file: Path) -> Array:
    samples, _ = soundfile.read(file, dtype="float64")
    return np.asarray(samples, np.float64)


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


def features(name: str, x: Array, dtype: torch.dtype = torch.float64, **overrides: Any) -> NDArray:
    pipe = preset(name, **overrides).to(dtype)
    with torch.no_grad():
        return pipe(torch.from_numpy(x)[None].to(dtype))[0].numpy()


def off(y: NDArray, expected: NDArray) -> float:
    """Largest difference, relative to the largest expected value."""
    assert y.shape == expected.shape
    return float(np.abs(y - expected).max() / np.abs(expected).max())


@contextmanager
def double_constants() -> Iterator[None]:
    """torchaudio builds its windows, banks and cosines in torch's default type."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


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
# float64, float32: n_fft 2048's spectrum, mels, decibels (5e-3 dB before the DCT; of hundreds of dB behind it)
TOLERANCES = {
    "stft": (1e-13, 5e-6),
    "librosa-mel": (1e-12, 2e-6),
    "librosa-mfcc": (1e-10, 1e-4),
    "torchaudio-mel": (1e-12, 2e-6),
    "torchaudio-mfcc": (1e-10, 1e-4),
}


@pytest.mark.parametrize("name", JUDGES)
@each_sound
def test_librosas_and_torchaudios_presets_equal_theirs(name: str, kind: str) -> None:
    x = sound(kind)
    rate = preset(name).sample_rate
    expected = JUDGES[name](x, rate)
    in_double, in_single = TOLERANCES[name]
    assert off(features(name, x), expected) <= in_double
    assert off(features(name, x, torch.float32), expected) <= in_single


def assert_digits_equal(files: list[Path]) -> None:
    for file in files:
        assert soundfile.info(file).samplerate == 8000
        x = read(file)[:12_000]
        for name, judge in JUDGES.items():
            assert off(features(name, x, sample_rate=8000), judge(x, 8000)) <= TOLERANCES[name][0]
            assert off(features(name, x, torch.float32, sample_rate=8000), judge(x, 8000)) <= TOLERANCES[name][1]


def test_at_8_khz_speech_has_the_features_of_librosa_and_torchaudio(audio_samples: Path) -> None:
    assert_digits_equal([audio_samples / "speech" / "en_scotland_sentence_8k.wav"])


def test_at_8_khz_real_speech_has_the_features_of_librosa_and_torchaudio(real_speech: Path) -> None:
    assert_digits_equal(sorted(real_speech.glob("*.wav"))[::200])


# Whisper


def whisper_in_double(x: Array, n_mels: int) -> Array:
    """WhisperFeatureExtractor's own definition, plainly and in float64 (theirs rounds spectra to float32)."""
    x = np.pad(x, (0, max(0, 480_000 - len(x))))
    spectrum = librosa.stft(x, n_fft=400, hop_length=160, pad_mode="reflect", dtype=np.complex128)[:, :-1]
    mel = WhisperFeatureExtractor(feature_size=n_mels).mel_filters.T @ np.abs(spectrum) ** 2
    log = np.log10(np.maximum(mel, 1e-10))
    return ((np.maximum(log, log.max() - 8) + 4) / 4).T


@pytest.mark.parametrize(("name", "n_mels"), [("whisper", 80), ("whisper-128", 128)])
@each_sound
def test_whisper_equals_transformers_feature_extractor(name: str, n_mels: int, kind: str) -> None:
    x = sound(kind)
    theirs = WhisperFeatureExtractor(feature_size=n_mels)(x, sampling_rate=16_000, truncation=False)
    y = features(name, x, torch.float32)
    assert y.shape == (3000, n_mels)
    assert np.abs(y - theirs["input_features"][0].T).max() <= 2e-4
    assert np.abs(features(name, x) - whisper_in_double(x, n_mels)).max() <= 1e-9


@pytest.mark.parametrize("samples", [480_000, 480_001, 480_159, 480_160, 500_000])
def test_whisper_leaves_longer_input_whole(samples: int) -> None:
    x = np.tile(sound("speech"), 21)[:samples]
    theirs = WhisperFeatureExtractor()(x, sampling_rate=16_000, truncation=False)["input_features"][0].T
    y = features("whisper", x, torch.float32)
    assert len(y) == samples // 160 == preset("whisper").output_lengths(samples)
    assert np.abs(y - theirs).max() <= 2e-4


def test_whisper_of_real_speech_equals_transformers(real_speech: Path) -> None:
    """Digits of 8 kHz, taken for 16 kHz: speech that is twice as fast."""
    for file in sorted(real_speech.glob("*.wav"))[::400]:
        x = read(file)
        theirs = WhisperFeatureExtractor()(x, sampling_rate=16_000, truncation=False)["input_features"][0].T
        assert np.abs(features("whisper", x, torch.float32) - theirs).max() <= 2e-4


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


@pytest.mark.parametrize("kind", ["speech", "noise"])
@pytest.mark.parametrize("samples", [24_000, 24_160])
def test_seamless_equals_transformers_feature_extractor(kind: str, samples: int) -> None:
    """Theirs rounds spectra and logarithms to float32. An odd last frame counts in the statistics and is dropped."""
    x = sound(kind, 24_160)[:samples]
    expected = seamless(x)
    y = features("seamless-fbank", x)
    assert len(y) == preset("seamless-fbank").output_lengths(samples) == (1 + (samples - 400) // 160) // 2
    assert np.abs(y - expected).max() <= 1e-4
    assert np.abs(features("seamless-fbank", x, torch.float32) - expected).max() <= 2e-3


def nemo(x: Array) -> NDArray:
    y = ParakeetFeatureExtractor()(x, sampling_rate=16_000, return_tensors="np")["input_features"][0]
    return y[: len(x) // 160]


def nemo_in_double(x: Array) -> Array:
    extractor = ParakeetFeatureExtractor()
    bank = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=80, dtype=np.float64)
    extractor.mel_filters = torch.from_numpy(bank)
    emphasised = torch.from_numpy(np.append(x[:1], x[1:] - 0.97 * x[:-1]))
    with double_constants():
        log = extractor._torch_extract_fbank_features(emphasised[None])[0, : len(x) // 160].numpy()
    return (log - log.mean(0)) / (log.std(0, ddof=1) + 1e-5)


@pytest.mark.parametrize("kind", ["speech", "noise"])
@pytest.mark.parametrize("samples", [24_000, 23_999])
def test_nemo_equals_transformers_feature_extractor(kind: str, samples: int) -> None:
    x = sound(kind)[:samples]
    y = features("nemo-mel", x)
    assert len(y) == samples // 160 == preset("nemo-mel").output_lengths(samples)
    assert np.abs(y - nemo_in_double(x)).max() <= 1e-9
    assert np.abs(y - nemo(x)).max() <= 1e-3  # theirs is float32 throughout
    assert np.abs(features("nemo-mel", x, torch.float32) - nemo_in_double(x)).max() <= 1e-3


def test_seamless_and_nemo_of_real_speech_equal_transformers(real_speech: Path) -> None:
    """Digits of 8 kHz, taken for 16 kHz."""
    for file in sorted(real_speech.glob("*.wav"))[::400]:
        x = read(file)
        assert np.abs(features("seamless-fbank", x) - seamless(x)).max() <= 1e-4
        assert np.abs(features("nemo-mel", x) - nemo_in_double(x)).max() <= 1e-9


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


# The law


@pytest.mark.parametrize("name", [*STREAMS, *CALIBRATED])
def test_what_can_stream_keeps_the_law(name: str) -> None:
    pipe = preset(name)
    if name in CALIBRATED:
        pipe = sc.Pipeline.from_toml(pipe.to_toml()).calibrate(torch.from_numpy(sound("speech"))[None].float())
    if name == "stft":  # the check compares real numbers
        pipe = sc.Pipeline([sc.ConvSTFT(2048, hop_length=512, output="real_imag")], sample_rate=22_050)
    assert sc.check_streaming(pipe, tolerance=1e-11).worst <= 1e-11


@pytest.mark.parametrize("name", [*STREAMS[1:], *WHOLE, *CALIBRATED])
def test_a_batch_padded_with_nan_equals_its_rows(name: str) -> None:
    pipe = preset(name).double()
    rows = [torch.from_numpy(s) for s in (sound("noise", 9000), sound("speech", 24_000)[:700], sound("tones", 4001))]
    lengths = [9000, 700, 4001]
    batch = torch.full((3, 9100), torch.nan, dtype=torch.float64)
    for padded, row in zip(batch, rows, strict=True):
        padded[: len(row)] = row
    y, frames = pipe(batch, torch.tensor(lengths))
    for i, row in enumerate(rows):
        alone = pipe(row[None])[0]
        assert frames[i] == len(alone) == pipe.output_lengths(len(row))
        assert (y[i, : frames[i]] - alone).abs().max() <= 1e-10 * alone.abs().max().clip(min=1)
        assert not y[i, frames[i] :].any()


@pytest.mark.parametrize("name", [*WHOLE, *CALIBRATED])
def test_what_needs_the_whole_utterance_says_what_to_use_instead(name: str) -> None:
    pipe = preset(name)
    with pytest.raises(sc.NotStreamable, match=r"cannot stream: .* Instead: ") as caught:
        pipe.stream()
    path, word = {
        "whisper": ("minimum_length", "the pipeline without this stage"),
        "whisper-128": ("minimum_length", "the pipeline without this stage"),
        "librosa-mfcc": ("dynamic_range", "a fixed floor: Log(floor=...) without this stage"),
        "torchaudio-mfcc": ("dynamic_range", "a fixed floor: Log(floor=...) without this stage"),
        "seamless-fbank": ("cmvn", "statistics='frozen' with calibrate(audio), and save() for the command line"),
        "nemo-mel": ("cmvn", "statistics='frozen' with calibrate(audio), and save() for the command line"),
    }[name]
    assert (caught.value.path, caught.value.alternatives[0]) == (path, word)


@pytest.mark.parametrize("name", [*STREAMS, *WHOLE, *CALIBRATED])
def test_a_preset_survives_toml(name: str) -> None:
    pipe = preset(name)
    text = pipe.to_toml()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[0-9]+ of 128 mel bands hold no FFT bin")
        assert sc.Pipeline.from_toml(text).to_toml() == text
    assert not pipe.fresh_random
