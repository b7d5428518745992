"""Is it an STFT? Judged on banks that numpy and scipy make, on silero-vad's, and by an SVD written out here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.signal import get_window

import speechconv as sc
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.identity import fit_stft, identify, nearest_stft
from tests.verification.banks import Array, dft, gabor, hann, noise, pairs, real_only, silero, silero_twin

SAME = (
    1e-25  # float64: filters and carriers round to 1e-15, rho is a square; Newton's frequencies to 1e-13 over 1000 taps
)
FLOAT32 = 1e-12  # float32 rounds each tap to 6e-8, and rho is the square of a relative error

CONFIGURATIONS: list[tuple[int, int | None, Any, str]] = [
    (256, None, "hann", "yes: n_fft 256, periodic Hann"),
    (400, None, "hamming", "yes: n_fft 400, periodic Hamming"),
    (401, None, "blackman", "yes: n_fft 401, periodic Blackman"),
    (512, 400, "hann", "yes: n_fft 512, periodic Hann of 400 samples"),
    (512, None, "boxcar", "yes: n_fft 512, rectangular"),
    (1024, 800, ("kaiser", 8.0), "yes: n_fft 1024, periodic Kaiser(8) of 800 samples"),
]


@pytest.mark.parametrize(("n_fft", "win_length", "window", "verdict"), CONFIGURATIONS, ids=str)
def test_our_own_stft_is_recognised(n_fft: int, win_length: int | None, window: Any, verdict: str) -> None:
    real, imag = sc.ConvSTFT(n_fft, win_length=win_length, window=window).double().kernel.chunk(2)
    answer = identify(FilterBank("stft", real, imag, "stacked", 16000))
    assert (answer.verdict, answer.is_stft, answer.sign) == (verdict, True, -1)
    assert (answer.n_fft, answer.win_length) == (n_fft, win_length or n_fft)
    assert answer.rho <= SAME
    assert np.allclose(answer.frequencies_hz, np.arange(n_fft // 2 + 1) * 16000 / n_fft, rtol=0, atol=1e-9)


def test_silero_is_a_periodic_hann_stft_of_256() -> None:
    rows = load_file(silero())["stft_conv.weight"][:, 0].double()
    _is_silero(FilterBank("stft_conv.weight", rows[:129], rows[129:], "stacked", 16000, 128))


def test_a_twin_of_silero_is_recognised() -> None:
    rows = torch.from_numpy(silero_twin()).double()
    _is_silero(FilterBank("twin", rows[:129], rows[129:], "stacked", 16000, 128))


def _is_silero(bank: FilterBank) -> None:
    answer = identify(bank)
    assert answer.rho < FLOAT32
    assert answer.verdict == "yes: n_fft 256, periodic Hann"


@pytest.mark.parametrize("eps", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("which", ["silero", "twin"])
def test_rho_is_the_square_of_the_noise(which: str, eps: float) -> None:
    """Within 5 %: a window has so few degrees of freedom that it fits next to none of the noise."""
    rows = load_file(silero())["stft_conv.weight"][:, 0].numpy() if which == "silero" else silero_twin()
    wrong = noise(*rows.shape)
    rows = rows + eps * np.linalg.norm(rows) / np.linalg.norm(wrong) * wrong
    answer = identify(pairs(rows[:129] + 1j * rows[129:]))
    assert answer.rho == pytest.approx(eps**2, rel=0.05)
    assert (answer.n_fft, answer.window) == (256, "periodic hann")
    assert answer.is_stft == (eps < 2e-3)
    assert answer.verdict.startswith("yes" if eps < 2e-3 else "no: off an STFT (n_fft 256, periodic Hann)")


@pytest.mark.parametrize("shape", [(129, 256), (40, 400), (512, 256)])
def test_random_filters_are_no_stft(shape: tuple[int, int]) -> None:
    bank = pairs(noise(*shape) + 1j * noise(*shape, seed=1))
    for answer in (identify(bank), identify(real_only(noise(*shape)))):
        assert not answer.is_stft
        assert answer.verdict.startswith("no: no window is common")
        assert (answer.n_fft, answer.window) == (None, None)
        assert answer.rho > 0.7


def test_rho_equals_a_singular_value_decomposition() -> None:
    n_fft, taps = 32, 32
    filters = dft(n_fft, get_window("hamming", taps)) + 0.02 * (noise(17, taps) + 1j * noise(17, taps, seed=1))
    carriers = np.exp(2j * np.pi * np.outer(np.arange(1, 16), np.arange(taps)) / n_fft)
    sigma = np.linalg.svd(filters[1:16] * carriers, compute_uv=False)
    expected = 1 - sigma[0] ** 2 / np.sum(sigma**2)
    assert identify(pairs(filters)).rho == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        lambda z: z * np.linspace(0.1, 3, len(z))[:, None],  # gains
        lambda z: z * np.exp(2j * np.pi * 0.37 * np.arange(len(z)))[:, None],  # another time origin
        lambda z: z[np.random.default_rng(0).permutation(len(z))],  # another order
        lambda z: z.conj(),  # the other sign
        lambda z: z[10:90],  # some of the bins
    ],
    ids=["gains", "time origin", "order", "sign", "fewer bins"],
)
def test_what_leaves_an_stft_an_stft(change: Any) -> None:
    answer = identify(pairs(change(dft(256, hann(256)))))
    assert answer.is_stft
    assert (answer.n_fft, answer.window) == (256, "periodic hann")
    assert answer.rho <= SAME


def test_a_gain_of_each_bin_is_mentioned() -> None:
    filters = dft(256, hann(256)) * np.linspace(0.5, 2, 129)[:, None]
    assert identify(pairs(filters)).verdict == "yes: n_fft 256, periodic Hann, a gain of its own in each bin"


def test_the_sign_is_told() -> None:
    filters = dft(128, hann(128))
    assert identify(pairs(filters)).sign == -1
    assert identify(pairs(filters.conj())).sign == 1
    assert identify(real_only(filters.real)).sign == 0


def _padded(window: Array, left: int, taps: int) -> Array:
    return np.pad(window, (left, taps - left - len(window)))


WINDOWS: list[tuple[str, Array]] = [
    ("rectangular", np.ones(400)),
    ("periodic hann", hann(400)),
    ("symmetric hann", hann(400, periodic=False)),
    ("periodic hamming", get_window("hamming", 400)),
    ("symmetric hamming", get_window("hamming", 400, fftbins=False)),
    ("periodic blackman", get_window("blackman", 400)),
    ("symmetric blackman", get_window("blackman", 400, fftbins=False)),
    ("periodic sqrt-hann", np.sqrt(hann(400))),
    ("symmetric sqrt-hann", np.sqrt(hann(400, periodic=False))),
    ("periodic povey", hann(400) ** 0.85),
    ("symmetric povey", hann(400, periodic=False) ** 0.85),
    ("periodic kaiser(5)", get_window(("kaiser", 5.0), 400)),
    ("symmetric kaiser(12)", get_window(("kaiser", 12.0), 400, fftbins=False)),
]


@pytest.mark.parametrize(("left", "taps"), [(0, 400), (56, 512), (0, 512)], ids=["full", "centred", "left"])
@pytest.mark.parametrize(("name", "window"), WINDOWS, ids=[name for name, _ in WINDOWS])
def test_every_window_is_named_wherever_it_stands(name: str, window: Array, left: int, taps: int) -> None:
    """A periodic Hann window of 400 at the start of 512 samples is the symmetric one of 401 too; its length decides."""
    answer = identify(pairs(dft(512, _padded(window, left, taps))[20:60]))
    assert (answer.window, answer.win_length) == (name, 400)
    assert answer.window_error is not None
    assert answer.window_error <= 1e-14  # kaiser's beta is searched to 1e-7


def test_an_odd_window_is_named_by_where_its_middle_stands() -> None:
    """The same samples are a periodic window of 400 that stands a sample beside the middle."""
    answer = identify(pairs(dft(512, _padded(hann(401, periodic=False), 55, 512))[20:60]))
    assert (answer.window, answer.win_length) == ("symmetric hann", 401)


@pytest.mark.parametrize("eps", [1e-3, 1e-2, 1e-1])
def test_a_padded_window_is_named_in_noise(eps: float) -> None:
    filters = dft(512, _padded(hann(400), 56, 512))
    wrong = noise(*filters.shape) + 1j * noise(*filters.shape, seed=1)
    filters = filters + eps * np.linalg.norm(filters) / np.linalg.norm(wrong) * wrong
    answer = identify(pairs(filters))
    assert answer.window is not None
    assert answer.window.endswith(" hann")
    assert abs(answer.win_length - 400) <= 1000 * eps**2 + 1  # ends of a Hann window drown: (pi n / 400)^2 < noise


def test_a_window_like_no_other_has_no_name() -> None:
    window = 1 + 0.8 * np.cos(2 * np.pi * 3 * np.arange(256) / 256)
    answer = identify(pairs(dft(256, window)))
    assert (answer.is_stft, answer.window) == (True, None)
    assert answer.verdict == "yes: n_fft 256, a window without a name"


def test_a_chirped_window_is_told_from_a_real_one() -> None:
    window = hann(256) * np.exp(1j * np.pi * 0.002 * (np.arange(256) - 128) ** 2)
    answer = identify(pairs(dft(256, window)))
    assert not answer.is_stft
    assert answer.window is None


def test_a_learned_window_is_nearly_hann() -> None:
    answer = identify(pairs(dft(256, hann(256) + 0.02 * noise(256))))
    assert answer.is_stft
    assert answer.verdict == "yes: n_fft 256, nearly periodic Hann"


def test_filters_on_mel_spaced_frequencies_are_no_stft_but_share_their_window() -> None:
    mel = np.linspace(150, 2700, 60)
    turns = np.outer(700 * (10 ** (mel / 2595) - 1) / 16000, np.arange(400))
    answer = identify(pairs(hann(400) * np.exp(2j * np.pi * turns)))
    assert answer.rho < 1e-12  # peaks are found to 1e-8 of a cycle
    assert (answer.is_stft, answer.n_fft, answer.window) == (False, None, "periodic hann")
    assert answer.verdict.startswith("no: windowed Fourier filters on other frequencies")


def test_filters_of_many_widths_are_no_stft() -> None:
    answer = identify(pairs(gabor(np.geomspace(200, 7000, 40))))
    assert (answer.is_stft, answer.window) == (False, None)


@pytest.mark.parametrize("part", ["real", "imag"], ids=["cosines", "sines"])
@pytest.mark.parametrize("left", [0, 56])
def test_cosines_or_sines_alone_are_recognised(part: str, left: int) -> None:
    """Where all sines are 0, nothing shows the window, and its neighbours stand in."""
    filters = getattr(dft(512, _padded(hann(400), left, 512)), part)[1:-1]
    answer = identify(real_only(filters))
    assert (answer.is_stft, answer.n_fft, answer.window, answer.sign) == (True, 512, "periodic hann", 0)
    assert answer.rho <= 1e-18
    assert answer.window_error is not None
    assert answer.window_error < 1e-8  # one sample of a smooth window from its neighbours


def test_noise_on_real_filters_is_measured() -> None:
    filters = dft(256, hann(256)).real
    wrong = noise(*filters.shape)
    answer = identify(real_only(filters + 0.01 * np.linalg.norm(filters) / np.linalg.norm(wrong) * wrong))
    assert answer.rho == pytest.approx(1e-4, rel=0.05)


@pytest.mark.parametrize("filters", [1, 2])
def test_one_or_two_filters_cannot_tell(filters: int) -> None:
    answer = identify(pairs(dft(256, hann(256))[10 : 10 + filters]))
    assert not answer.is_stft
    assert answer.verdict.startswith("too few filters")


@pytest.mark.parametrize("order", ["ascending", "shuffled"])
@pytest.mark.parametrize("dead", [[0], [5], [60], [128], [60, 61], [7, 90, 128]], ids=str)
def test_dead_filters_are_named_and_hide_no_stft(dead: list[int], order: str) -> None:
    filters = dft(256, hann(256))
    filters[dead] = 0
    places = np.arange(129) if order == "ascending" else np.random.default_rng(0).permutation(129)
    answer = identify(pairs(filters[places]))
    silent = [index for index, place in enumerate(places) if place in dead]
    words = " and ".join(map(str, silent))
    assert answer.verdict == (
        f"yes: n_fft 256, periodic Hann; filter{'s' * (len(dead) > 1)} {words} {'is' if len(dead) == 1 else 'are'} dead"
    )
    assert answer.rho <= SAME
    expected = np.where(np.isin(places, dead), np.nan, places * 16000 / 256)
    assert np.allclose(answer.frequencies_hz, expected, rtol=0, atol=1e-9, equal_nan=True)


def test_many_dead_filters_are_counted() -> None:
    filters = dft(256, hann(256))
    filters[40:50] = 0
    assert identify(pairs(filters)).verdict == "yes: n_fft 256, periodic Hann; 10 filters are dead"


def test_the_stft_of_a_bank_has_zeros_where_that_has_a_dead_filter() -> None:
    filters = dft(64, hann(64))
    filters[9] = 0
    bank = pairs(filters)
    found = nearest_stft(bank, fit_stft(bank))
    assert found is not None
    assert np.allclose(found[0].filters.numpy(), filters, rtol=0, atol=1e-12)  # carriers of 64 taps round to 1e-15


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda z: z, ""),
        (lambda z: z / 16, ", times 0.0625"),
        (lambda z: -3 * z, ", times 3, turned by 3.14 rad"),
        (lambda z: z * np.exp(2j * np.pi * np.arange(129) / 256 * 94.7)[:, None], ", time origin at sample 94.7"),
        (lambda z: z.conj() * np.exp(-2j * np.pi * np.arange(129) / 256 * 128)[:, None], ", time origin at sample 128"),
        (lambda z: (2j * z)[np.random.default_rng(0).permutation(129)], ", times 2, turned by 1.57 rad"),
    ],
    ids=["itself", "softer", "negative", "later", "centred, other sign", "louder, shuffled"],
)
def test_the_stft_of_a_bank_has_its_gain_and_time_origin(change: Any, words: str) -> None:
    bank = pairs(change(dft(256, hann(256))))
    found = nearest_stft(bank, fit_stft(bank))
    assert found is not None
    assert found[1] == f"STFT: n_fft 256, periodic Hann{words}"
    error = (found[0].filters - bank.filters).norm() / bank.filters.norm()
    assert error < 1e-12  # angles of up to 2 pi 128 round to 1e-13


def test_near_0_hz_a_filter_without_imaginary_part_is_left_out() -> None:
    """It is two carriers, f and -f, that no demodulation parts."""
    turns = np.outer(np.geomspace(300, 6000, 40) / 16000, np.arange(400))
    bank = hann(400) * np.exp(2j * np.pi * turns)
    bank[7] = hann(400) * np.cos(2 * np.pi * 0.9 * np.arange(400) / 400)
    assert identify(pairs(bank)).rho < 1e-12  # peaks are found to 1e-8 of a cycle


def test_a_slightly_chirped_window_is_told_from_a_real_one() -> None:
    """Three percent of its energy are imaginary, and no noise accounts for them."""
    window = hann(256) * np.exp(1j * np.pi * 0.0002 * (np.arange(256) - 128) ** 2)
    answer = identify(pairs(dft(256, window)))
    assert answer.rho <= SAME
    assert (answer.is_stft, answer.window) == (False, None)
    assert "a complex window" in answer.verdict


def test_a_grid_that_a_third_of_the_bins_miss_is_none() -> None:
    k = np.arange(1, 121)
    turns = np.outer(k + 0.4 * (k % 3 == 0), np.arange(256)) / 256
    answer = identify(pairs(hann(256) * np.exp(2j * np.pi * turns)))
    assert answer.n_fft is None
    assert answer.verdict.startswith("no: windowed Fourier filters on other frequencies")


@pytest.mark.parametrize(("eps", "n_fft"), [(0.5, 256), (0.655, None)])
def test_up_to_half_of_each_filter_it_is_said_which_stft_is_near(eps: float, n_fft: int | None) -> None:
    """rho is eps^2 / (1 + eps^2), 0.2 and 0.3."""
    filters = dft(256, hann(256))
    wrong = noise(*filters.shape) + 1j * noise(*filters.shape, seed=1)
    answer = identify(pairs(filters + eps * np.linalg.norm(filters) / np.linalg.norm(wrong) * wrong))
    assert answer.rho == pytest.approx(eps**2 / (1 + eps**2), rel=0.05)
    assert answer.n_fft == n_fft
    assert answer.verdict.startswith("no: off an STFT" if n_fft else "no: no window is common")


@pytest.mark.parametrize(("size", "dead"), [(1e-12, True), (1e-6, False)])
def test_a_filter_is_dead_below_a_billionth_of_the_loudest(size: float, dead: bool) -> None:
    filters = dft(64, hann(64))
    filters[9] *= size
    assert np.isnan(identify(pairs(filters)).frequencies_hz[9]) == dead
