"""Frame bounds: the judges are the operator itself as one large matrix, closed forms, and what others published."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.signal import get_window
from torch import Tensor

import speechconv as sc
from speechconv.frontend.frame_bounds import (
    FrameBounds,
    frame_bounds,
    frame_operator_eigenvalues,
    polyphase,
    two_sided,
)
from tests.verification.banks import silero

EXACT = 1e-12  # of B, float64: eigenvalues of a sum of some hundred products


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bounds_by_brute_force(filters: Tensor, hop: int, frames: int) -> tuple[float, float]:
    """Extreme eigenvalues of the frame operator on cyclic signals of frames * hop samples, written out as a matrix."""
    samples = frames * hop
    rows = []
    for h in filters.numpy():
        for t in range(frames):
            row = np.zeros(samples)
            for n, tap in enumerate(h):
                row[(t * hop + n) % samples] += tap
            rows.append(row)
    matrix = np.array(rows)
    eigenvalues = np.linalg.eigvalsh(matrix.T @ matrix)
    return eigenvalues[0], eigenvalues[-1]


def closed_form(n_fft: int, hop: int, window: str, win_length: int) -> tuple[float, float]:
    """The STFT's two-sided bounds, for hops up to win_length: n_fft min and max of the overlapped squared windows."""
    squares = np.pad(np.square(get_window(window, win_length)), (0, -win_length % hop)).reshape(-1, hop).sum(0)
    return n_fft * squares.min(), n_fft * squares.max()


