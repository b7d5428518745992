"""KaldiSTFT: torchaudio and plain numpy are the judges."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import speechconv as sc
from speechconv.frontend.kaldi import kaldi_geometry
from tests.frontend.kaldi_judges import (
    FLOOR,
    OWN_LOG,
    each_edge,
    noise,
    off,
    slow_stft,
    sounds,
)
from tests.law import assert_gradients_through_a_stream, cuts, stream
from tests.traffic import assert_random_traffic

EXACT = 1e-12  # spectra, relative to the largest value
WINDOWS = ["povey", "hamming", "hanning", "rectangular", "blackman"]


# The spectrum


@each_edge
@pytest.mark.parametrize(("win_length", "hop_length"), [(400, 160), (200, 80), (25, 10), (25, 9), (24, 9), (8, 8)])
def test_power_and_magnitude_are_those_of_slow_numpy(win_length: int, hop_length: int, snip_edges: bool) -> None:
    x = noise(5 * win_length + 3).numpy() + 0.2
    expected = np.abs(slow_stft(x, win_length, hop_length, snip_edges=snip_edges))
    judges: dict[Any, Any] = {"power": expected**2, "magnitude": expected}
    for output, judge in judges.items():
        stft = sc.KaldiSTFT(win_length, hop_length=hop_length, snip_edges=snip_edges, output=output)
        wave = torch.as_tensor(x)[None]
        assert off(stft(wave.float())[0], judge) <= 2e-6  # float32, as the other spectra
        assert off(stft.double()(wave)[0], judge) <= EXACT


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("remove_dc_offset", [True, False])
@pytest.mark.parametrize("preemphasis", [0.97, 0.0])
def test_every_option_is_torchaudios(window: Any, remove_dc_offset: bool, preemphasis: float) -> None:
    """Its own windows are made in the signal's type, so the spectrum is exact."""
    from torchaudio.compliance import kaldi

    x = noise(2000) + 0.5
    expected = kaldi.spectrogram(
        x[None],
        window_type=window,
        remove_dc_offset=remove_dc_offset,
        preemphasis_coefficient=preemphasis,
        round_to_power_of_two=False,
    )
    stft = sc.KaldiSTFT(
        n_fft=400, window=window, remove_dc_offset=remove_dc_offset, preemphasis=preemphasis, scale=1.0
    ).double()
    log_power = stft(x[None])[0].clamp(min=FLOOR).log()
    assert (log_power - expected)[:, 1:].abs().max() <= OWN_LOG  # its bin 0 is the frame's energy


# The law


@each_edge
@pytest.mark.parametrize("dither", [0.0, 1.0])
@pytest.mark.parametrize(("win_length", "hop_length"), [(25, 10), (16, 5), (15, 7), (12, 12), (9, 1)])
def test_the_law_holds(win_length: int, hop_length: int, dither: float, snip_edges: bool) -> None:
    stft = sc.KaldiSTFT(win_length, hop_length=hop_length, snip_edges=snip_edges, dither=dither, scale=2.0, seed=5)
    assert sc.check_streaming(stft).worst <= EXACT


def test_frames_farther_apart_than_they_are_long_keep_the_law() -> None:
    assert sc.check_streaming(sc.KaldiSTFT(8, hop_length=21, dither=0.5, scale=1.0)).worst <= EXACT


@settings(max_examples=30)
@given(data=st.data(), dither=st.sampled_from([0.0, 0.3]), snip_edges=st.booleans(), hop_length=st.integers(1, 12))
def test_live_and_offline_have_the_same_bits(
    data: st.DataObject, dither: float, snip_edges: bool, hop_length: int
) -> None:
    """Dither too: it is rounded to float32, so that the last bits of a logarithm do not show."""
    stft = sc.KaldiSTFT(12, hop_length=hop_length, snip_edges=snip_edges, dither=dither, scale=1.0)
    x = noise(data.draw(st.integers(0, 60), label="samples")).float()
    with torch.no_grad():
        live = stream(sc.Session(stft), x, data.draw(cuts(len(x))))
        assert torch.equal(live, stft(x[None])[0])


