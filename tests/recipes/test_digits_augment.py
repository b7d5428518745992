"""Connected digits with CTC: noise, level, equaliser, speed and holes, and batches that follow from a seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recipes.ctc.spec_augment import SpecAugment
from recipes.digits_ctc.augment import Augmentation, coloured_noise, equalised, faster
from recipes.digits_ctc.batches import Batches
from recipes.digits_ctc.corpus import SAMPLE_RATE, find_clips
from tests.recipes.digits_voices import VOICES


def spectrum_slope(noise: np.ndarray) -> float:
    """Of the power against frequency, both as logarithms."""
    power = np.abs(np.fft.rfft(noise)) ** 2
    bins = np.arange(100, len(power))
    return float(np.polyfit(np.log(bins), np.log(power[bins]), 1)[0])


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_has_its_colour_and_level(slope: float) -> None:
    noise = coloured_noise(slope)
    assert spectrum_slope(noise) == pytest.approx(-slope, abs=0.02)
    assert np.sqrt(np.mean(np.square(noise))) == pytest.approx(1)


def test_noise_comes_at_the_ratio_that_was_asked_for() -> None:
    quiet = Augmentation(gain_db=(0, 0), equaliser_db=(0, 0), snr_db=(10, 10), noisy=1.0)
    wav = np.sin(np.arange(40000) * 0.3).astype(np.float32)
    noise = quiet.sound(wav, np.random.default_rng(0)) - wav
    assert 10 * np.log10(np.mean(np.square(wav)) / np.mean(np.square(noise))) == pytest.approx(10, abs=1.0)


def test_the_level_is_what_was_asked_for() -> None:
    louder = Augmentation(gain_db=(20, 20), equaliser_db=(0, 0), noisy=0.0)
    wav = np.array([1, 0, 0, 2], np.float32)
    assert louder.sound(wav, np.random.default_rng(0)) == pytest.approx(10 * wav, abs=1e-5)


def test_the_equaliser_has_its_gain_at_each_frequency() -> None:
    noise = coloured_noise(0.0).astype(np.float32)
    ratio = np.abs(np.fft.rfft(equalised(noise, (-6.0, 0.0, 12.0)))) / np.abs(np.fft.rfft(noise))
    where = np.linspace(0, len(ratio) - 1, 9).astype(int)[1:-1]
    found = [20 * np.log10(np.median(ratio[i - 500 : i + 500])) for i in where]
    assert found == pytest.approx(np.interp(np.arange(1, 8), [0, 4, 8], [-6, 0, 12]), abs=0.5)


def test_speed_moves_pitch_and_length_together() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(8000) / SAMPLE_RATE).astype(np.float32)
    fast = faster(tone, 1.25)
    assert len(fast) == 6400
    assert np.argmax(np.abs(np.fft.rfft(fast))) * SAMPLE_RATE / len(fast) == pytest.approx(625, abs=2)


def test_holes_are_at_the_rows_own_mean_and_no_larger_than_allowed() -> None:
    own = Augmentation(time_masks=1, time_mask=10, channel_masks=1, channel_mask=0.2)
    frames, lengths = torch.randn(3, 60, 20), torch.tensor([60, 30, 0])
    frames[1, 30:], frames[2] = 0, 0
    held = SpecAugment(own, seed=1)(frames, lengths)
    for row, count in enumerate(lengths.tolist()):
        changed = held[row, :count] != frames[row, :count]
        assert int(changed.all(1).sum()) <= 10
        assert int(changed.all(0).sum()) <= 4 if count else True
        if changed.any():
            assert torch.allclose(held[row, :count][changed], frames[row, :count].mean(), atol=1e-6)
    assert torch.equal(held, SpecAugment(own, seed=1)(frames, lengths))
    assert not torch.equal(held, SpecAugment(own, seed=2)(frames, lengths))


def test_a_batch_follows_from_its_step_and_the_seed_alone() -> None:
    clips = find_clips(VOICES)
    one, other = (Batches(clips, Augmentation(), 4, seed=7) for _ in range(2))
    other(0)
    assert torch.equal(one(3).wav, other(3).wav)
    assert not torch.equal(one(3).wav, one(4).wav)
    assert not torch.equal(one(3).wav[:, :100], Batches(clips, Augmentation(), 4, seed=8)(3).wav[:, :100])
