"""ConvSTFT.inverse: torch.istft, librosa.istft, dense least squares and the signal itself are the judges."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import speechconv as sc
from speechconv.frontend.frame_bounds import two_sided_weight
from tests.frontend.stft_judges import LEARN, made_in_double, noise

ROUND_TRIP = {torch.float32: 2e-6, torch.float64: 1e-11}  # relative L2, kappa up to 4: the spectrum's own rounding
JUDGE = 1e-12  # float64, against other implementations

# n_fft, hop_length, win_length
CASES = [(400, 160, None), (512, 128, None), (768, 192, None), (512, 160, 400), (401, 160, None), (400, 123, 333)]
each_case = pytest.mark.parametrize(("n_fft", "hop_length", "win_length"), CASES, ids=str)
each_way = pytest.mark.parametrize("learn", LEARN)


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """Two half seconds of speech, float64."""
    samples, _ = soundfile.read(Path(__file__).parents[2] / "audio_samples" / "speech" / "en_us_digits_16k.wav")
    return torch.as_tensor(samples[4000:20038]).view(2, -1)


def noisy(stft: sc.ConvSTFT, share: float = 0.1) -> sc.ConvSTFT:
    """`stft` with noise of `share` of its filters' size; a moved bin moves by a tenth, too."""
    scale = 0.6 if stft.learn == "free" else 1.0  # the root mean square of a Hann window
    with torch.no_grad():
        for i, parameter in enumerate(stft.parameters()):
            parameter += share * scale / 2**0.5 * noise(*parameter.shape, seed=i).to(parameter.dtype)
    return stft


def off(y: Tensor, x: Tensor) -> float:
    """Relative L2."""
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    return float((y - x).detach().norm() / x.norm())


@pytest.mark.parametrize("dtype", ROUND_TRIP)
@each_way
@each_case
def test_round_trips(
    speech: Tensor, n_fft: int, hop_length: int, win_length: int | None, learn: Any, dtype: torch.dtype
) -> None:
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, win_length=win_length, learn=learn).to(dtype)
    x = speech.to(dtype)
    for bank in (stft, noisy(stft)):
        assert off(bank.inverse(bank(x), x.shape[1]), x) <= ROUND_TRIP[dtype]


@pytest.mark.parametrize("dtype", ROUND_TRIP)
def test_round_trips_on_real_speech(real_speech: Path, dtype: torch.dtype) -> None:
    """Its twin is test_round_trips."""
    samples, _ = soundfile.read(real_speech / "7_jackson_0.wav")
    x = torch.as_tensor(samples, dtype=dtype)[None]
    for learn in LEARN:
        stft = noisy(sc.ConvSTFT(256, hop_length=80, learn=learn).to(dtype))
        assert off(stft.inverse(stft(x), x.shape[1]), x) <= ROUND_TRIP[dtype]


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("output", ["complex", "real_imag"])
@pytest.mark.parametrize("learn", [None, "delta"])
def test_round_trips_whatever_the_pads_and_the_output(learn: Any, output: Any, pad_mode: Any) -> None:
    x = noise(3, 1000)
    stft = noisy(sc.ConvSTFT(64, hop_length=16, pad_mode=pad_mode, output=output, learn=learn).double())
    assert off(stft.inverse(stft(x), 1000), x) <= ROUND_TRIP[torch.float64]


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("learn", [None, "delta"])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(400, 160), (400, 200), (512, 256)])
def test_without_the_last_frame_the_others_give_what_they_stand_for(
    n_fft: int, hop_length: int, learn: Any, pad_mode: Any
) -> None:
    x = noise(1, 10 * hop_length)
    stft = sc.ConvSTFT(n_fft, hop_length=hop_length, drop_last=True, learn=learn, pad_mode=pad_mode)
    y = noisy(stft.double()).inverse(stft(x))
    assert y.shape == (1, 9 * hop_length)
    assert off(y, x[:, : 9 * hop_length]) <= ROUND_TRIP[torch.float64]


@pytest.mark.parametrize("learn", [None, "window", "delta"])
def test_without_centring_all_that_the_frames_hold_comes_back(learn: Any) -> None:
    stft = noisy(sc.ConvSTFT(63, hop_length=20, window="hamming", center=False, learn=learn).double(), 0.01)
    x = noise(2, 63 + 20 * 14)
    assert off(stft.inverse(stft(x)), x) <= ROUND_TRIP[torch.float64]
    longer = torch.cat((x, noise(2, 7, seed=1)), 1)  # seven samples that no frame sees
    assert off(stft.inverse(stft(longer)), x) <= ROUND_TRIP[torch.float64]


