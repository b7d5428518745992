"""The pictures of a report: each a chart of one bank or of one answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.pages.chart import Axis, Chart
from speechconv.verification.answers import BankAnswer, DriftAnswer, FilterAnswer, ProbeAnswer, SoundAnswer
from speechconv.verification.filter_bank import FilterBank
from speechconv.verification.spectra import half_powers

FLOOR_DB = -60.0
"""Darkest value of a heat map."""

LARGEST_PICTURE = 512
"""Rows and columns of a heat map; more are joined by their maximum."""


@dataclass(frozen=True)
class Scale:
    """A scale of hearing: `width(f)` is how many Hz one step of it takes at f Hz."""

    name: str
    style: str
    width: Callable[[float], float]


# Derivatives of 2595 log10(1 + f / 700), of 26.81 f / (1960 + f) - 0.53, and ERB(f) itself.
SCALES = (
    Scale("100 mel", "mel", lambda f: 100 * (700 + f) * math.log(10) / 2595),
    Scale("1 Bark", "bark", lambda f: (1960 + f) ** 2 / (26.81 * 1960)),
    Scale("1 ERB", "erb", lambda f: 24.7 + 0.108 * f),
)
"""Sources: O'Shaughnessy 1987 (HTK); Traunmueller 1990; Glasberg and Moore 1990."""


def frequency_responses(bank: FilterBank) -> str:
    """Heat map: how strongly each filter answers to a sine of each frequency, in dB of the bank's largest."""
    _, power = half_powers(bank)
    order = power.argmax(1).argsort(stable=True)
    chart = Chart(_kilohertz(bank), _ranks(len(power)), colour_bar=True)
    chart.heat_map(_pool(_decibel(power[order])), FLOOR_DB, 0, "dB")
    return chart.svg(
        f"Heat map of the frequency responses of {len(power)} filters, lowest peak frequency at the bottom"
    )


def impulse_response(bank: FilterBank, index: int, reference: FilterBank | None, name: str) -> str:
    """Taps of one filter over time; of a pair also its magnitude, the window of an STFT. The reference's magnitude, or
    its taps for real-only filters, lies over them where it is as long."""
    time = [1000 * n / bank.sample_rate for n in range(bank.real.shape[1])]
    lines = [(bank.real[index], "first")]
    if bank.imag is not None:
        lines += [(bank.imag[index], "second"), (bank.filters[index].abs(), "magnitude")]
    if reference is not None and reference.filters.shape == bank.filters.shape:
        before = reference.filters[index]
        lines.append((before.abs() if before.is_complex() else before, "before"))
    largest = max(float(taps.abs().max()) for taps, _ in lines) or 1.0
    chart = Chart(Axis("time (ms)", 0, max(time[-1], 1e-3)), Axis("tap", -1.05 * largest, 1.05 * largest), height=210)
    for taps, style in lines:
        chart.line(time, taps.tolist(), style)
    return chart.svg(f"Impulse response of filter {index}, {name}")


def bandwidth(filters: Sequence[FilterAnswer], sample_rate: int) -> str:
    """Equivalent rectangular bandwidth of each filter against its peak, and the three scales of hearing."""
    nyquist = sample_rate / 2
    lowest = nyquist / 200
    widths = [max(f.erb_hz, 1e-9) for f in filters if math.isfinite(f.erb_hz) and f.erb_hz > 0]
    curve = [lowest * (nyquist / lowest) ** (step / 60) for step in range(61)]
    most = max([*widths, *(scale.width(nyquist) for scale in SCALES)]) * 1.2
    least = max(min([*widths, *(scale.width(lowest) for scale in SCALES)]) / 1.2, most / 1e4)
    chart = Chart(
        Axis("peak frequency (Hz)", lowest, nyquist * 1.001, log=True), Axis("bandwidth (Hz)", least, most, True)
    )
    for scale in SCALES:
        chart.line(curve, [scale.width(f) for f in curve], scale.style)
    chart.dots([max(f.peak_hz, lowest) for f in filters], [f.erb_hz for f in filters], "first")
    return chart.svg("Bandwidth of each filter against its peak frequency, with the mel, Bark and ERB scales")


def sorted_peaks(filters: Sequence[FilterAnswer], sample_rate: int) -> str:
    """Peak frequencies in ascending order: a straight line is a linear scale, a curve that steepens one of hearing."""
    peaks = sorted(f.peak_hz / 1000 for f in filters if math.isfinite(f.peak_hz))
    chart = Chart(_ranks(len(peaks)), Axis("peak frequency (kHz)", 0, sample_rate / 2000))
    chart.dots(range(1, len(peaks) + 1), peaks, "first")
    return chart.svg("Peak frequencies of the filters in ascending order")


def drift(answer: DriftAnswer, peaks_hz: Sequence[float], sample_rate: int) -> str:
    """Relative change of each filter over its peak frequency."""
    return _stems(answer.change, peaks_hz, sample_rate, "relative change", "Relative change of each filter")


