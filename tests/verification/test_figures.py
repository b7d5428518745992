"""What the figures of a report draw, read back from the SVG and from the pixels, judged by numpy."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dct

from speechconv.verification import figures
from speechconv.verification.answers import DriftAnswer, ProbeAnswer, SoundAnswer
from speechconv.verification.bank_properties import describe_bank
from speechconv.verification.drift import drift
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.filter_shape import describe_filters
from speechconv.verification.report import write_report
from speechconv.verification.scales import SCALES
from tests.pages.drawings import Drawing
from tests.verification.banks import HZ, Array, dft, gabor, hann, noise, pairs, real_only
from tests.verification.verifications import verified

COLOUR = 60 / 255 / 2 + 1e-6  # half a step of the colour scale, dB
PIXEL = 3e-3  # marks are written to a tenth of a unit, a three hundredth of a percent of an axis and more

SHUFFLED = np.random.default_rng(5).permutation(33)


def uneven() -> Array:
    """An STFT's filters in no order, each of a size of its own."""
    return (dft(64, hann(64)) * np.linspace(0.2, 1, 33)[:, None])[SHUFFLED]


def responses(filters: Array) -> Array:
    """dB of the bank's largest, lowest peak first, not below -60: the side where an STFT turns."""
    power = np.abs(np.fft.fft(filters.conj(), 512)[:, :257]) ** 2
    power = power[np.argsort(power.argmax(1), kind="stable")]
    return np.maximum(10 * np.log10(power / power.max() + 1e-30), -60)


def test_a_heat_map_has_the_filters_from_the_bottom_up_by_peak() -> None:
    drawn = Drawing(figures.frequency_responses(pairs(uneven()))).heat_map(figures.FLOOR_DB)
    assert np.allclose(drawn, responses(uneven()), rtol=0, atol=COLOUR)
    assert drawn.argmax(1).tolist() == sorted(drawn.argmax(1))


def test_what_a_heat_map_has_no_room_for_is_joined_by_its_maximum() -> None:
    """The Gram matrix of 600 orthonormal filters is a diagonal of 0 dB, which stays whole in 512 pixels."""
    rows = np.asarray(dct(np.eye(600), norm="ortho", axis=0))
    drawn = Drawing(figures.gram(real_only(rows))).heat_map(figures.FLOOR_DB)
    assert drawn.shape == (512, 512)
    assert np.diag(drawn).min() == 0


def test_a_gram_matrix_is_the_cosines_of_filters_sorted_by_peak() -> None:
    unit = uneven()[np.argsort(SHUFFLED)]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    expected = np.maximum(20 * np.log10(np.abs(unit @ unit.conj().T) + 1e-30), -60)
    drawn = Drawing(figures.gram(pairs(uneven()))).heat_map(figures.FLOOR_DB)
    assert np.allclose(drawn, expected, rtol=0, atol=COLOUR)


def test_an_impulse_response_is_the_taps_over_time_and_the_reference_lies_over_them() -> None:
    bank, reference = pairs(uneven()), pairs(np.flipud(uneven()))
    drawing = Drawing(figures.impulse_response(bank, 7, reference, "low"))
    z, z0 = uneven()[7], np.flipud(uneven())[7]
    for style, taps in {"first": z.real, "second": z.imag, "magnitude": np.abs(z), "before": np.abs(z0)}.items():
        expected = np.stack((1000 * np.arange(64) / HZ, taps), 1)
        assert np.allclose(drawing.line(style), expected, rtol=0, atol=PIXEL * 4), style
    assert drawing.words == "Impulse response of filter 7, low"
    real = real_only(noise(3, 64)), real_only(noise(3, 64, seed=1))
    drawing = Drawing(figures.impulse_response(real[0], 2, real[1], "low"))
    assert np.allclose(np.array(drawing.line("before"))[:, 1], noise(3, 64, seed=1)[2], rtol=0, atol=0.02)
    assert 'class="line second"' not in figures.impulse_response(real[0], 2, real[1], "low")