@each_way
def test_a_spectrum_that_was_changed_gives_torch_istfts_answer(learn: Any) -> None:
    """No signal has this spectrum: all three must be the least squares solution, not just any left inverse."""
    stft = sc.ConvSTFT(400, hop_length=160, win_length=321, window="hamming", learn=learn).double()
    if learn == "free":
        stft = made_in_double(400, hop_length=160, win_length=321, window="hamming", learn=learn)
    spectrum = torch.complex(noise(2, 30, 201), noise(2, 30, 201, seed=1))
    spectrum.imag[..., 0] = spectrum.imag[..., -1] = 0
    window = torch.hamming_window(321, dtype=torch.float64)
    expected = torch.istft(spectrum.mT, 400, 160, 321, window)
    ours = stft.inverse(spectrum).detach()
    assert off(ours, expected) <= JUDGE
    theirs = librosa.istft(spectrum[0].mT.numpy(), hop_length=160, win_length=321, window="hamming")
    assert np.abs(ours[0].numpy() - theirs).max() <= JUDGE * np.abs(theirs).max()


@pytest.mark.parametrize("length", [None, 1, 100, 4640, 4700])
def test_length_is_torch_istfts(length: int | None) -> None:
    spectrum = sc.ConvSTFT(400, hop_length=160).double()(noise(1, 4700))
    window = torch.hann_window(400, dtype=torch.float64)
    expected = torch.istft(spectrum.mT, 400, 160, window=window, length=length)
    assert off(sc.ConvSTFT(400, hop_length=160).double().inverse(spectrum, length), expected) <= JUDGE


@pytest.mark.parametrize("center", [True, False])
def test_learned_filters_give_the_least_squares_solution(center: bool) -> None:
    """The judge writes the whole transform as a matrix, with every frequency twice but DC and Nyquist; of a centred one
    the unknowns are the samples from the first on, as far as the frames hold any."""
    stft = noisy(sc.ConvSTFT(12, hop_length=5, window="hamming", learn="delta", center=center).double(), 0.5)
    samples = 12 + 5 * 6 - (6 if center else 0)
    matrix = stft(torch.eye(samples, dtype=torch.float64)).detach()[:, :7] * two_sided_weight(7, odd=False).sqrt()
    matrix = torch.view_as_real(matrix).reshape(samples, -1).T
    spectrum = torch.complex(noise(1, 7, 7), noise(1, 7, 7, seed=1))
    values = torch.view_as_real(spectrum * two_sided_weight(7, odd=False).sqrt()).reshape(-1)
    expected = torch.linalg.lstsq(matrix, values[:, None]).solution.T
    found = stft.inverse(spectrum, samples).detach()
    assert off(found, expected) <= 1e-10  # kappa of the edges is in the hundreds


@pytest.mark.parametrize("learn", ["freq", "delta", "free"])
def test_a_batch_equals_its_rows_alone(learn: Any) -> None:
    stft = noisy(sc.ConvSTFT(64, hop_length=24, learn=learn).double())
    spectrum = stft(noise(3, 500) * torch.tensor([[1.0], [1e-6], [0.0]])).detach()
    together = stft.inverse(spectrum)
    for row, alone in zip(together, spectrum, strict=True):
        assert (stft.inverse(alone[None])[0] - row).abs().max() <= JUDGE * row.abs().max()
    assert bool((together[2] == 0).all())


@pytest.mark.parametrize("learn", [None, "delta"])
def test_nan_is_not_repaired(learn: Any) -> None:
    stft = sc.ConvSTFT(64, hop_length=16, learn=learn)
    spectrum = stft(torch.ones(2, 300)).detach()
    spectrum[0, 5, 3] = float("nan")
    y = stft.inverse(spectrum)
    assert bool(y[0].isnan().any())
    assert bool(y[1].isfinite().all())
    assert bool(stft.inverse(spectrum[:1])[0].isnan().any())  # alone, where no other row keeps the iteration going


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("learn", [None, "delta"])
def test_the_waveform_has_the_spectrums_type(learn: Any, dtype: torch.dtype) -> None:
    stft = sc.ConvSTFT(16, hop_length=4, output="real_imag", learn=learn).to(dtype)
    x = torch.ones(1, 40, dtype=dtype)
    y = stft.inverse(stft(x))
    assert y.dtype == dtype
    assert (y - 1).abs().max() <= 16 * torch.finfo(dtype).eps


@each_way
def test_no_frames_and_no_rows_give_no_samples(learn: Any) -> None:
    stft = sc.ConvSTFT(16, hop_length=4, learn=learn)
    assert stft.inverse(torch.zeros(2, 0, 9, dtype=torch.cfloat)).shape == (2, 0)
    assert stft.inverse(torch.zeros(0, 5, 9, dtype=torch.cfloat)).shape == (0, 16)


