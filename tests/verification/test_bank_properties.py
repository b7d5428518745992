"""The bank as a whole, judged by dense matrices on short circles and by sums written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dct

from speechconv.frontend.frame_bounds import frame_bounds
from speechconv.verification.bank_properties import aliasing, describe_bank, reconstruction_error
from tests.verification.banks import Array, dft, hann, noise, pairs, real_only, silero_twin

EXACT = 1e-12  # float64, sums of a few hundred products


def cyclic_operator(rows: Array, hop: int, samples: int) -> Array:
    """Every filter at every frame of a circle: (rows frames, samples)."""
    matrix = np.zeros((len(rows), samples // hop, samples))
    for frame in range(samples // hop):
        for n in range(rows.shape[1]):
            matrix[:, frame, (frame * hop + n) % samples] += rows[:, n]
    return matrix.reshape(-1, samples)


@pytest.mark.parametrize("hop", [1, 2, 5])
def test_aliasing_equals_a_sum_over_shifted_responses(hop: int) -> None:
    rows, points = noise(6, 10), 40
    h = np.fft.fft(rows, points)
    size = [np.linalg.norm((h * np.roll(h, j * points // hop, 1).conj()).sum(0)) for j in range(hop)]
    assert aliasing(real_only(rows).real, hop) == pytest.approx(sum(size[1:]) / size[0], rel=EXACT, abs=EXACT)


@pytest.mark.parametrize(("rows", "taps", "hop"), [(8, 12, 3), (6, 10, 4), (5, 7, 5), (4, 6, 9), (3, 16, 6)])
def test_what_the_dual_loses_equals_a_dense_pseudo_inverse(rows: int, taps: int, hop: int) -> None:
    """With fewer rows than the hop something is lost, as much as a projection onto the row space says."""
    filters = noise(rows, taps)
    bank = real_only(filters).real
    frames = max(16, 4 * -(-taps // hop))
    operator = cyclic_operator(filters, hop, frames * hop)
    x = torch.randn(frames * hop, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).numpy()
    restored = np.linalg.pinv(operator) @ (operator @ x)
    expected = np.linalg.norm(restored - x) / np.linalg.norm(x)
    error = reconstruction_error(bank, hop, frame_bounds(bank, hop))
    assert error == pytest.approx(expected, rel=1e-6, abs=1e-10)
    assert (error < 1e-9) == (rows >= hop)


def test_bounds_of_silero() -> None:
    """reference: plain 2.618, two-sided 2.000, of a Hann window at half its length."""
    rows = silero_twin()
    answer = describe_bank(pairs(rows[:129] + 1j * rows[129:], hop_length=128))
    assert answer.kappa == pytest.approx(2.618, abs=5e-4)
    assert answer.kappa_two_sided == pytest.approx(2, abs=1e-6)
    assert answer.A is not None
    assert answer.B is not None
    assert answer.parseval == pytest.approx(1 - answer.A / answer.B, rel=EXACT)
    assert answer.reconstruction_error is not None
    assert answer.reconstruction_error < 1e-12


def test_figures_without_a_hop_equal_their_formulas() -> None:
    rows = noise(9, 20)
    answer = describe_bank(real_only(rows))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    p = np.linalg.svd(rows, compute_uv=False) ** 2
    p /= p.sum()
    response = np.abs(np.fft.rfft(rows, 64)).mean(0)
    assert answer.coherence == pytest.approx(np.abs(unit @ unit.T - np.eye(9)).max(), rel=EXACT)
    assert answer.effective_rank == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-10)
    assert np.allclose(answer.cumulative_response, response / response.max(), rtol=EXACT)
    assert np.allclose(answer.response_hz, np.arange(33) * 8000 / 32, rtol=EXACT)
    assert (answer.rows, answer.taps) == (9, 20)


def test_without_a_hop_only_what_needs_none_is_answered() -> None:
    answer = describe_bank(pairs(dft(64, hann(64))))
    needs_hop = ("hop_length", "A", "B", "kappa", "kappa_two_sided", "aliasing", "parseval", "reconstruction_error")
    assert [getattr(answer, name) for name in needs_hop] == [None] * len(needs_hop)
    assert answer.effective_rank > 30


def test_a_silent_row_has_no_say_in_coherence() -> None:
    """Bin 0's imaginary part is zero."""
    answer = describe_bank(pairs(dft(16, np.ones(16))))
    assert answer.coherence == pytest.approx(0, abs=1e-12)


def test_an_orthonormal_bank_loses_and_folds_nothing() -> None:
    """The DCT in blocks: tight, no aliasing but what cancels, full rank."""
    answer = describe_bank(real_only(np.asarray(dct(np.eye(8), norm="ortho", axis=0)), hop_length=8))
    assert answer.kappa == pytest.approx(1, abs=EXACT)
    assert answer.parseval == pytest.approx(0, abs=EXACT)
    assert answer.aliasing == pytest.approx(0, abs=EXACT)
    assert answer.effective_rank == pytest.approx(8, rel=EXACT)
    assert answer.reconstruction_error is not None
    assert answer.reconstruction_error < EXACT


def test_a_hop_beyond_the_kernel_loses_what_lies_between() -> None:
    answer = describe_bank(real_only(noise(12, 6), hop_length=8))
    assert answer.A == 0
    assert answer.kappa == float("inf")
    assert answer.reconstruction_error == pytest.approx(0.5, abs=0.1)  # two of eight samples, a quarter of the energy


def test_soft_rows_count_in_coherence_and_in_what_is_restored() -> None:
    rows = np.eye(4, 6)
    rows[2:] = 1e-3 * rows[1]
    assert describe_bank(real_only(rows)).coherence == pytest.approx(1, abs=EXACT)
    rows = np.diag([1, 1e-2, 0])[:2]
    error = describe_bank(real_only(rows, hop_length=3)).reconstruction_error
    assert error == pytest.approx(1 / np.sqrt(3), abs=0.15)  # one sample of three is lost, not the soft one
