"""Drift from a reference, judged by formulas written out filter by filter in numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.spatial.distance import jensenshannon

from speechconv.verification.drift import drift
from tests.verification.banks import Array, dft, hann, noise, pairs, real_only

EXACT = 1e-12  # float64, sums of a few hundred products
ANGLE = 1e-7  # an angle from its sine, scipy's from its cosine where that is the better one; both near rounding's root


@pytest.fixture(scope="module")
def moved() -> tuple[Array, Array]:
    """A bank without DC and Nyquist, and itself after some training."""
    reference = dft(64, hann(64))[1:-1]
    return reference * (1.3 * np.exp(0.4j)) + 0.1 * (noise(31, 64) + 1j * noise(31, 64, seed=1)), reference


def test_every_figure_equals_its_formula(moved: tuple[Array, Array]) -> None:
    z, z0 = moved
    answer = drift(pairs(z), pairs(z0), "where it began")
    size, size0 = np.linalg.norm(z, axis=1), np.linalg.norm(z0, axis=1)
    inner = np.array([np.vdot(b, a) for a, b in zip(z, z0, strict=True)])
    assert answer.reference == "where it began"
    assert answer.total == pytest.approx(np.linalg.norm(z - z0) / np.linalg.norm(z0), rel=EXACT)
    assert np.allclose(answer.change, np.linalg.norm(z - z0, axis=1) / size0, rtol=EXACT)
    assert np.allclose(answer.cosine, np.abs(inner) / (size * size0), rtol=EXACT)
    assert np.allclose(answer.gain, size / size0, rtol=EXACT)
    assert np.allclose(answer.rotation, np.angle(inner), rtol=EXACT)


def test_angles_are_scipys_principal_angles(moved: tuple[Array, Array]) -> None:
    z, z0 = moved
    planes = [[np.stack((x.real, x.imag), 1) for x in bank] for bank in (z, z0)]
    expected = [subspace_angles(a, b).max() for a, b in zip(*planes, strict=True)]
    assert np.allclose(drift(pairs(z), pairs(z0), "").angle, expected, rtol=0, atol=ANGLE)


def test_distances_of_responses_are_scipys(moved: tuple[Array, Array]) -> None:
    z, z0 = moved
    power = [np.abs(np.fft.fft(bank, 512)) ** 2 for bank in (z, z0)]
    expected = [jensenshannon(p, q, base=2) for p, q in zip(*power, strict=True)]
    assert np.allclose(drift(pairs(z), pairs(z0), "").jsd, expected, rtol=1e-9)


def test_a_turn_and_a_gain_leave_cosine_angle_and_response(moved: tuple[Array, Array]) -> None:
    z0 = moved[1]
    answer = drift(pairs(2 * np.exp(0.7j) * z0), pairs(z0), "")
    assert np.allclose(answer.cosine, 1, atol=EXACT)
    assert np.allclose(answer.gain, 2, atol=EXACT)
    assert np.allclose(answer.rotation, 0.7, atol=EXACT)
    assert np.allclose(answer.angle, 0, atol=ANGLE)
    assert np.allclose(answer.jsd, 0, atol=1e-7)  # the root of rounding
    assert answer.total == pytest.approx(abs(2 * np.exp(0.7j) - 1), rel=EXACT)


def test_bins_without_an_imaginary_part_have_a_line_for_a_plane() -> None:
    z0 = dft(16, hann(16))
    z = z0.copy()
    z[0] += 1j * noise(16)  # DC has learned an imaginary part: its plane still holds the old line
    z[8] += noise(16, seed=2)
    angle = drift(pairs(z), pairs(z0), "").angle
    assert angle[0] == pytest.approx(0, abs=ANGLE)
    assert angle[8] == pytest.approx(subspace_angles(z[8].real[:, None], z0[8].real[:, None])[0], abs=ANGLE)


def test_real_filters_have_lines() -> None:
    h, h0 = noise(5, 32), noise(5, 32, seed=1)
    answer = drift(real_only(h), real_only(h0), "")
    expected = [subspace_angles(a[:, None], b[:, None])[0] for a, b in zip(h, h0, strict=True)]
    assert np.allclose(answer.angle, expected, atol=ANGLE)
    assert np.allclose(answer.cosine, np.abs(np.cos(expected)), atol=1e-9)


@pytest.mark.parametrize(("longer", "left"), [(400, 72), (401, 72), (403, 73)])
def test_the_shorter_kernels_are_centred(longer: int, left: int) -> None:
    short = noise(3, 256)
    long = np.zeros((3, longer))
    long[:, left : left + 256] = short
    assert drift(real_only(short), real_only(long), "").total == 0
    assert drift(real_only(long), real_only(short), "").total == 0


def test_banks_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a reference with 4 filters, as filters; filters has 5"):
        drift(real_only(noise(4, 8)), real_only(noise(5, 8)), "")
    with pytest.raises(ValueError, match="pairs holds pairs, the reference filters does not"):
        drift(pairs(noise(4, 8) + 1j), real_only(noise(4, 8)), "")
    with pytest.raises(ValueError, match="filters holds real-only filters, the reference pairs does not"):
        drift(real_only(noise(4, 8)), pairs(noise(4, 8) + 1j), "")


@pytest.mark.parametrize("which", ["bank", "reference"])
def test_a_dead_filter_has_a_change_and_a_gain_and_nothing_else(which: str, moved: tuple[Array, Array]) -> None:
    z, z0 = (bank.copy() for bank in moved)
    (z if which == "bank" else z0)[3] = 0
    answer = drift(pairs(z), pairs(z0), "")
    for name in ("cosine", "rotation", "angle", "jsd"):
        assert [np.isnan(value) for value in getattr(answer, name)] == [index == 3 for index in range(31)], name
    if which == "bank":
        assert (answer.change[3], answer.gain[3]) == (1, 0)
