"""Frames of ConvSTFT, in the rows of a batch and live: librosa's count and numpy's slow frames are the judges."""

from __future__ import annotations

import re
import warnings
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import speechconv as sc
from speechconv.frontend.stft import Learn
from tests.frontend.stft_judges import EXACT, Waveform, each_way, noise, off, perturbed, slow_stft
from tests.law import cuts, stream


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(32, 10), (31, 10), (16, 21), (15, 1), (1, 1), (2, 3)])
def test_number_of_frames_equals_librosas_for_every_length(n_fft: int, hop_length: int, center: bool) -> None:
    """librosa refuses an uncentred signal below n_fft, and makes a frame of padding of no samples at all: 0 here."""
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, center=center)
    for count in range(3 * n_fft + 1):
        frames = stft(torch.ones(1, count)).shape[1]
        assert frames == stft.geometry.num_frames(count)
        if count == 0 or (count < n_fft and not center):
            assert frames == 0
            continue
        with warnings.catch_warnings(action="ignore"):  # "n_fft is too large for input signal"
            spectrum = librosa.stft(np.ones(count), n_fft=n_fft, hop_length=hop_length, center=center)
        assert frames == spectrum.shape[1]


# Rows of a batch


def test_reflect_mirrors_each_row_at_its_own_length_as_numpy_does() -> None:
    """From no sample at all, through rows shorter than the padding, to long ones; NaN behind them."""
    n_fft, hop_length = 16, 5
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, pad_mode="reflect").double()
    lengths = [*range(n_fft + 2), 3 * n_fft]
    batch = torch.full((len(lengths), 3 * n_fft + 4), torch.nan, dtype=torch.float64)
    for row, (padded, length) in enumerate(zip(batch, lengths, strict=True)):
        padded[:length] = noise(length, seed=row)

    y, frames = stft(batch, torch.tensor(lengths))

    for row, length in enumerate(lengths):
        alone = batch[row, :length]
        expected = slow_stft(alone.numpy(), n_fft, hop_length, pad_mode="reflect")
        assert frames[row] == len(expected)
        assert torch.equal(y[row, : frames[row]], stft(alone[None])[0])
        assert not y[row, frames[row] :].any()
        if length:
            assert off(y[row, : frames[row]], expected) <= EXACT


@each_way
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_nan_behind_a_rows_length_reaches_neither_frames_nor_gradients(pad_mode: Any, learn: Learn | None) -> None:
    stft = perturbed(sc.ConvSTFT(16, hop_length=5, pad_mode=pad_mode, learn=learn, output="real_imag"))
    rows = [noise(length, seed=length) for length in (0, 3, 16, 41)]
    batch = torch.full((4, 50), torch.nan, dtype=torch.float64)
    for padded, row in zip(batch, rows, strict=True):
        padded[: len(row)] = row

    y, frames = stft(batch, torch.tensor([len(row) for row in rows]))
    alone = [stft(row[None])[0] for row in rows]

    for i, expected in enumerate(alone):
        assert frames[i] == len(expected)
        assert torch.allclose(y[i, : frames[i]], expected, rtol=0, atol=EXACT * 16)  # magnitudes reach 16
        assert not y[i, frames[i] :].any()
    for parameter in stft.parameters():
        (together,) = torch.autograd.grad(y.square().sum(), parameter, retain_graph=True)
        (apart,) = torch.autograd.grad(torch.cat(alone).square().sum(), parameter, retain_graph=True)
        assert off(together, apart) <= EXACT


# Live


