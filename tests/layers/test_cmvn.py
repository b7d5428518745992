"""CMVN against numpy, and the sliding window against Kaldi's loop, written plainly here, and torchaudio's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import speechconv as sc
from speechconv.moments import Window, moments
from tests.law import assert_close, assert_gradients_through_a_stream


def frames(count: int, channels: int = 3) -> Tensor:
    """Far from zero, as logarithms are."""
    return 2 * torch.randn(count, channels, dtype=torch.float64) - 12


# Of the utterance, and given


@pytest.mark.parametrize("correction", [0, 1])
@pytest.mark.parametrize("eps_on", ["variance", "deviation"])
def test_an_utterance_is_normalised_as_numpy_does(correction: int, eps_on: Any) -> None:
    x = frames(50)
    mean, variance = x.numpy().mean(0), x.numpy().var(0, ddof=correction)
    divisor = np.sqrt(variance + 1e-3) if eps_on == "variance" else np.sqrt(variance) + 1e-3
    norm = sc.CMVN(3, correction=correction, eps=1e-3, eps_on=eps_on)
    assert_close(norm(x[None])[0], torch.from_numpy((x.numpy() - mean) / divisor), 1e-13)
    means = sc.CMVN(3, norm_vars=False)(x[None])[0]
    assert_close(means, torch.from_numpy(x.numpy() - mean), 1e-13)


@pytest.mark.parametrize("correction", [0, 1])
@pytest.mark.parametrize("eps_on", ["variance", "deviation"])
def test_rows_padded_with_nan_stand_alone_and_one_frame_gives_zero(correction: int, eps_on: Any) -> None:
    norm = sc.CMVN(3, correction=correction, eps=1e-7, eps_on=eps_on)
    lengths = [9, 1, 0, 5]
    batch = torch.full((4, 11, 3), torch.nan, dtype=torch.float64)
    for row, length in zip(batch, lengths, strict=True):
        row[:length] = frames(length)
    batch.requires_grad_()
    y, counts = norm(batch, torch.tensor(lengths))
    assert counts.tolist() == lengths
    for i, length in enumerate(lengths):
        assert_close(y[i, :length], norm(batch[i : i + 1, :length])[0], 1e-13)
        assert not y[i, length:].any()
    assert not y[1].any()
    y.square().sum().backward()
    assert batch.grad is not None
    assert batch.grad.isfinite().all()


def test_frozen_statistics_stream_and_give_what_the_calibration_would() -> None:
    pipe = sc.Pipeline(
        [sc.ConvSTFT(64, hop_length=16, output="power"), sc.Log(), sc.CMVN(33, correction=1)], sample_rate=8000
    ).double()
    wav = torch.randn(1, 2000, dtype=torch.float64)
    expected = pipe(wav)
    with pytest.raises(sc.NotStreamable, match="CMVN takes mean and variance from the whole utterance") as caught:
        pipe.stream()
    assert caught.value.alternatives[1:] == ("SlidingCMVN", "CumulativeNorm")
    pipe.calibrate(wav)
    assert_close(pipe(wav)[0], expected[0], 1e-12)
    assert sc.check_streaming(pipe).worst <= 1e-12


def test_frozen_statistics_are_saved_with_the_weights(tmp_path: Any) -> None:
    pipe = sc.Pipeline([sc.ConvSTFT(16, hop_length=8, output="power"), sc.CMVN(9)], sample_rate=8000)
    pipe.calibrate(torch.randn(1, 500)).save(tmp_path / "pipe.safetensors")
    x = torch.randn(1, 100)
    assert torch.equal(sc.Pipeline.load(tmp_path / "pipe.safetensors")(x), pipe(x))


def test_frozen_without_statistics_says_how_to_get_some() -> None:
    with pytest.raises(ValueError, match="CMVN's frozen statistics were never given"):
        sc.CMVN(3, statistics="frozen")(torch.zeros(1, 2, 3))


def test_moments_of_frames_are_numpys() -> None:
    x = frames(40)
    found = moments(x[None], Window(3))
    assert_close(found.covariance[0], torch.from_numpy(np.cov(x.numpy().T, ddof=0)), 1e-13)


# Kaldi's sliding window


def kaldi_sliding(x: np.ndarray, window: int, min_window: int, center: bool, norm_vars: bool) -> np.ndarray:
    """SlidingWindowCmn of feature-functions.cc, each window summed anew."""
    y = np.empty_like(x)
    for t in range(len(x)):
        start, end = (t - window // 2, t - window // 2 + window) if center else (t - window, t + 1)
        if start < 0:
            end, start = end - start, 0
        if not center and end > t:
            end = max(t + 1, min_window)
        if end > len(x):
            start, end = max(0, start - (end - len(x))), len(x)
        seen = x[start:end]
        y[t] = x[t] - seen.mean(0)
        if norm_vars:
            y[t] = 0 if len(seen) == 1 else y[t] / np.sqrt(np.maximum(seen.var(0), 1e-10))
    return y


WINDOWS = [
    {"window": 20, "min_window": 7, "center": False},
    {"window": 3, "min_window": 9, "center": False},
    {"window": 1, "min_window": 1, "center": False},
    {"window": 6, "min_window": 2, "center": True},
    {"window": 7, "min_window": 2, "center": True},
    {"window": 1, "min_window": 1, "center": True},
]
each_window = pytest.mark.parametrize("settings", WINDOWS, ids=str)
each_norm = pytest.mark.parametrize("norm_vars", [False, True])


@each_window
@each_norm
@pytest.mark.parametrize("count", [1, 2, 6, 8, 50])
def test_the_sliding_window_is_kaldis(settings: dict[str, Any], norm_vars: bool, count: int) -> None:
    x = frames(count)
    expected = torch.from_numpy(kaldi_sliding(x.numpy(), **settings, norm_vars=norm_vars))
    y = sc.SlidingCMVN(**settings, norm_vars=norm_vars)(x[None])[0]
    assert (y - expected).abs().max() <= 1e-10  # two frames may be equal but for 1e-4; the division magnifies that


@each_norm
@pytest.mark.parametrize("center", [False, True])
def test_the_sliding_window_is_torchaudios(center: bool, norm_vars: bool) -> None:
    from torchaudio.functional import sliding_window_cmn

    x = frames(900)
    expected = sliding_window_cmn(x, 600, 100, center, norm_vars)
    y = sc.SlidingCMVN(center=center, norm_vars=norm_vars)(x[None])[0]
    assert (y - expected).abs().max() <= 1e-10  # theirs adds and subtracts frame by frame


def test_a_constant_channel_is_zero_and_not_noise() -> None:
    x = torch.full((1, 30, 2), -13.8, dtype=torch.float64)
    assert not sc.SlidingCMVN(window=5, min_window=3, norm_vars=True)(x).any()


@pytest.mark.parametrize("center", [False, True])
def test_what_was_loud_leaves_no_rounding_in_what_is_constant(center: bool) -> None:
    """Offline and live: digital silence is a constant, and the floor of the variance would magnify rounding by 1e5."""
    norm = sc.SlidingCMVN(window=30, min_window=10, center=center, norm_vars=True)
    x = torch.cat((100 * frames(400, 2), torch.full((100, 2), -15.942, dtype=torch.float64)))
    whole = norm(x[None])[0]
    assert not whole[-60:].any()
    session = sc.Session(norm, channels=2, dtype=torch.float64)
    assert_close(torch.cat([session.push(chunk) for chunk in x.split(7)] + [session.close()]), whole, 1e-12)


@pytest.mark.parametrize("settings", WINDOWS[:-1], ids=str)  # of the last, frames less themselves, all is 0
@each_norm
def test_the_sliding_window_keeps_the_law(settings: dict[str, Any], norm_vars: bool) -> None:
    net = sc.Sequential(sc.Conv1d(2, 3, 5, stride=2, padding="same"), sc.SlidingCMVN(**settings, norm_vars=norm_vars))
    assert sc.check_streaming(sc.SlidingCMVN(**settings, norm_vars=norm_vars), channels=2).worst <= 1e-12
    if settings["window"] > 1:  # a causal window of two frames, and one of them a rounding away, magnifies it
        assert sc.check_streaming(net).worst <= 1e-12
    assert_gradients_through_a_stream(net.double(), torch.randn(30, 2, dtype=torch.float64))


def test_the_minimum_window_is_lookahead() -> None:
    assert sc.SlidingCMVN().geometry.lookahead == 99
    assert sc.SlidingCMVN(min_window=1).geometry.lookahead == 0
    assert sc.SlidingCMVN(center=True).geometry.lookahead == 599


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sc.CMVN(0), r"channels \(=0\) must be an integer >= 1"),
        (lambda: sc.CMVN(3, correction=2), r"correction \(=2\) must be one of 0, 1"),
        (lambda: sc.CMVN(3, eps=0.0), r"eps \(=0.0\) must be > 0"),
        (lambda: sc.SlidingCMVN(window=0), r"window \(=0\) must be an integer >= 1"),
        (lambda: sc.SlidingCMVN(min_window=0), r"min_window \(=0\) must be an integer >= 1"),
    ],
)
def test_arguments_outside_their_range_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