@each_way
def test_gradients_reach_the_spectrum_and_the_filters(learn: Any) -> None:
    stft = sc.ConvSTFT(8, hop_length=3, window="hamming", output="real_imag", learn=learn).double()
    stft = noisy(stft)
    spectrum = noise(2, 4, 10).requires_grad_()
    parameters = dict(stft.named_parameters())

    def invert(spectrum: Tensor, *values: Tensor) -> Tensor:
        given = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(Inverse(stft), {f"stft.{k}": v for k, v in given.items()}, (spectrum,))

    values = [p.detach().clone().requires_grad_() for p in parameters.values()]
    assert torch.autograd.gradcheck(invert, (spectrum, *values))


class Inverse(torch.nn.Module):
    def __init__(self, stft: sc.ConvSTFT) -> None:
        super().__init__()
        self.stft = stft

    def forward(self, spectrum: Tensor) -> Tensor:
        return self.stft.inverse(spectrum)


# Refusals


def test_a_rank_deficient_bank_is_refused_with_its_condition_number() -> None:
    stft = sc.ConvSTFT(64, hop_length=48, learn="free").double()
    with torch.no_grad():
        stft.weight[10:33] = stft.weight[43:] = 0  # 20 rows are left for 48 samples
    spectrum = stft(noise(1, 400))
    message = "the bank cannot be inverted at hop_length (=48): its condition number is inf, which must be <= 1e+08;"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        stft.inverse(spectrum)


@pytest.mark.parametrize("learn", [None, "delta"])
def test_a_condition_number_that_float32_cannot_stand_is_refused_and_float64_can(learn: Any) -> None:
    """Periodic Hann at hop n_fft - 1 leaves one window value, sin(pi / 64)^2, squared: kappa 1.7e5."""
    stft = sc.ConvSTFT(64, hop_length=63, learn=learn)
    x = noise(1, 63 * 20)
    with pytest.raises(ValueError, match=r"condition number is 1\.7\de\+05, which must be <= 1e\+05"):
        stft.inverse(stft(x.float()), 63 * 20 - 63)
    stft = stft.double()
    assert off(stft.inverse(stft(x), 63 * 19), x[:, : 63 * 19]) <= 1e-9  # kappa times float64's rounding


@pytest.mark.parametrize("learn", [None, "window", "delta", "free"])
@pytest.mark.parametrize("hop_length", [64, 70])
def test_a_hop_that_steps_over_samples_is_refused(learn: Any, hop_length: int) -> None:
    stft = sc.ConvSTFT(64, hop_length=hop_length, learn=learn).double()
    with pytest.raises(ValueError, match=rf"^the bank cannot be inverted at hop_length \(={hop_length}\): .* is inf"):
        stft.inverse(stft(noise(1, 400)))


@pytest.mark.parametrize("learn", [None, "delta"])
def test_samples_under_no_window_are_refused_by_name(learn: Any) -> None:
    stft = sc.ConvSTFT(64, hop_length=16, center=False, learn=learn)
    with pytest.raises(
        ValueError, match=r"^3 of the 208 samples asked for .* \(0, 1, 207\): condition number inf, .* use center=True"
    ):
        stft.inverse(stft(torch.ones(1, 208)))


@pytest.mark.parametrize(
    ("arguments", "spectrum", "error", "message"),
    [
        ({"output": "power"}, torch.zeros(1, 5, 9), ValueError, "output (='power') has no phase to invert;"),
        ({"output": "magnitude"}, torch.zeros(1, 5, 9), ValueError, "output (='magnitude') has no phase to invert;"),
        ({}, torch.zeros(1, 5, 9), TypeError, "output (='complex') makes a complex spectrum, got torch.float32."),
        (
            {"output": "real_imag"},
            torch.zeros(1, 5, 18, dtype=torch.cfloat),
            TypeError,
            "output (='real_imag') makes a real floating spectrum, got torch.complex64.",
        ),
        ({}, torch.zeros(1, 9, 5), ValueError, "expected a spectrum of shape (batch, frames, 9), got (1, 9, 5)."),
        ({}, torch.zeros(5, 9), ValueError, "expected a spectrum of shape (batch, frames, 9), got (5, 9)."),
    ],
)
def test_what_the_stft_cannot_have_made_is_refused(
    arguments: dict[str, Any], spectrum: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        sc.ConvSTFT(16, hop_length=4, **arguments).inverse(spectrum)


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (25, "length (=25) must be <= 24, the samples in 5 frames."),
        (-1, "length (=-1) must be an integer >= 0."),
        (2.0, "length (=2.0) must be an integer >= 0."),
    ],
)
def test_a_length_beyond_the_frames_is_refused(length: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sc.ConvSTFT(16, hop_length=4).inverse(torch.zeros(1, 5, 9, dtype=torch.cfloat), length)
