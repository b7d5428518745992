"""The pictures of a run's report."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from speechconv.pages.chart import Axis, Chart
from speechconv.runs.tally import LOUDNESS_STEP, PER_DECADE
from speechconv.stores.manifest import ManifestLine

LARGEST = (128, 512)
"""Rows and columns of a picture of features; more are joined by their mean."""


def durations(counts: Counter[int]) -> str:
    """How many files last how long; the axis is logarithmic and covers at least one power of ten."""
    first, last = min(counts), max(counts) + 1
    room = max(0, PER_DECADE - (last - first))
    low, high = first - room // 2, last + room - room // 2
    x = Axis("duration (s)", 10 ** (low / PER_DECADE), 10 ** (high / PER_DECADE), log=True)
    edges = [10 ** (number / PER_DECADE) for number in range(first, last + 1)]
    return _histogram(x, edges, [counts[number] for number in range(first, last)], "Histogram of durations")


def loudness(counts: Counter[int]) -> str:
    """How many files are how loud; the axis covers at least 20 dB."""
    first, last = min(counts), max(counts) + 1
    edges = [LOUDNESS_STEP * number for number in range(first, last + 1)]
    low, high = min(edges[0], edges[-1] - 20), edges[-1]
    room = 0.05 * (high - low)  # a tick in the corner would meet the other axis's
    x = Axis("root mean square (dB of full scale)", low - room, high + room)
    return _histogram(x, edges, [counts[number] for number in range(first, last)], "Histogram of loudness")


def _histogram(x: Axis, edges: list[float], heights: list[int], words: str) -> str:
    chart = Chart(x, Axis("files", 0, 1.05 * max(heights), whole=True), height=240)
    chart.bars(edges, heights, "first")
    return chart.svg(f"{words} of {sum(heights)} files")


def spectrogram(line: ManifestLine, features: NDArray, name: str) -> str:
    """Features as a heat map, from the 1st to the 99th percentile of their values; what is no number is
    darkest."""
    values = np.asarray(features, np.float32).T
    finite = values[np.isfinite(values)]
    low, high = _round_span(*np.percentile(finite, (1, 99)).tolist()) if finite.size else (0.0, 1.0)
    rows, columns = (min(size, most) for size, most in zip(values.shape, LARGEST, strict=True))
    shown = torch.from_numpy(np.nan_to_num(values, nan=low, posinf=high, neginf=low))
    picture = F.adaptive_avg_pool2d(shown[None], (rows, columns))[0]
    seconds = len(features) * line.hop_length / line.sample_rate
    chart = Chart(Axis("time (s)", 0, seconds), Axis("channel", -0.5, line.channels - 0.5, whole=True), colour_bar=True)
    chart.heat_map(picture, low, high, "")
    return chart.svg(f"Features of {name} as a heat map, channel 0 at the bottom")


def _round_span(low: float, high: float) -> tuple[float, float]:
    """The nearest span around both whose ends and middle are short numbers.

    >>> _round_span(-16.634, -7.312), _round_span(3.0, 3.0)
    ((-16.8, -7.2), (2.0, 4.0))
    """
    if high - low <= 1e-6 * max(abs(low), abs(high), 1.0):
        low, high = math.floor(low) - (low == math.floor(low)), math.ceil(high) + (high == math.ceil(high))
    step = 10.0 ** math.floor(math.log10(high - low)) / 5
    return float(f"{math.floor(low / step) * step:.12g}"), float(f"{math.ceil(high / step) * step:.12g}")
