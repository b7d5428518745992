"""What ConvSTFT learns, and its gradients: librosa, finite differences and plain products are the judges."""

from __future__ import annotations

from typing import Any

import librosa
import pytest
import torch

import speechconv as sc
from speechconv.frontend.stft import Learn
from tests.frontend.stft_judges import (
    CASES,
    EXACT,
    LEARN,
    LEARNED,
    Waveform,
    each_way,
    float_tolerance,
    made_in_double,
    named,
    noise,
    off,
    perturbed,
)


@pytest.mark.parametrize("learn", LEARNED)
@pytest.mark.parametrize("case", CASES[:-1], ids=named)  # 4096 once: a second each
def test_every_way_of_learning_begins_as_librosas_stft(speech: Waveform, case: dict[str, Any], learn: Learn) -> None:
    expected = librosa.stft(speech, **case).T
    x = torch.as_tensor(speech)[None]
    single = sc.ConvSTFT(**case, learn=learn)
    assert off(single(x.float())[0], expected) <= float_tolerance(case["n_fft"])
    double = made_in_double(**case, learn=learn) if learn == "free" else single.double()
    assert off(double(x)[0], expected) <= EXACT


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


# Gradients


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