@settings(max_examples=60)
@given(
    data=st.data(),
    n_fft=st.integers(1, 40),
    hop_length=st.integers(1, 50),
    center=st.booleans(),
    pad_mode=st.sampled_from(["constant", "reflect"]),
    learn=st.sampled_from([None, "window"]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_the_fft_gives_live_and_offline_the_same_bits(
    data: st.DataObject, n_fft: int, hop_length: int, center: bool, pad_mode: Any, learn: Any, dtype: torch.dtype
) -> None:
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, center=center, pad_mode=pad_mode, learn=learn, output="power")
    stft = stft.to(dtype)
    x = noise(data.draw(st.integers(0, 4 * n_fft), label="samples")).to(dtype)
    with torch.no_grad():
        assert torch.equal(stream(sc.Session(stft), x, data.draw(cuts(len(x)))), stft(x[None])[0])


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(400, 160), (512, 100), (255, 300)])
def test_speech_in_chunks_gives_the_bits_of_the_whole(
    speech: Waveform, n_fft: int, hop_length: int, pad_mode: Any
) -> None:
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, pad_mode=pad_mode, output="magnitude")
    x = torch.as_tensor(speech, dtype=torch.float32)
    whole = stft(x[None])[0]
    for size in (1600, 777, 320):
        assert torch.equal(stream(sc.Session(stft), x, [size] * (len(x) // size) + [len(x) % size]), whole)


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(16, 5), (15, 4), (12, 17), (1, 3)])
def test_each_frame_comes_with_the_sample_that_completes_it(n_fft: int, hop_length: int, pad_mode: Any) -> None:
    """Frame t ends n_fft - n_fft // 2 samples after its centre; a mirrored start needs n_fft // 2 + 1 samples."""
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, pad_mode=pad_mode)
    due = [hop_length * frame + n_fft - n_fft // 2 for frame in range(8)]
    if pad_mode == "reflect":
        due = [max(at, n_fft // 2 + 1) for at in due]
    assert due == [stft.geometry.emitted_at(frame) for frame in range(8)]

    session = sc.Session(stft)
    for count in range(1, due[-1] + 1):
        session.push(torch.ones(1))
        assert session.num_frames == sum(at <= count for at in due)


@pytest.mark.parametrize("length", range(20))
def test_a_short_stream_mirrors_as_numpy_does(length: int) -> None:
    """The end comes before the mirrored start is known."""
    stft = sc.ConvSTFT(16, hop_length=5, pad_mode="reflect").double()
    x = noise(length)
    y = stream(sc.Session(stft), x, [1] * length)
    expected = slow_stft(x.numpy(), 16, 5, pad_mode="reflect")
    assert y.shape == expected.shape
    assert not length or off(y, expected) <= EXACT


# Without the last centred frame


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(400, 160), (16, 8), (16, 5), (15, 7), (15, 4), (2, 1)])
def test_drop_last_leaves_out_exactly_the_last_centred_frame(n_fft: int, hop_length: int, pad_mode: Any) -> None:
    """Whisper's and NeMo's frames; numpy's slow frames are the judge."""
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, pad_mode=pad_mode, drop_last=True).double()
    for length in (*range(1, 40), 3 * n_fft + 1):
        x = noise(length, seed=length)
        y = stft(x[None])[0]
        expected = slow_stft(x.numpy(), n_fft, hop_length, pad_mode=pad_mode)[:-1]
        assert y.shape == expected.shape
        assert n_fft % 2 or len(y) == length // hop_length
        assert not len(y) or off(y, expected) <= EXACT


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(400, 160), (16, 8), (16, 5), (15, 4), (2, 1)])
def test_drop_last_keeps_the_law(n_fft: int, hop_length: int, pad_mode: Any) -> None:
    """Frames still come as early as the window allows, and the last one, if wanted, has already come."""
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, pad_mode=pad_mode, drop_last=True, output="power")
    assert sc.check_streaming(stft).worst <= EXACT
    whole = sc.ConvSTFT(n_fft, hop_length=hop_length, pad_mode=pad_mode, output="power")
    assert [stft.geometry.emitted_at(t) for t in range(5)] == [whole.geometry.emitted_at(t) for t in range(5)]


def test_drop_last_is_refused_where_the_last_frame_could_not_be_known_in_time() -> None:
    with pytest.raises(ValueError, match=r"^drop_last needs hop_length \(=201\) <= n_fft // 2 \(=200\);"):
        sc.ConvSTFT(400, hop_length=201, drop_last=True)
    with pytest.raises(ValueError, match=r"^drop_last leaves out the last centred frame, so it needs center=True\.$"):
        sc.ConvSTFT(400, center=False, drop_last=True)


# Reflect padding among other layers


def test_reflect_beside_another_raw_branch_cannot_stream_and_says_why() -> None:
    mirrored, plain = (sc.ConvSTFT(16, hop_length=4, pad_mode=mode, output="power") for mode in ("reflect", "constant"))
    pipe = sc.Pipeline({"pair": sc.Parallel(plain, mirrored, join="cat")}, sample_rate=8000)
    with pytest.raises(sc.NotStreamable) as refusal:
        pipe.stream()
    assert refusal.value.path == "pair.1"
    assert refusal.value.alternatives == ("pad_mode='constant'", "center=False")
    assert str(refusal.value) == (
        "pair.1 cannot stream: reflect padding mirrors the raw input, so it must be the first stage and have that "
        "input for itself. Instead: pad_mode='constant'; center=False."
    )
    x = noise(1, 100).float()
    assert torch.equal(pipe(x)[..., 9:], mirrored(x))


class Difference(sc.Layer):
    """x[n] - x[n - 1], on a waveform."""

    geometry = sc.Geometry(receptive_field=2, pad_left=1)
    in_channels = 0

    def valid(self, x: Tensor) -> Tensor:
        return x[:, 1:] - x[:, :-1]


def test_reflect_behind_another_layer_is_refused_when_the_two_meet() -> None:
    message = "layer 1 (ConvSTFT): reflect padding mirrors the raw input; it cannot stand behind another layer."
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        sc.Sequential(Difference(), sc.ConvSTFT(16, pad_mode="reflect"))


def test_reflect_behind_a_pointwise_layer_works_offline_only() -> None:
    net = sc.Sequential(torch.nn.Tanh(), sc.ConvSTFT(16, hop_length=5, pad_mode="reflect", output="power")).double()
    x = noise(50)
    expected = np.abs(slow_stft(np.tanh(x.numpy()), 16, 5, pad_mode="reflect")) ** 2
    assert off(net(x[None])[0], expected) <= EXACT
    with pytest.raises(sc.NotStreamable, match="must be the first stage"):
        sc.Session(net)


def test_a_reflection_of_nothing_may_stand_anywhere() -> None:
    net = sc.Sequential(sc.Preemphasis(), sc.ConvSTFT(1, hop_length=1, pad_mode="reflect", output="power"))
    assert sc.check_streaming(net).worst <= 1e-12