@pytest.mark.parametrize(
    ("style", "scale", "step", "tolerance"),
    [("mel", "mel_htk", 100, 0.005), ("bark", "bark", 1, 0.005), ("erb", "erb", 1, 0.01)],
)
def test_curves_are_steps_of_the_scales_that_peaks_are_fitted_to(
    style: str, scale: str, step: float, tolerance: float
) -> None:
    """Numeric derivatives; Glasberg and Moore round the ERB and its scale apart, by half a percent."""
    drawing = Drawing(figures.bandwidth(describe_filters(pairs(uneven())), HZ), log_x=True, log_y=True)
    frequency, width = np.array(drawing.line(style)).T
    assert frequency[0] == pytest.approx(HZ / 400, rel=PIXEL)
    assert frequency[-1] == pytest.approx(HZ / 2, rel=PIXEL)
    on_scale = [SCALES[scale](torch.from_numpy(frequency + d)).numpy() for d in (-0.5, 0.5)]
    assert np.allclose(width, step / (on_scale[1] - on_scale[0]), rtol=tolerance)


def test_bandwidths_and_peaks_are_the_filters_own() -> None:
    filters = describe_filters(pairs(gabor(np.array([3000.0, 500, 1200, 6000]))))
    drawing = Drawing(figures.bandwidth(filters, HZ), log_x=True, log_y=True)
    assert np.allclose(drawing.dots(), [(f.peak_hz, f.erb_hz) for f in filters], rtol=2 * PIXEL)
    peaks = Drawing(figures.sorted_peaks(filters, HZ)).dots()
    assert np.allclose(peaks, [(1, 0.5), (2, 1.2), (3, 3), (4, 6)], rtol=0, atol=2 * PIXEL)


def test_dead_filters_are_not_among_the_sorted_peaks() -> None:
    z = dft(64, hann(64))
    z[4] = 0
    assert len(Drawing(figures.sorted_peaks(describe_filters(pairs(z)), HZ)).dots()) == 32


@pytest.fixture(scope="module")
def moved() -> DriftAnswer:
    z0 = uneven()
    z = z0 * np.linspace(0.5, 2, 33)[:, None] + 0.05 * noise(33, 64)
    return drift(pairs(z), pairs(z0), "where it began")


@pytest.mark.parametrize(("figure", "name"), [(figures.drift, "change"), (figures.shape_drift, "jsd")])
def test_drift_is_drawn_at_each_peak(figure: Callable[..., str], name: str, moved: DriftAnswer) -> None:
    peaks = [f.peak_hz for f in describe_filters(pairs(uneven()))]
    drawing = Drawing(figure(moved, peaks, HZ))
    expected = np.stack((np.array(peaks) / 1000, getattr(moved, name)), 1)
    assert np.allclose(drawing.dots(), expected, rtol=0, atol=PIXEL * 8)
    assert drawing.stems() == drawing.dots()
    assert name.replace("jsd", "Jensen-Shannon") in drawing.words


def test_the_cumulative_response_is_the_answer_s() -> None:
    answer = describe_bank(pairs(uneven()))
    drawn = Drawing(figures.cumulative_response(answer, HZ)).line("first")
    expected = np.stack((np.array(answer.response_hz) / 1000, answer.cumulative_response), 1)
    assert np.allclose(drawn, expected, rtol=0, atol=PIXEL * 8)


def test_differences_of_sound_are_drawn_by_bin_as_far_as_they_are_heard() -> None:
    answer = SoundAnswer("wav", "stft", 1.0, 4.0, 2.0, [0.5, -3.0, float("nan"), 2.0])
    drawn = Drawing(figures.sound_difference(answer)).line("first")
    assert np.allclose(drawn, [(0, 0.5), (1, -3), (3, 2)], rtol=0, atol=0.02)


def probed() -> ProbeAnswer:
    """Three channels that answer to three sines, in no order."""
    response = [[0.1, 1.0, 0.5], [4.0, 0.4, 2.0], [0.3, 0.2, 0.6]]
    return ProbeAnswer(0.1, [100.0, 1000.0, 4000.0], response, [1000.0, 100.0, 4000.0], 400, 320, 10.0, [])