@pytest.mark.parametrize("samples", [12, 19, 47])
def test_a_hop_of_one_sample_has_the_same_bits_too(samples: int) -> None:
    """There the frames of a view lie differently in memory, and a mean would sum in another order."""
    stft = sc.KaldiSTFT(12, hop_length=1, snip_edges=False, dither=0.3, scale=1.0)
    x = noise(samples).float()
    assert torch.equal(stream(sc.Session(stft), x, [4] * (samples // 4) + [samples % 4]), stft(x[None])[0])


@each_edge
def test_random_traffic_in_a_pool_equals_offline_with_dither_too(snip_edges: bool) -> None:
    """Rows of a pool are of any age, and each has its own frame indices."""
    stft = sc.KaldiSTFT(12, hop_length=5, dither=0.5, scale=1.0, snip_edges=snip_edges).double()
    assert_random_traffic(stft, seed=3)


# Gradients and types


@pytest.mark.parametrize("output", ["power", "magnitude"])
def test_gradients_are_finite_differences(output: Any) -> None:
    stft = sc.KaldiSTFT(8, hop_length=3, scale=2.0, dither=0.1, snip_edges=False, output=output).double()
    assert torch.autograd.gradcheck(stft, noise(2, 17).requires_grad_())


def test_gradients_through_a_stream_equal_offline_gradients() -> None:
    net = sc.Sequential(sc.KaldiSTFT(12, hop_length=5, scale=1.0), sc.Conv1d(9, 2, 3, padding="causal")).double()
    assert_gradients_through_a_stream(net, noise(60))


def test_the_magnitude_has_no_gradient_at_silence() -> None:
    x = torch.zeros(1, 400, requires_grad=True)
    sc.KaldiSTFT(output="magnitude")(x).sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_a_cast_makes_the_window_exact() -> None:
    x = noise(1, 1000)
    torch.set_default_dtype(torch.float64)
    try:
        made = sc.KaldiSTFT()
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(sc.KaldiSTFT().double()(x), made(x))


def test_bfloat16_is_as_close_as_its_digits_allow() -> None:
    """Relative L2; bfloat16 rounds to 2^-9, in, in the window, and out."""
    x = torch.as_tensor(sounds()["speech"])[None].bfloat16()
    expected = sc.KaldiSTFT(output="magnitude").double()(x.double())
    y = sc.KaldiSTFT(output="magnitude").bfloat16()(x)
    assert y.dtype == torch.bfloat16
    assert (y.double() - expected).norm() <= 0.02 * expected.norm()


# Geometry, refusals


@given(data=st.data(), win_length=st.integers(2, 40), samples=st.integers(1, 200))
def test_frames_without_snipped_edges_are_kaldis(data: st.DataObject, win_length: int, samples: int) -> None:
    hop_length = data.draw(st.integers(1, win_length), label="hop_length")
    g = kaldi_geometry(win_length, hop_length, snip_edges=False)
    assert g.num_frames(samples) == (samples + hop_length // 2) // hop_length
    assert g.span(0)[0] == hop_length // 2 - win_length // 2


def test_a_mel_of_another_n_fft_is_refused_behind_a_kaldi_stft() -> None:
    mel = sc.Mel(sample_rate=16000, n_fft=513)
    with pytest.raises(ValueError, match=r"Mel was made for n_fft=513, the STFT before it has n_fft=512\."):
        sc.Pipeline([sc.KaldiSTFT(), mel], sample_rate=16000)


def test_mirrored_edges_behind_another_layer_do_not_stream_and_say_what_does() -> None:
    pipe = sc.Pipeline([torch.nn.Tanh(), sc.KaldiSTFT(snip_edges=False)], sample_rate=16000)
    with pytest.raises(sc.NotStreamable, match=r"symmetric padding mirrors .* Instead: snip_edges=True\.$"):
        pipe.stream()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"win_length": 1}, "win_length (=1) must be an integer >= 2."),
        ({"hop_length": 0}, "hop_length (=0) must be an integer >= 1."),
        ({"n_fft": 399}, "n_fft (=399) must not be below win_length (=400)."),
        (
            {"window": "hann"},
            "window (='hann') must be one of 'povey', 'hamming', 'hanning', 'rectangular', 'blackman'.",
        ),
        ({"remove_dc_offset": 1}, "remove_dc_offset (=1) must be True or False"),
        ({"preemphasis": 1.5}, "preemphasis (=1.5) must lie in 0 ... 1."),
        ({"scale": 0}, "scale (=0) must be > 0."),
        ({"dither": -1.0}, "dither (=-1.0) must be >= 0."),
        ({"dither": float("nan")}, "dither (=nan) must be >= 0."),
        ({"seed": -1}, "seed (=-1) must be an integer >= 0."),
        ({"seed": 2**32}, "seed (=4294967296) must be below 2^32."),
        ({"snip_edges": 0}, "snip_edges (=0) must be True or False"),
        ({"snip_edges": False, "hop_length": 401}, "snip_edges=False needs hop_length (=401) <= win_length (=400)."),
        ({"output": "complex"}, "output (='complex') must be one of 'power', 'magnitude'."),
    ],
    ids=str,
)
def test_a_refused_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        sc.KaldiSTFT(**arguments)
