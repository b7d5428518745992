"""ConvSTFT: librosa, torch.stft and plain numpy are the judges.

Tolerances are shares of the largest value of the judge's float64 spectrum.
"""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, get_args

import librosa
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import get_window
from torch import Tensor

import speechconv as sc
from speechconv.frontend.stft import COSINE_WINDOWS, Learn, Output, centred_window
from tests.law import cuts, stream

Waveform = NDArray[np.float64]

EXACT = 1e-13  # float64: an FFT of 4096 points rounds to 1e-15, a sum of 4096 products to 1e-14
SHORT_FLOAT, LONG_FLOAT = 2e-6, 5e-6  # float32: n_fft up to 512, and up to 4096; kernels of a matrix product round more
HALF = {torch.bfloat16: 0.02, torch.float16: 0.005}  # relative L2: these round to 2^-9 and 2^-12, in and out

LEARN: tuple[Learn | None, ...] = (None, *get_args(Learn))
LEARNED: tuple[Learn, ...] = get_args(Learn)
each_way = pytest.mark.parametrize("learn", LEARN)

# n_fft, hop_length, win_length, window: hops that do and do not divide n_fft, odd n_fft, short windows, any window
CASES: list[tuple[int, int, int | None, Any]] = [
    (256, 64, None, "hann"),
    (255, 77, 200, "blackman"),
    (400, 160, None, "hann"),
    (400, 160, 321, "hamming"),
    (512, 100, 400, ("kaiser", 8.0)),
    (1023, 250, None, ("gaussian", 150.0)),
    (2048, 512, 1200, ("general_hamming", 0.6)),
    (4096, 1000, 3001, ("tukey", 0.3)),
    (4096, 1024, None, "boxcar"),
]
each_case = pytest.mark.parametrize(("n_fft", "hop_length", "win_length", "window"), CASES, ids=str)
SMALL = (64, 24, 50, "hann")


def float_tolerance(n_fft: int) -> float:
    return SHORT_FLOAT if n_fft <= 512 else LONG_FLOAT


