"""PCEN against librosa's, and by the law."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

import speechconv as sc
from speechconv.layers import pcen
from speechconv.layers.pcen import smoothing_of
from tests.law import assert_close, assert_gradients_through_a_stream, stream


def power(frames: int, channels: int = 5, *, scale: float = 2.0**20) -> Tensor:
    """(frames, channels) of uneven power, silence among it."""
    x = scale * torch.rand(frames, channels, dtype=torch.float64) ** 6
    x[3:5] = 0
    return x


def librosas(x: Tensor, **settings: Any) -> np.ndarray:
    names = {"smoothing": "b"}
    return librosa.pcen(x.numpy().T, **{names.get(key, key): value for key, value in settings.items()}).T


@pytest.mark.parametrize(
    "settings",
    [
        {"smoothing": 0.025},
        {"smoothing": 0.04, "gain": 0.8, "bias": 10.0, "power": 0.25, "eps": 1e-3},
        {"smoothing": 0.3, "power": 0.0},
        {"smoothing": 0.3, "bias": 0.0},
        {"smoothing": 1.0, "gain": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("frames", [1, 64, 65, 1000])
def test_pcen_equals_librosas(settings: dict[str, float], frames: int) -> None:
    """Of any length against the block of 64 frames that is smoothed at once."""
    x = power(frames).clip(min=1e-30)  # librosa takes the logarithm of 0 where bias is 0
    expected = torch.from_numpy(librosas(x, **settings))
    assert_close(sc.PCEN(**settings)(x[None])[0], expected, 1e-12)
    assert_close(sc.PCEN(**settings)(x[None].float())[0].double(), expected, 1e-5)


def test_the_smoothing_of_a_time_constant_is_librosas() -> None:
    x = power(200)
    expected = librosa.pcen(x.numpy().T, sr=16_000, hop_length=160, time_constant=0.2).T
    y = sc.PCEN(smoothing=smoothing_of(0.2, frame_rate=100))(x[None])[0]
    assert_close(y, torch.from_numpy(expected), 1e-12)


def test_live_it_does_not_move_before_the_first_frame() -> None:
    """Behind a centred STFT, whose first steps give frames that are not real."""
    net = sc.Sequential(sc.ConvSTFT(64, hop_length=16, output="power"), sc.PCEN(smoothing=0.2)).double()
    assert sc.check_streaming(net).worst <= 1e-12
    assert sc.Streamer(net, dtype=torch.float64).plan.parts[1].edge.delay > 0


def test_gradients_through_a_stream_equal_offline_gradients() -> None:
    assert_gradients_through_a_stream(Given(sc.PCEN(smoothing=0.1), 3), power(20, 3, scale=2.0))


class Given(sc.Sequential):
    """A layer whose number of channels the judge is told."""

    def __init__(self, layer: sc.Layer, channels: int) -> None:
        super().__init__(layer)
        self.in_channels = channels


@pytest.mark.parametrize("settings", [{}, {"bias": 0.0}, {"power": 0.0}], ids=str)
def test_gradients_are_finite_at_silence(settings: dict[str, float]) -> None:
    x = torch.zeros(1, 70, 2, dtype=torch.float64)
    x[0, 3] = 1.0
    x.requires_grad_()
    y = sc.PCEN(**settings)(x)
    y.sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
    assert not y[0, :3].any()


def test_long_streams_forget_the_initial_level(monkeypatch: pytest.MonkeyPatch) -> None:
    x = power(300, 2)
    expected = sc.PCEN()(x[None])[0]
    monkeypatch.setattr(pcen, "BLOCK", 7)
    assert_close(stream(sc.Session(sc.PCEN(), channels=2, dtype=torch.float64), x, [1, 0, 250, 49]), expected, 1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gain": -0.1}, r"gain \(=-0.1\) must be >= 0"),
        ({"bias": float("nan")}, r"bias \(=nan\) must be >= 0"),
        ({"power": -1.0}, r"power \(=-1.0\) must be >= 0"),
        ({"smoothing": 0.0}, r"smoothing \(=0.0\) must lie above 0"),
        ({"eps": 0.0}, r"eps \(=0.0\) must be > 0"),
        ({"gain": float("inf")}, r"gain \(=inf\) must be >= 0"),
    ],
)
def test_arguments_outside_their_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.PCEN(**settings)
