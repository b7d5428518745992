"""What a bank does to sound, judged by numpy frame by frame and by librosa's STFT."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch

from speechconv.verification.sound import sound
from tests.verification.banks import Array, dft, hann, noise, pairs, real_only


@pytest.fixture(scope="module")
def speech() -> Array:
    samples, _ = soundfile.read(Path(__file__).parents[2] / "audio_samples" / "speech" / "en_us_digits_16k.wav")
    return samples[:24000]


def spoken(name: str, speech: Array, request: pytest.FixtureRequest) -> Array:
    if name == "recorded":
        folder: Path = request.getfixturevalue("real_speech")
        return soundfile.read(sorted(folder.glob("*.wav"))[0])[0]
    return speech


@pytest.mark.parametrize("voice", ["made", "recorded"])
def test_differences_equal_librosas_spectra(voice: str, speech: Array, request: pytest.FixtureRequest) -> None:
    """A Hamming bank against the Hann STFT, both by librosa; 1e-9 dB: float64, far above the floor."""
    wav = spoken(voice, speech, request)
    ours, theirs = (
        np.abs(librosa.stft(wav, n_fft=256, hop_length=64, window=window, center=False, dtype=np.complex128))
        for window in ("hamming", "hann")
    )
    heard = theirs >= theirs.max() * 10 ** (-70 / 20)
    difference = 20 * np.log10(np.where(heard, ours, 1) / np.where(heard, theirs, 1))
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(256) / 256)
    bank, reference = pairs(dft(256, hamming), hop_length=64), pairs(dft(256, hann(256)))
    answer = sound(bank, reference, "Hann", torch.from_numpy(wav), voice)
    assert (answer.audio, answer.reference) == (voice, "Hann")
    assert answer.mean_db == pytest.approx(np.abs(difference).sum() / heard.sum(), rel=1e-9)
    assert answer.max_db == pytest.approx(np.abs(difference).max(), rel=1e-9)
    assert answer.rms_db == pytest.approx(np.sqrt((difference**2).sum() / heard.sum()), rel=1e-9)
    with np.errstate(invalid="ignore"):  # a bin that is never heard has no mean
        expected = difference.sum(1) / heard.sum(1)
    assert np.allclose(answer.per_bin_db, expected, rtol=1e-9, atol=1e-12, equal_nan=True)


def test_blocks_of_frames_make_no_difference(speech: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    bank, reference = real_only(noise(4, 64), hop_length=16), real_only(noise(4, 64, seed=1))
    whole = sound(bank, reference, "others", torch.from_numpy(speech), "speech")
    monkeypatch.setattr("speechconv.verification.sound.BLOCK_VALUES", 64 * 7)
    parts = sound(bank, reference, "others", torch.from_numpy(speech), "speech")
    assert parts.mean_db == pytest.approx(whole.mean_db, rel=1e-12)
    assert parts.max_db == pytest.approx(whole.max_db, rel=1e-12)


def test_a_bank_is_equal_to_itself_and_a_louder_one_to_6_db(speech: Array) -> None:
    bank = pairs(dft(128, hann(128)))
    assert sound(bank, bank, "itself", torch.from_numpy(speech), "speech").max_db == 0
    louder = sound(pairs(2 * dft(128, hann(128))), bank, "itself", torch.from_numpy(speech), "speech")
    assert louder.mean_db == pytest.approx(20 * np.log10(2), rel=1e-9)


def test_a_silent_filter_differs_by_a_finite_amount(speech: Array) -> None:
    z = dft(128, hann(128))
    deaf = z.copy()
    deaf[5] = 0
    answer = sound(pairs(deaf), pairs(z), "itself", torch.from_numpy(speech), "speech")
    assert 70 <= answer.max_db <= 140


@pytest.mark.parametrize(
    ("wav", "words"),
    [(torch.ones(10), "speech has 10 samples, the filters have 64"), (torch.zeros(99), "is silent to itself")],
)
def test_what_cannot_be_heard_is_refused(wav: torch.Tensor, words: str) -> None:
    bank = real_only(noise(4, 64))
    with pytest.raises(ValueError, match=words):
        sound(bank, bank, "itself", wav, "speech")


def test_the_hop_is_the_bank_s_else_the_reference_s_else_a_quarter_of_a_kernel(speech: Array) -> None:
    wav, ours, theirs = torch.from_numpy(speech), noise(4, 64), noise(4, 64, seed=1)

    def mean(hop: int | None, reference_hop: int | None) -> float:
        return sound(
            real_only(ours, hop_length=hop), real_only(theirs, hop_length=reference_hop), "others", wav, ""
        ).mean_db

    by_hop = {hop: mean(hop, None) for hop in (16, 24, 40)}
    assert len(set(by_hop.values())) == 3
    assert mean(24, 40) == by_hop[24]
    assert mean(None, 40) == by_hop[40]
    assert mean(None, None) == by_hop[16]