def test_a_probe_is_drawn_by_channel_each_in_decibel_of_its_own_largest() -> None:
    drawn = Drawing(figures.probe_responses(probed()), log_x=True).heat_map(-30.0)
    ordered = np.array([[4.0, 0.4, 2.0], [0.1, 1.0, 0.5], [0.3, 0.2, 0.6]])
    expected = 20 * np.log10(ordered / ordered.max(1, keepdims=True))
    columns = [0, round(np.log(10) / np.log(40) * 383), 383]  # where the sines stand on a logarithmic axis
    assert np.allclose(drawn[:, columns], expected, rtol=0, atol=COLOUR)
    peaks = Drawing(figures.probe_peaks(probed()), log_y=True).dots()
    assert np.allclose(peaks, [(1, 100), (2, 1000), (3, 4000)], rtol=2 * PIXEL)


def test_channels_that_answer_to_nothing_have_no_peak_to_draw() -> None:
    deaf = dataclasses.replace(probed(), peak_hz=[1000.0, math.nan, 4000.0])
    assert len(Drawing(figures.probe_peaks(deaf), log_y=True).dots()) == 2
    none = dataclasses.replace(probed(), peak_hz=[math.nan] * 3)
    assert Drawing(figures.probe_peaks(none), log_y=True).dots() == []


def page_of(bank: FilterBank, reference: FilterBank | None, folder: Path) -> str:
    write_report(verified(bank, reference), bank, reference, folder / "report.html")
    return (folder / "report.html").read_text("utf-8")


def test_a_report_has_the_bank_first_and_the_reference_beside_it(tmp_path: Path) -> None:
    bank, reference = pairs(uneven()), pairs(dft(64, np.ones(64)))
    page = page_of(bank, reference, tmp_path)
    own, other = figures.frequency_responses(bank), figures.frequency_responses(reference)
    assert own != other
    assert 0 < page.index(f"{own}<figcaption>This bank") < page.index(f"{other}<figcaption>The reference")


def test_a_report_draws_each_answer_s_own_figure(tmp_path: Path) -> None:
    bank, reference = pairs(1.5 * uneven() + 0.1 * noise(33, 64)), pairs(uneven())
    v = verified(bank, reference)
    page = page_of(bank, reference, tmp_path)
    assert v.drift
    assert v.bank
    peaks = [f.peak_hz for f in v.filters]
    for figure in (
        figures.drift(v.drift, peaks, HZ),
        figures.shape_drift(v.drift, peaks, HZ),
        figures.bandwidth(v.filters, HZ),
        figures.sorted_peaks(v.filters, HZ),
        figures.gram(bank),
        figures.cumulative_response(v.bank, HZ),
    ):
        assert page.count(figure) == 1


def test_the_filters_shown_are_low_middle_high_and_the_one_that_drifted_most(tmp_path: Path) -> None:
    z = uneven()
    z[SHUFFLED.tolist().index(21)] *= 3
    page = page_of(pairs(z), pairs(uneven()), tmp_path)
    shown = re.findall(r"Filter (\d+), peak [\d.]+ Hz: ([^.]*)\.", page)
    order = np.argsort(SHUFFLED)
    assert shown == [
        (str(order[place]), why) for place, why in ((3, "low"), (16, "middle"), (29, "high"), (21, "drifted most"))
    ]


def test_without_drift_the_broadest_filter_is_shown(tmp_path: Path) -> None:
    filters = np.roll(gabor(np.geomspace(300, 6000, 12)), 4, 0)  # the broadest is neither first nor last
    bank = dataclasses.replace(pairs(filters), layout="separate")
    widths = [f.erb_hz for f in describe_filters(bank)]
    shown = re.findall(r"Filter (\d+), peak [\d.]+ Hz: ([^.]*)\.", page_of(bank, None, tmp_path))
    assert [int(index) for index, why in shown if "broadest" in why] == [int(np.argmax(widths))]
