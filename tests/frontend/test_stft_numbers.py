"""Numbers of ConvSTFT: librosa, torch.stft and plain numpy are the judges."""

from __future__ import annotations

from typing import Any, get_args

import librosa
import numpy as np
import pytest
import torch
from scipy.signal import get_window

import speechconv as sc
from speechconv.frontend.stft import Learn, Output
from tests.frontend.stft_judges import (
    CASES,
    EXACT,
    Waveform,
    each_way,
    float_tolerance,
    made_in_double,
    named,
    noise,
    off,
)

HALF = {torch.bfloat16: 0.02, torch.float16: 0.005}  # relative L2: these round to 2^-9 and 2^-12, in and out

each_case = pytest.mark.parametrize("case", CASES, ids=named)


# Against librosa and torch


@pytest.mark.parametrize("center", [True, False])
@each_case
def test_float64_equals_librosa(speech: Waveform, case: dict[str, Any], center: bool) -> None:
    expected = librosa.stft(speech, center=center, **case).T
    x = torch.as_tensor(speech)[None]
    cast = sc.ConvSTFT(center=center, **case).double()
    assert off(cast(x)[0], expected) <= EXACT
    assert torch.equal(made_in_double(center=center, **case)(x), cast(x))


@pytest.mark.parametrize("center", [True, False])
@each_case
def test_float32_equals_librosa(speech: Waveform, case: dict[str, Any], center: bool) -> None:
    expected = librosa.stft(speech, center=center, **case).T
    y = sc.ConvSTFT(center=center, **case)(torch.as_tensor(speech, dtype=torch.float32)[None])[0]
    assert y.dtype == torch.complex64
    assert off(y, expected) <= float_tolerance(case["n_fft"])


@each_case
def test_reflect_padding_equals_torch_stft(speech: Waveform, case: dict[str, Any]) -> None:
    x = torch.as_tensor(speech)[None]
    window = get_window(case["window"], case["win_length"] or case["n_fft"])
    arguments: dict[str, Any] = case | {"window": torch.as_tensor(window)}
    expected = torch.stft(x, **arguments, pad_mode="reflect", return_complex=True).mT
    stft = sc.ConvSTFT(**case, pad_mode="reflect")
    assert off(stft(x.float()), expected) <= float_tolerance(case["n_fft"])
    assert off(stft.double()(x), expected) <= EXACT


def test_the_defaults_are_librosas_conventions(speech: Waveform) -> None:
    """Window, padding, phase and scale; only the sizes are ours, 25 ms every 10 ms at 16 kHz."""
    expected = librosa.stft(speech, n_fft=400, hop_length=160).T
    assert off(sc.ConvSTFT().double()(torch.as_tensor(speech)[None])[0], expected) <= EXACT


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