def shape_drift(answer: DriftAnswer, peaks_hz: Sequence[float], sample_rate: int) -> str:
    """Jensen-Shannon distance of each filter's response from the reference's over its peak frequency."""
    return _stems(answer.jsd, peaks_hz, sample_rate, "distance of responses", "Jensen-Shannon distance of each filter")


def gram(bank: FilterBank) -> str:
    """|cos| of every two filters, in dB, both axes sorted by peak frequency."""
    filters = bank.filters[half_powers(bank)[1].argmax(1).argsort(stable=True)]
    unit = filters / filters.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    chart = Chart(_ranks(len(unit)), _ranks(len(unit)), height=380, colour_bar=True)
    chart.heat_map(_pool(20 * (unit @ unit.mH).abs().clamp_min(1e-9).log10()), FLOOR_DB, 0, "dB")
    return chart.svg("Gram matrix: heat map of the similarity of every two filters")


def cumulative_response(answer: BankAnswer, sample_rate: int) -> str:
    """Mean response of the bank over frequency, largest 1."""
    chart = Chart(Axis("frequency (kHz)", 0, sample_rate / 2000), Axis("mean response", 0, 1.05))
    step = max(1, len(answer.response_hz) // 1024)
    chart.line([f / 1000 for f in answer.response_hz[::step]], answer.cumulative_response[::step], "first")
    return chart.svg("Cumulative frequency response of the bank")


def sound_difference(answer: SoundAnswer) -> str:
    """Mean difference of log magnitudes, bin by bin; a bin that was never heard is left out."""
    bins = range(len(answer.per_bin_db))
    reach = 1.1 * max((abs(difference) for difference in answer.per_bin_db if math.isfinite(difference)), default=0)
    y = Axis("difference (dB)", -(reach or 1.0), reach or 1.0)
    chart = Chart(Axis("bin", 0, max(1, len(bins) - 1), whole=True), y)
    chart.line(bins, answer.per_bin_db, "first")
    return chart.svg("Mean difference from the reference STFT of each bin, in dB")


def probe_responses(answer: ProbeAnswer) -> str:
    """Heat map: each channel's answer to sines, in dB of the channel's largest, frequencies on a logarithmic axis."""
    response = torch.tensor(answer.response, dtype=torch.float64)
    frequencies = torch.tensor(answer.frequencies_hz, dtype=torch.float64).log()
    columns = torch.linspace(float(frequencies[0]), float(frequencies[-1]), 384, dtype=torch.float64)
    nearest = (columns[:, None] - frequencies).abs().argmin(1)
    order = response.argmax(1).argsort(stable=True)
    level = response[order] / response[order].amax(1, keepdim=True).clamp_min(1e-30)
    x = Axis("frequency of the sine (Hz)", answer.frequencies_hz[0], answer.frequencies_hz[-1], log=True)
    chart = Chart(x, _ranks(len(level), "channel, by peak"), height=380, colour_bar=True)
    chart.heat_map(_pool((20 * level.clamp_min(1e-9).log10())[:, nearest]), -30.0, 0, "dB")
    return chart.svg(f"Heat map of the answers of {len(level)} channels to sines, lowest peak frequency at the bottom")


def probe_peaks(answer: ProbeAnswer) -> str:
    """Peak frequencies of the channels in ascending order."""
    peaks = sorted(peak for peak in answer.peak_hz if math.isfinite(peak))
    y = Axis("peak frequency (Hz)", answer.frequencies_hz[0] / 1.05, answer.frequencies_hz[-1] * 1.05, log=True)
    chart = Chart(_ranks(max(1, len(peaks)), "channel, by peak"), y, height=380)
    chart.dots(range(1, len(peaks) + 1), peaks, "first")
    return chart.svg("Peak frequencies of the channels in ascending order")


def _decibel(power: Tensor) -> Tensor:
    return 10 * (power / power.max().clamp_min(1e-300)).clamp_min(1e-18).log10()


def _pool(matrix: Tensor) -> Tensor:
    rows, columns = (min(size, LARGEST_PICTURE) for size in matrix.shape)
    return F.adaptive_max_pool2d(matrix[None], (rows, columns))[0]


def _kilohertz(bank: FilterBank) -> Axis:
    return Axis("frequency (kHz)", 0, bank.sample_rate / 2000)


def _ranks(count: int, label: str = "filter, by peak") -> Axis:
    """Row i of a heat map covers i + 1/2 ... i + 3/2, so that a tick marks its middle."""
    return Axis(label, 0.5, count + 0.5, whole=True)


def _from_zero(label: str, values: Sequence[float]) -> Axis:
    return Axis(label, 0, 1.05 * max((v for v in values if math.isfinite(v)), default=0) or 1.0)


def _stems(values: Sequence[float], peaks_hz: Sequence[float], sample_rate: int, label: str, title: str) -> str:
    chart = Chart(Axis("peak frequency (kHz)", 0, sample_rate / 2000), _from_zero(label, values), height=240)
    kilohertz = [peak / 1000 for peak in peaks_hz]
    chart.stems(kilohertz, values, "first")
    chart.dots(kilohertz, values, "first")
    return chart.svg(f"{title} against its peak frequency")
