"""Encoders asked with sounds: the STFT, whose answers are known, and wav2vec 2.0's encoder, whose geometry is."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import nn

import speechconv as sc
from speechconv.verification.probe import probe
from speechconv.verification.scales import fit_scales


def test_an_stft_answers_at_its_bins() -> None:
    """Sines at the bins of n_fft 64 find each bin's own peak; the amplitude is level n_fft / 4 of a Hann window."""
    stft = sc.ConvSTFT(64, hop_length=16, output="magnitude")
    bins = [16000 * k / 64 for k in range(2, 31)]
    answer = probe(stft, 16000, level=0.5, frequencies_hz=bins)
    assert [answer.peak_hz[k] for k in range(2, 31)] == bins
    heard = [answer.response[k][k - 2] for k in range(2, 31)]
    assert np.allclose(heard, 0.5 * 64 / 4, rtol=1e-4)
    assert (answer.stride, answer.receptive_field) == (16, 63)  # a periodic Hann window's first sample is 0


def test_an_impulse_is_heard_for_the_window_above_half() -> None:
    """A Hann window is above half for half its length, to the step between two impulses."""
    answer = probe(sc.ConvSTFT(512, hop_length=128, output="magnitude"), 16000, frequencies_hz=[1000.0])
    assert answer.time_resolution_ms == pytest.approx(1000 * 256 / 16000, abs=1000 * 16 / 16000)


@pytest.mark.parametrize("output", ["complex", "power"])
def test_pads_and_complex_answers_do_not_matter(output: Any) -> None:
    answer = probe(sc.ConvSTFT(64, hop_length=16, window="hamming", output=output), 16000)
    assert (answer.stride, answer.receptive_field) == (16, 64)
    assert len(answer.response) == 33
    assert {len(row) for row in answer.response} == {len(answer.frequencies_hz)}


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_wav2vec2s_encoder_sees_400_samples_every_320(norm: Any) -> None:
    encoder = sc.FeatureEncoder(channels=16, norm=norm)
    answer = probe(encoder, 16000)
    assert (answer.receptive_field, answer.stride) == (400, 320)
    assert 0 < answer.time_resolution_ms <= 1000 * 400 / 16000
    assert np.isfinite(answer.response).all()
    assert np.max(answer.response) > 0


def test_an_encoder_is_not_changed_by_being_asked() -> None:
    encoder = sc.FeatureEncoder(channels=8)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    x = torch.randn(1, 4000)
    y = encoder(x)
    probe(encoder, 16000, frequencies_hz=[500.0])
    assert encoder.training
    assert torch.equal(encoder(x), y)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(p.grad is None for p in encoder.parameters())


def test_a_pipeline_of_several_layers_is_asked_as_a_whole() -> None:
    pipe = sc.Pipeline(
        [sc.FeatureEncoder(channels=8), sc.ConvPositionalEmbedding(8, kernel_size=5, groups=2)], sample_rate=16000
    )
    answer = probe(pipe.eval(), 16000, frequencies_hz=[500.0, 1000.0])
    assert (answer.receptive_field, answer.stride) == (400 + 4 * 320, 320)


def test_response_equals_a_plain_loop() -> None:
    encoder = sc.Pipeline([sc.ConvSTFT(32, hop_length=8, center=False, output="power"), nn.ReLU()], sample_rate=8000)
    answer = probe(encoder, 8000, level=0.3, frequencies_hz=[700.0, 2100.0])
    for column, f in enumerate((700.0, 2100.0)):
        wav = 0.3 * np.sin(2 * np.pi * f / 8000 * np.arange(32 + 16 * 8))
        frames = np.lib.stride_tricks.sliding_window_view(wav, 32)[::8]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(32) / 32)
        power = np.abs(np.fft.rfft(frames * window)) ** 2
        expected = np.sqrt((power**2).mean(0))
        assert np.allclose([row[column] for row in answer.response], expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_a_level_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"level \(=0\) must be above 0"):
        probe(sc.ConvSTFT(64), 16000, level=0)
    with pytest.raises(ValueError, match=r"level \(=-1\) must be above 0"):
        probe(sc.ConvSTFT(64), 16000, other_levels=[-1])


@pytest.mark.parametrize(("output", "per_decade"), [("magnitude", 0.0), ("power", 20.0)])
def test_other_levels_tell_a_linear_encoder_from_another(output: Any, per_decade: float) -> None:
    """A power grows with the square of the amplitude, and so by 20 dB a decade for each unit of it."""
    answer = probe(sc.ConvSTFT(64, hop_length=16, output=output), 16000, level=0.2, other_levels=[0.002, 2.0])
    assert [other.level for other in answer.levels] == [0.002, 2.0]
    assert [other.gain_db for other in answer.levels] == pytest.approx([-2 * per_decade, per_decade], abs=1e-3)
    assert [other.moved for other in answer.levels] == [0, 0]


def test_channels_that_peak_elsewhere_at_another_level_are_counted() -> None:
    """A loud tone fills every bin that hears it at all, up to where they are clipped."""
    stages = [sc.ConvSTFT(32, hop_length=8, output="magnitude"), nn.Hardtanh(0, 0.1)]
    pipe = sc.Pipeline(stages, sample_rate=16000)
    answer = probe(pipe, 16000, level=0.01, other_levels=[1.0], frequencies_hz=[125.0 * k for k in range(4, 60)])
    (other,) = answer.levels
    assert 0.2 < other.moved < 1
    assert other.gain_db < -10


def test_a_channel_that_answers_to_nothing_has_no_peak_and_no_say_in_the_scale() -> None:
    encoder = sc.FeatureEncoder(channels=16)
    with torch.no_grad():
        list(encoder.parameters())[-1][3] = 0  # the last convolution's
    answer = sc.verify(encoder)
    assert answer.probe is not None
    assert [np.isnan(peak) for peak in answer.probe.peak_hz] == [index == 3 for index in range(16)]
    assert answer.scales == fit_scales([peak for index, peak in enumerate(answer.probe.peak_hz) if index != 3])
    assert answer.to_json()["probe"]["peak_hz"][3] is None


def test_random_weights_are_told() -> None:
    pipe = sc.Pipeline.from_toml('sample_rate = 16000\n[[stages]]\nstage = "feature_encoder"\nchannels = 4')
    assert sc.verify(pipe).verdict.startswith("random weights: no single bank of filters")
    with torch.no_grad():
        next(pipe.parameters()).mul_(2)
    assert sc.verify(pipe).verdict.startswith("no single bank of filters")


def test_statistics_are_frozen_on_noise_as_loud_as_the_sines() -> None:
    """Then the level does not matter to what is normalised by them, but for eps, which a level of 1 keeps below 1 %."""
    encoder = sc.FeatureEncoder(channels=8)
    soft, loud = (probe(encoder, 16000, level=level, other_levels=[]) for level in (1.0, 10.0))
    assert np.max(loud.response) == pytest.approx(np.max(soft.response), rel=0.01)


@pytest.mark.parametrize("sample_rate", [8000, 16000])
def test_sines_are_spaced_as_mels_from_50_hz_to_just_below_nyquist(sample_rate: int) -> None:
    answer = probe(sc.ConvSTFT(16, hop_length=8, output="magnitude"), sample_rate, other_levels=[])
    mel = librosa.hz_to_mel(np.array(answer.frequencies_hz), htk=True)
    expected = np.linspace(mel[0], librosa.hz_to_mel(0.495 * sample_rate, htk=True), 64)
    assert answer.frequencies_hz[0] == pytest.approx(50, rel=1e-12)
    assert np.allclose(mel, expected, rtol=1e-12)
