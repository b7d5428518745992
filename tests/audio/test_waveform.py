"""One channel at the pipeline's rate: soxr's own numbers whatever the blocks, and no NaN gets through."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from speechconv.audio.error import AudioError
from speechconv.audio.waveform import Channel, Waveform
from tests.sounds import noise


class Array:
    """A source out of an array, cut into blocks."""

    def __init__(self, samples: NDArray, sample_rate: int, block: int = 1000) -> None:
        self.samples = samples.astype(np.float32)
        self.sample_rate = sample_rate
        self.channels = samples.shape[1]
        self.block = block

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self.samples), self.block):
            yield self.samples[start : start + self.block]


def read(waveform: Waveform) -> NDArray[np.float32]:
    return np.concatenate(list(waveform.blocks()))


@pytest.mark.parametrize("block", [1, 999, 65536])
@pytest.mark.parametrize("sample_rate", [8000, 44100, 48000, 11025])
def test_resampling_in_blocks_equals_soxr_at_once_bit_by_bit(sample_rate: int, block: int) -> None:
    samples = noise(6001)
    waveform = Waveform(Array(samples, sample_rate, block), sample_rate=16000)
    found = read(waveform)
    np.testing.assert_array_equal(found, soxr.resample(samples[:, 0].astype(np.float32), sample_rate, 16000, "HQ"))
    assert (waveform.num_samples, waveform.source_samples) == (len(found), 6001)


def test_the_same_rate_is_not_touched() -> None:
    samples = noise(5000)
    np.testing.assert_array_equal(read(Waveform(Array(samples, 16000), sample_rate=16000)), np.float32(samples[:, 0]))


def test_mix_is_the_mean_and_a_number_is_that_channel() -> None:
    samples = noise(5000, 3).astype(np.float32)
    np.testing.assert_allclose(
        read(Waveform(Array(samples, 16000), sample_rate=16000)), samples.mean(1), rtol=0, atol=2**-24
    )
    for channel in range(3):
        found = read(Waveform(Array(samples, 16000), sample_rate=16000, channel=channel))
        np.testing.assert_array_equal(found, samples[:, channel])


def test_a_channel_that_is_not_there_is_an_error_that_counts_those_that_are() -> None:
    with pytest.raises(AudioError, match=r"has 2 channel\(s\), counted from 0; there is no channel 2") as raised:
        Waveform(Array(noise(10, 2), 16000), sample_rate=16000, channel=2)
    assert raised.value.stage == "channel"


def test_another_rate_can_be_refused() -> None:
    with pytest.raises(AudioError, match="has 8000 Hz where the pipeline expects 16000 Hz") as raised:
        Waveform(Array(noise(10), 8000), sample_rate=16000, resample="error")
    assert raised.value.stage == "resample"
    assert len(read(Waveform(Array(noise(10), 16000), sample_rate=16000, resample="error"))) == 10


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "NaN"), (np.inf, "an infinite value"), (-np.inf, "an infinite value")]
)
@pytest.mark.parametrize("sample_rate", [16000, 8000])
def test_the_first_sample_that_is_no_number_is_named_by_its_second(value: float, words: str, sample_rate: int) -> None:
    samples = noise(12_000, 2)
    samples[[8000, 8001, 11_000], [1, 0, 0]] = value
    with pytest.raises(AudioError, match=rf"{words} at {8000 / sample_rate:.3f} s \(sample 8000\)") as raised:
        read(Waveform(Array(samples, sample_rate), sample_rate=16000))
    assert raised.value.stage == "decode"


def test_nan_in_a_channel_that_is_not_taken_does_no_harm() -> None:
    samples = noise(100, 2)
    samples[50, 1] = np.nan
    assert np.isfinite(read(Waveform(Array(samples, 16000), sample_rate=16000, channel=0))).all()


@pytest.mark.parametrize("sample_rate", [16000, 8000])
@pytest.mark.parametrize("channel", ["mix", 0, 1])
def test_peak_rms_and_clipping_are_those_of_what_was_given(channel: Channel, sample_rate: int) -> None:
    samples = noise(40_000, 2) * 1.2
    samples[30_000:30_010] = [[-1.5, 1.0]]
    waveform = Waveform(Array(samples, sample_rate, 17_000), sample_rate=16000, channel=channel)
    assert (waveform.peak, waveform.rms, waveform.clipped) == (0.0, 0.0, 0)
    given: list[NDArray[np.float64]] = []
    for block in waveform.blocks():
        given.append(block.astype(np.float64))
        so_far = np.concatenate(given)
        assert waveform.peak == np.abs(so_far).max(initial=0.0)
        assert waveform.clipped == np.count_nonzero(np.abs(so_far) >= np.float32(0.999))
        assert waveform.rms == pytest.approx(np.sqrt((so_far**2).mean()), rel=1e-6)  # sums of 8192 in float32
    assert waveform.clipped > (0 if channel == "mix" else 1000)


def test_numbers_whose_squares_are_too_large_for_float32_are_numbers() -> None:
    waveform = Waveform(Array(np.full((10, 1), -1e30), 16000), sample_rate=16000)
    assert len(read(waveform)) == 10
    assert (waveform.peak, waveform.rms, waveform.clipped) == pytest.approx((1e30, 1e30, 10))


@pytest.mark.parametrize("sample_rate", [1, 249, 768_001, 1_092_676, 2**32 - 1])
def test_a_rate_that_would_take_memory_or_hours_is_not_resampled(sample_rate: int) -> None:
    with pytest.raises(AudioError, match=f"declares {sample_rate} Hz, which is not resampled to 16000 Hz") as raised:
        Waveform(Array(noise(10), sample_rate), sample_rate=16000)
    assert raised.value.stage == "resample"
    assert len(read(Waveform(Array(noise(10), sample_rate), sample_rate=sample_rate))) == 10


@pytest.mark.parametrize("sample_rate", [250, 768_000])
def test_the_rates_at_the_ends_are_resampled(sample_rate: int) -> None:
    samples = noise(sample_rate)
    found = read(Waveform(Array(samples, sample_rate, 1 << 15), sample_rate=16000))
    np.testing.assert_array_equal(found, soxr.resample(samples[:, 0].astype(np.float32), sample_rate, 16000, "HQ"))


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match=r"channel \(='left'\) must be 'mix' or a number"):
        Waveform(Array(noise(1), 16000), sample_rate=16000, channel="left")  # pyright: ignore[reportArgumentType] - refused
    with pytest.raises(ValueError, match=r"resample \(='maybe'\) must be 'auto' or 'error'"):
        Waveform(Array(noise(1), 16000), sample_rate=16000, resample="maybe")  # pyright: ignore[reportArgumentType] - refused