@pytest.fixture(scope="module")
def speech() -> Waveform:
    """A second of speech, a little noise in its pauses."""
    samples, _ = soundfile.read(Path(__file__).parents[2] / "audio_samples" / "speech" / "en_us_digits_16k.wav")
    return samples[4000:20000] + 1e-3 * np.random.default_rng(0).standard_normal(16000)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_stft(x: Waveform, n_fft: int, hop_length: int, *, pad_mode: Any = "constant", window: Any = "hann") -> Any:
    """Centred frames one by one, by numpy alone: (frames, bins)."""
    if not len(x):
        return np.zeros((0, n_fft // 2 + 1), complex)
    padded = np.pad(x, n_fft // 2, mode=pad_mode)
    starts = range(0, len(padded) - n_fft + 1, hop_length)
    return np.array([np.fft.rfft(padded[i : i + n_fft] * get_window(window, n_fft)) for i in starts])


def off(y: Tensor, expected: NDArray | Tensor) -> float:
    """Largest difference, as a share of the largest expected value."""
    expected = torch.as_tensor(expected)
    assert y.shape == expected.shape
    return float((y.detach() - expected).abs().max() / expected.abs().max())


def made_in_double(*args: Any, **kwargs: Any) -> sc.ConvSTFT:
    """The only way to exact filters with learn="free", which keeps what it was made with."""
    torch.set_default_dtype(torch.float64)
    try:
        return sc.ConvSTFT(*args, **kwargs)
    finally:
        torch.set_default_dtype(torch.float32)


def perturbed(stft: sc.ConvSTFT) -> sc.ConvSTFT:
    """`stft` in float64, with parameters that are not those it was made with."""
    stft = stft.double()
    for i, parameter in enumerate(stft.parameters()):
        parameter.data += 0.1 * noise(*parameter.shape, seed=i)
    return stft


# Against librosa and torch


@pytest.mark.parametrize("center", [True, False])
@each_case
def test_float64_equals_librosa(
    speech: Waveform, n_fft: int, hop_length: int, win_length: int | None, window: Any, center: bool
) -> None:
    expected = librosa.stft(
        speech, n_fft=n_fft, hop_length=hop_length, win_length=win_length, window=window, center=center
    ).T
    arguments: dict[str, Any] = {
        "hop_length": hop_length,
        "win_length": win_length,
        "window": window,
        "center": center,
    }
    x = torch.as_tensor(speech)[None]
    cast = sc.ConvSTFT(n_fft, **arguments).double()
    assert off(cast(x)[0], expected) <= EXACT
    assert torch.equal(made_in_double(n_fft, **arguments)(x), cast(x))


@pytest.mark.parametrize("center", [True, False])
@each_case
def test_float32_equals_librosa(
    speech: Waveform, n_fft: int, hop_length: int, win_length: int | None, window: Any, center: bool
) -> None:
    expected = librosa.stft(
        speech, n_fft=n_fft, hop_length=hop_length, win_length=win_length, window=window, center=center
    ).T
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, win_length=win_length, window=window, center=center)
    y = stft(torch.as_tensor(speech, dtype=torch.float32)[None])[0]
    assert y.dtype == torch.complex64
    assert off(y, expected) <= float_tolerance(n_fft)


@each_case
def test_reflect_padding_equals_torch_stft(
    speech: Waveform, n_fft: int, hop_length: int, win_length: int | None, window: Any
) -> None:
    x = torch.as_tensor(speech)[None]
    expected = torch.stft(
        x,
        n_fft,
        hop_length,
        win_length,
        torch.as_tensor(get_window(window, win_length or n_fft)),
        pad_mode="reflect",
        return_complex=True,
    ).mT
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, win_length=win_length, window=window, pad_mode="reflect")
    assert off(stft(x.float()), expected) <= float_tolerance(n_fft)
    assert off(stft.double()(x), expected) <= EXACT


def test_the_defaults_are_librosas_conventions(speech: Waveform) -> None:
    """Window, padding, phase and scale; only the sizes are ours, 25 ms every 10 ms at 16 kHz."""
    expected = librosa.stft(speech, n_fft=400, hop_length=160).T
    assert off(sc.ConvSTFT().double()(torch.as_tensor(speech)[None])[0], expected) <= EXACT


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


# Outputs


@each_way
def test_all_outputs_show_the_same_spectrum(speech: Waveform, learn: Learn | None) -> None:
    x = torch.as_tensor(speech)[None]
    y = {output: sc.ConvSTFT(learn=learn, output=output).double()(x).detach() for output in get_args(Output)}
    spectrum = y["complex"].numpy()
    assert off(y["magnitude"], np.sqrt(spectrum.real**2 + spectrum.imag**2)) <= 1e-15
    assert off(y["power"], np.abs(spectrum) ** 2) <= 1e-15
    assert np.array_equal(y["real_imag"].numpy(), np.concatenate((spectrum.real, spectrum.imag), 2))


@each_way
@pytest.mark.parametrize("output", get_args(Output))
def test_declared_channels_are_those_that_come_out(output: Output, learn: Learn | None) -> None:
    for n_fft in (1, 8, 9):
        stft = sc.ConvSTFT(n_fft, hop_length=4, output=output, learn=learn)
        assert stft(torch.ones(2, 20)).shape == (2, stft.geometry.num_frames(20), stft.channels_after(0))
        assert stft.out_channels == (2 if output == "real_imag" else 1) * (n_fft // 2 + 1)


@each_way
def test_magnitude_at_digital_silence_is_zero_and_so_is_its_gradient(learn: Learn | None) -> None:
    stft = sc.ConvSTFT(64, hop_length=16, output="magnitude", learn=learn)
    x = torch.zeros(1, 200, requires_grad=True)
    y = stft(x)
    y.sum().backward()
    assert not y.any()
    for leaf in (x, *stft.parameters()):
        assert leaf.grad is not None
        assert not leaf.grad.any()  # NaN is any() too


@each_way
def test_silence_beside_a_signal_leaves_all_gradients_finite(learn: Learn | None) -> None:
    stft = sc.ConvSTFT(64, hop_length=16, output="magnitude", learn=learn)
    x = torch.cat((torch.zeros(1, 300), noise(1, 300).float()), 1).requires_grad_()
    stft(x).sum().backward()
    for leaf in (x, *stft.parameters()):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad.any()


# Learning


@pytest.mark.parametrize("learn", LEARNED)
@pytest.mark.parametrize(
    ("n_fft", "hop_length", "win_length", "window"), CASES[:-1], ids=str
)  # 4096 once: a second each
def test_every_way_of_learning_begins_as_librosas_stft(
    speech: Waveform, n_fft: int, hop_length: int, win_length: int | None, window: Any, learn: Learn
) -> None:
    expected = librosa.stft(speech, n_fft=n_fft, hop_length=hop_length, win_length=win_length, window=window).T
    arguments: dict[str, Any] = {
        "hop_length": hop_length,
        "win_length": win_length,
        "window": window,
        "learn": learn,
    }
    x = torch.as_tensor(speech)[None]
    single = sc.ConvSTFT(n_fft, **arguments)
    assert off(single(x.float())[0], expected) <= float_tolerance(n_fft)
    double = made_in_double(n_fft, **arguments) if learn == "free" else single.double()
    assert off(double(x)[0], expected) <= EXACT


@pytest.mark.parametrize("learn", LEARNED)
def test_an_optimiser_step_moves_every_parameter_and_the_output(learn: Learn) -> None:
    stft = sc.ConvSTFT(64, hop_length=16, learn=learn, output="real_imag")
    x, before = noise(2, 500).float(), {name: p.clone() for name, p in stft.named_parameters()}
    y = stft(x)
    optimiser = torch.optim.Adam(stft.parameters(), lr=0.01)
    (y * noise(*y.shape).float()).sum().backward()
    optimiser.step()
    assert before
    for name, parameter in stft.named_parameters():
        assert (parameter != before[name]).all()
    assert off(stft(x), y.detach()) > 1e-3


@pytest.mark.parametrize("learn", LEARNED)
def test_gradients_are_those_of_finite_differences(learn: Learn) -> None:
    """By torch's gradcheck, away from the starting point."""
    stft = perturbed(sc.ConvSTFT(6, hop_length=4, learn=learn, output="real_imag"))
    x = noise(1, 11).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: stft(x), (x, *stft.parameters()))


@pytest.mark.parametrize("bins", [1, 2, -1])
def test_freq_moved_by_whole_bins_gives_the_filters_of_those_bins(bins: int) -> None:
    stft = sc.ConvSTFT(32, learn="freq").double()
    initial = stft.kernel.detach().unflatten(0, (2, 17))
    with torch.no_grad():
        stft.freq_delta.fill_(bins)
    moved = stft.kernel.detach().unflatten(0, (2, 17))
    kept = slice(max(0, bins), 17 + min(0, bins))
    shown = slice(max(0, -bins), 17 - max(0, bins))
    assert off(moved[:, shown], initial[:, kept]) <= 1e-14  # the rotation's phase, up to 4 pi, is rounded once


def test_delta_is_measured_in_shares_of_each_filters_norm() -> None:
    """A deviation of sqrt(n_fft) at one tap is as large as the filter itself, whatever its window."""
    stft = sc.ConvSTFT(32, win_length=20, learn="delta").double()
    initial = torch.complex(*stft.kernel.detach().chunk(2))
    with torch.no_grad():
        stft.filter_delta[:17, 5] = 32**0.5
    change = torch.complex(*stft.kernel.detach().chunk(2)) - initial
    assert off(change.norm(dim=1), initial.norm(dim=1)) <= 1e-15


def test_only_what_is_learned_is_in_the_state_dict() -> None:
    names = {learn: list(sc.ConvSTFT(16, learn=learn).state_dict()) for learn in LEARN}
    assert names == {
        None: [],
        "window": ["window_delta"],
        "freq": ["freq_delta"],
        "delta": ["filter_delta"],
        "free": ["weight"],
    }


@each_way
@pytest.mark.parametrize("n_fft", [64, 65])
def test_kernel_is_what_forward_computes(n_fft: int, learn: Learn | None) -> None:
    """As a plain product of frames and filters, with parameters that have moved."""
    stft = perturbed(sc.ConvSTFT(n_fft, hop_length=20, win_length=50, learn=learn, output="real_imag"))
    x = noise(2, 300)
    half = n_fft // 2
    frames = torch.nn.functional.pad(x, (half, half)).unfold(1, n_fft, 20)
    assert off(stft(x), (frames @ stft.kernel.T).detach()) <= EXACT


# The basis


@pytest.mark.parametrize("n_fft", [1, 2, 3, 4, 5, 8, 12, 60, 100, 255, 256, 400, 1023])
def test_fourier_basis_is_right_to_the_last_digit(n_fft: int) -> None:
    """Against 80-bit floats. Three roundings of half a unit in the last place: step, phase and sine."""
    k, n = np.arange(n_fft // 2 + 1)[:, None], np.arange(n_fft)
    turn = 8 * np.arctan(np.longdouble(1))
    phase = turn * ((k * n) % n_fft).astype(np.longdouble) / n_fft
    basis = sc.fourier_basis(n_fft)
    assert basis.shape == (n_fft // 2 + 1, n_fft)
    for found, expected in ((basis.real, np.cos(phase)), (basis.imag, -np.sin(phase))):
        error = np.abs(found.numpy().astype(np.longdouble) - expected)
        assert (error <= 3 * 2.0**-53 * np.abs(expected) + 1e-17).all()  # 1e-17: a zero, as 80 bits see it


@pytest.mark.parametrize("n_fft", [7, 8, 12, 400, 512, 513])
def test_fourier_basis_has_its_symmetries_exactly(n_fft: int) -> None:
    basis = sc.fourier_basis(n_fft)
    mirrored = torch.cat((basis[:, :1], basis[:, 1:].flip(1)), 1)
    square = basis[:, : n_fft // 2 + 1]
    assert torch.equal(basis, mirrored.conj().resolve_conj())
    assert torch.equal(square, square.T)
    assert torch.equal(basis[0], torch.ones_like(basis[0]))
    if n_fft % 2 == 0:
        sign = (-1.0) ** torch.arange(n_fft // 2 + 1)[:, None]
        assert torch.equal(basis[:, n_fft // 2 :], sign * basis[:, : n_fft // 2])
        assert not basis[-1].imag.any()
    if n_fft % 8 == 0:
        assert basis[1, n_fft // 8].real == -basis[1, n_fft // 8].imag
        assert basis[1, n_fft // 4] == -1j


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


def test_a_symmetric_window_gives_torchs_stft_with_a_symmetric_window() -> None:
    """As NeMo has it: 400 samples in the middle of 512."""
    x = noise(3000).double()
    window = torch.hann_window(400, periodic=False, dtype=torch.float64)
    expected = torch.stft(x, 512, 160, 400, window, pad_mode="constant", return_complex=True).T
    stft = sc.ConvSTFT(512, hop_length=160, win_length=400, periodic=False).double()
    assert off(torch.view_as_real(stft(x[None])[0]), torch.view_as_real(expected)) <= EXACT
    assert (
        off(
            torch.view_as_real(sc.ConvSTFT(512, hop_length=160, win_length=400).double()(x[None])[0]),
            torch.view_as_real(expected),
        )
        > 1e-3
    )


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


# Half types


@each_way
@pytest.mark.parametrize("dtype", HALF)
def test_half_types_are_as_close_as_their_digits_allow(
    speech: Waveform, dtype: torch.dtype, learn: Learn | None
) -> None:
    x = torch.as_tensor(speech)[None].to(dtype)
    stft = sc.ConvSTFT(learn=learn, output="magnitude")
    expected = sc.ConvSTFT(output="magnitude").double()(x.double())
    y = stft.to(dtype)(x)
    assert y.dtype == dtype
    assert (y.double() - expected).norm() <= HALF[dtype] * expected.norm()


@pytest.mark.parametrize("dtype", HALF)
def test_a_complex_spectrum_of_half_types_is_complex64(dtype: torch.dtype) -> None:
    assert sc.ConvSTFT(16).to(dtype)(torch.ones(1, 30, dtype=dtype)).dtype == torch.complex64


@pytest.mark.parametrize("learn", [None, "window", "freq", "delta", "free"])
@pytest.mark.parametrize("output", ["complex", "power"])
def test_autocast_leaves_the_spectrum_in_float32(output: Output, learn: Learn | None) -> None:
    stft, x = sc.ConvSTFT(64, hop_length=16, learn=learn, output=output), noise(2, 500).float()
    with torch.autocast("cpu", torch.bfloat16):
        y = stft(x)
    assert torch.equal(y, stft(x))


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_fft": 0}, "n_fft (=0) must be an integer >= 1."),
        ({"n_fft": 400.0}, "n_fft (=400.0) must be an integer >= 1."),
        ({"hop_length": 0}, "hop_length (=0) must be an integer >= 1."),
        ({"hop_length": 2.5}, "hop_length (=2.5) must be an integer >= 1."),
        ({"win_length": 0}, "win_length (=0) must be an integer >= 1."),
        ({"win_length": 401}, "win_length (=401) must not be above n_fft (=400)."),
        ({"win_length": 10.5}, "win_length (=10.5) must be an integer >= 1."),
        ({"window": "hannn"}, "window (='hannn') must be a name or tuple that scipy.signal.get_window knows: "),
        ({"window": ("kaiser",)}, "window (=('kaiser',)) must be a name or tuple that scipy.signal.get_window knows: "),
        ({"window": None}, "window (=None) must be a name or tuple that scipy.signal.get_window knows: "),
        ({"pad_mode": "zeros"}, "pad_mode (='zeros') must be one of 'constant', 'reflect'."),
        ({"learn": "all"}, "learn (='all') must be one of None, 'window', 'freq', 'delta', 'free'."),
        ({"learn": True}, "learn (=True) must be one of None, 'window', 'freq', 'delta', 'free'."),
        ({"output": "db"}, "output (='db') must be one of 'complex', 'magnitude', 'power', 'real_imag'."),
    ],
    ids=str,
)
def test_a_refused_argument_is_named_with_what_came_and_what_is_possible(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        sc.ConvSTFT(**arguments)


def test_fourier_basis_refuses_no_samples() -> None:
    with pytest.raises(ValueError, match=r"^n_fft \(=0\) must be an integer >= 1\.$"):
        sc.fourier_basis(0)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            torch.zeros(2, 1, 400),
            ValueError,
            "ConvSTFT expected a waveform of shape (batch, samples), got (2, 1, 400); squeeze the channel axis.",
        ),
        (
            torch.zeros(400),
            ValueError,
            "ConvSTFT expected a waveform of shape (batch, samples), got (400,); add a batch axis: wav[None].",
        ),
        (
            torch.zeros(1, 400, dtype=torch.int16),
            TypeError,
            "ConvSTFT expected a floating tensor, got torch.int16; scale integers first (int16: x.float() / 32768).",
        ),
        (
            np.zeros((1, 400)),
            TypeError,
            "ConvSTFT expected a torch tensor, got ndarray; convert it by torch.as_tensor.",
        ),
    ],
    ids=["3 axes", "1 axis", "integers", "array"],
)
def test_an_input_of_another_shape_or_type_is_refused(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^{re.escape(message)}$"):
        sc.ConvSTFT()(x)


@pytest.mark.parametrize("window", COSINE_WINDOWS)
@pytest.mark.parametrize("length", [1, 2, 255, 400, 4096])
def test_common_windows_are_scipys(window: str, length: int) -> None:
    assert np.abs(centred_window(window, length, length).numpy() - get_window(window, length)).max() <= 1e-15
    symmetric = centred_window(window, length, length, periodic=False).numpy()
    assert np.abs(symmetric - get_window(window, length, fftbins=False)).max() <= 1e-15


def test_a_start_with_a_common_window_does_not_wait_for_scipy() -> None:
    code = "import sys, speechconv as sc; sc.Pipeline.from_preset('logmel'); print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