@pytest.mark.parametrize("frames", [6, 40], ids=["shorter than the filters", "longer"])
@pytest.mark.parametrize("hop", [1, 2, 4, 5])
def test_bounds_equal_the_cyclic_operators_on_the_same_grid(hop: int, frames: int) -> None:
    filters = noise(7, 23)
    A, B = bounds_by_brute_force(filters, hop, frames)
    ours = frame_bounds(filters, hop, num_points=frames // 2 + 1)
    assert abs(ours.A - A) <= EXACT * B
    assert abs(ours.B - B) <= EXACT * B


@pytest.mark.parametrize("hop", [1, 3, 8])
def test_the_polyphase_matrix_is_the_frame_operators_root(hop: int) -> None:
    filters = noise(9, 21)
    omega = torch.linspace(0, math.pi, 11, dtype=torch.float64)
    singular = torch.linalg.svdvals(polyphase(filters, hop, omega)).square().flip(1)
    eigenvalues = frame_operator_eigenvalues(filters, hop, 11)
    assert (singular - eigenvalues).abs().max() <= EXACT * eigenvalues.max()


@pytest.mark.parametrize(
    ("n_fft", "hop", "win_length", "window"),
    [
        (400, 160, 400, "hann"),
        (512, 128, 512, "hann"),
        (256, 128, 256, "hann"),
        (512, 160, 400, "hamming"),
        (401, 100, 401, "hann"),
        (401, 77, 300, "blackman"),
        (64, 64, 64, "hamming"),
    ],
)
def test_two_sided_stft_bounds_equal_the_closed_form(n_fft: int, hop: int, win_length: int, window: str) -> None:
    kernel = sc.ConvSTFT(n_fft, hop_length=hop, win_length=win_length, window=window).double().kernel
    ours = frame_bounds(two_sided(*kernel.chunk(2)), hop)
    A, B = closed_form(n_fft, hop, window, win_length)
    assert abs(ours.A - A) <= EXACT * B
    assert abs(ours.B - B) <= EXACT * B


@pytest.mark.parametrize("hop", [1, 3, 8])
def test_refined_bounds_equal_those_of_a_grid_a_thousand_times_as_fine(hop: int) -> None:
    """A grid 1000 times as fine as the first one is off by the curvature of a step: (P pi / 8000 P)^2 / 8 < 1e-7."""
    for seed in range(10):
        filters = noise(hop + 2, 24, seed=seed)
        fine = frame_bounds(filters, hop, num_points=1000 * 8 * 24 // hop + 1)
        ours = frame_bounds(filters, hop)
        assert ours.kappa == pytest.approx(fine.kappa, rel=1e-6)
        assert ours.B >= fine.B * (1 - 1e-7)
        assert ours.A <= fine.A * (1 + 1e-7)


@pytest.mark.parametrize(("rows", "taps", "hop"), [(1, 128, 1), (2, 32, 2), (8, 128, 8)])
def test_of_many_dips_the_deepest_is_found(rows: int, taps: int, hop: int) -> None:
    """As many rows as samples of a hop, or fewer: nearly as many dips as taps, and the lowest grid point need not stand
    beside the deepest of them. The judge's grid is 50 to 250 times as fine."""
    for seed in range(20):
        filters = noise(rows, taps, seed=seed)
        fine = frame_bounds(filters, hop, num_points=(2000 if hop == 1 else 400) * taps // hop + 1)
        assert frame_bounds(filters, hop).A <= fine.A * (1 + 1e-6)


def test_refinement_finds_what_the_grid_steps_over() -> None:
    """A narrow dip between two points: one zero pair of the filter's response, just inside the circle."""
    radius, angle = 0.9999, 0.7531
    filters = torch.tensor([[1.0, -2 * radius * math.cos(angle), radius**2]], dtype=torch.float64)
    response = np.abs(np.polyval(filters[0].numpy()[::-1], np.exp(-1j * np.linspace(0.75, 0.756, 2_000_001)))) ** 2
    refined, coarse = frame_bounds(filters, 1), frame_bounds(filters, 1, num_points=25)
    assert refined.kappa == pytest.approx(refined.B / response.min(), rel=1e-6)
    assert coarse.kappa < refined.kappa / 100


def test_sileros_bank_has_the_published_condition_numbers() -> None:
    bank = load_file(silero())["stft_conv.weight"][:, 0]
    assert frame_bounds(bank, 128).kappa == pytest.approx(2.618, abs=5e-4)
    assert frame_bounds(two_sided(*bank.chunk(2)), 128).kappa == pytest.approx(2.0, abs=1e-5)  # float32 weights


def test_an_stft_equal_to_sileros_bank_has_its_condition_numbers() -> None:
    """The plain one is the golden ratio squared."""
    bank = sc.ConvSTFT(256, hop_length=128).double().kernel
    assert frame_bounds(bank, 128).kappa == pytest.approx((3 + math.sqrt(5)) / 2, rel=1e-6)
    assert frame_bounds(two_sided(*bank.chunk(2)), 128).kappa == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize(
    ("filters_of", "kappas"),
    [(lambda taps: 32, (2.06, 2.49, 2.99, 3.43)), (lambda taps: 8 * int(math.log2(taps)), (2.04, 2.06, 2.14, 2.15))],
    ids=["J = 32", "J = 8 log2 T"],
)
def test_random_gaussian_banks_are_as_stable_as_haider_et_al_found(filters_of, kappas: tuple[float, ...]) -> None:
    """Instabilities in convnets for raw audio, arXiv 2309.05855: mean of 200 draws, stride 1, 8 T frequencies."""
    for T, kappa in zip((16, 64, 256, 1024), kappas, strict=True):
        J = filters_of(T)
        draws = [
            frame_bounds(noise(J, T, seed=seed) / math.sqrt(J * T), 1, num_points=4 * T + 1).kappa
            for seed in range(200)
        ]
        assert sum(draws) / 200 == pytest.approx(kappa, rel=0.05)


def test_fewer_filters_than_samples_of_a_hop_have_no_lower_bound() -> None:
    ours = frame_bounds(noise(7, 40), 8)
    assert (ours.A, ours.kappa) == (0.0, math.inf)
    assert frame_bounds(torch.zeros(3, 4), 2) == FrameBounds(0.0, 0.0)
    assert FrameBounds(0.0, 0.0).kappa == math.inf


def test_a_hop_beyond_the_taps_loses_what_lies_between_the_frames_at_once() -> None:
    """B is then that of one frame, whatever the hop: a matrix of hop x hop would be no fun."""
    filters = noise(9, 20)
    expected = np.linalg.svd(filters.numpy())[1][0] ** 2
    for hop in (21, 1_000_000):
        for num_points in (None, 7):
            ours = frame_bounds(filters, hop, num_points=num_points)
            assert (ours.A, ours.kappa) == (0.0, math.inf)
            assert pytest.approx(expected, rel=1e-12) == ours.B


def test_a_bank_that_loses_one_frequency_has_no_lower_bound() -> None:
    """Differences lose what is constant; at hop 3 the phases of all rows together still do."""
    filters = noise(12, 20)
    filters -= filters.mean(1, keepdim=True)
    assert frame_bounds(filters, 1).A == 0
    aliased = noise(12, 21).view(12, 7, 3)
    aliased -= aliased.mean(1, keepdim=True)  # every phase of the hop loses what is constant from frame to frame
    assert frame_bounds(aliased.reshape(12, 21), 3).kappa == math.inf


def test_eigenvalues_that_coincide_have_finite_gradients() -> None:
    kernel = sc.ConvSTFT(32, hop_length=8).double().kernel.requires_grad_()
    frame_operator_eigenvalues(two_sided(*kernel.chunk(2)), 8, 33).log().sum().backward()
    assert kernel.grad is not None
    assert bool(kernel.grad.isfinite().all())
    assert torch.autograd.gradcheck(lambda z: frame_operator_eigenvalues(z, 3, 7), noise(5, 8).requires_grad_())


@pytest.mark.parametrize(
    ("filters", "hop", "message"),
    [
        (torch.zeros(3), 1, "filters must be real and of shape (rows, taps), got real (3,);"),
        (torch.zeros(0, 3), 1, "filters must be real and of shape (rows, taps), got real (0, 3);"),
        (
            torch.zeros(2, 3, dtype=torch.cfloat),
            1,
            "filters must be real and of shape (rows, taps), got complex (2, 3)",
        ),
        (torch.tensor([[1.0, math.nan]]), 1, "filters must be finite, got NaN or infinity."),
        (torch.ones(2, 3), 0, "hop (=0) must be an integer >= 1."),
    ],
    ids=["one axis", "no rows", "complex", "NaN", "no hop"],
)
def test_what_is_no_bank_is_refused(filters: Tensor, hop: int, message: str) -> None:
    for ask in (
        lambda: frame_bounds(filters, hop),
        lambda: frame_operator_eigenvalues(filters, hop, 9),
        lambda: polyphase(filters, hop, torch.zeros(1)),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            ask()


def test_a_grid_holds_both_ends_at_least() -> None:
    with pytest.raises(ValueError, match=r"^num_points \(=1\) must be an integer >= 2\.$"):
        frame_bounds(torch.ones(2, 3), 1, num_points=1)


def test_halves_of_different_shapes_are_no_pairs() -> None:
    with pytest.raises(
        ValueError, match=r"^real and imag must have one shape \(bins, taps\), got \(2, 4\) and \(3, 4\)"
    ):
        two_sided(torch.ones(2, 4), torch.ones(3, 4))
