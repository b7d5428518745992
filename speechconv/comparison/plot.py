"""A picture of a comparison: ours, theirs and the difference, on one time axis.

Spectra and their logarithms are drawn by their level in dB, other features as they are. The difference is drawn in dB
of the peak, so that rounding and a fault can be told apart at a glance; the tolerance is marked on its colour bar.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from speechconv.comparison.result import Comparison

SIZE_INCHES, DPI = (10.0, 9.0), 120
RANGE_DB = 80.0
"""Of the levels that are drawn, below the peak."""
DECADES = 1e-6
"""Of the largest difference, or less where the tolerance lies below: what is fainter is drawn alike."""
ROUNDING = 1e-17
"""Of the peak: below float64's rounding there is nothing to see."""
COLUMNS = 2000
"""Frames beside each other in the picture; of more, each column shows the largest value of its share."""


def save_plot(result: Comparison, path: str | os.PathLike[str], *, title: str = "") -> None:
    """Write a PNG of 1200 x 1080 pixels; `title` names the sound."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 1, sharex=True, sharey=True)
    low, high, label, colours = _range(result)
    for ax, name, values in (
        (axes[0], "speechconv", result.features),
        (axes[1], result.against, result.reference),
    ):
        image = _draw(ax, result, _shown(result, values), low, high, colours)
        ax.set_title(name, loc="left", fontsize=11)
        figure.colorbar(image, ax=ax, pad=0.015).set_label(label)
    _draw_difference(figure, axes[2], result)
    axes[2].set_xlabel("time (s)")
    figure.suptitle(_headline(result, title), fontsize=12)
    figure.savefig(path)


def _draw_difference(figure: Figure, ax: Axes, result: Comparison) -> None:
    ours, theirs = result.scale.linear(result.features), result.scale.linear(result.reference)
    decibels = result.scale.decibels or 20
    share = np.abs(ours - theirs) / (result.peak or 1.0)
    faintest = max(ROUNDING, min(DECADES * float(share.max()), 0.1 * result.tolerance))
    levels = decibels * np.log10(np.maximum(share, faintest))
    image = _draw(ax, result, levels, decibels * math.log10(faintest), 0.0, "magma")
    bar = figure.colorbar(image, ax=ax, pad=0.015)
    bar.set_label("dB of the peak")
    if faintest < result.tolerance < 1:
        bar.ax.axhline(decibels * math.log10(result.tolerance), color="deepskyblue", linewidth=2.5)
    ax.plot(result.worst_seconds, result.worst_bin, "o", mfc="none", mec="deepskyblue", ms=11, mew=1.6)
    ax.set_title("difference (circle: the largest; line on the colour bar: the tolerance)", loc="left", fontsize=11)


def _draw(ax: Axes, result: Comparison, values: NDArray[np.float64], low: float, high: float, colours: str) -> Any:
    seconds = result.seconds
    step = (seconds[-1] - seconds[0]) / max(1, len(seconds) - 1) or 1.0
    image = ax.imshow(
        _fewer_columns(values).T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=low,
        vmax=high,
        extent=(seconds[0] - step / 2, seconds[-1] + step / 2, -0.5, result.channels - 0.5),
    )
    _label_channels(ax, result.hertz)
    return image


def _fewer_columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(frames, channels), the largest value of each run of frames where there are too many to draw."""
    if len(values) <= COLUMNS:
        return values
    return np.maximum.reduceat(values, np.linspace(0, len(values), COLUMNS, endpoint=False).astype(int))


def _label_channels(ax: Axes, hertz: NDArray[np.float64] | None) -> None:
    """Frequencies where the channels rise in frequency, and numbers where they do not."""
    if hertz is None or len(hertz) < 2 or not bool((np.diff(hertz) > 0).all()):
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylabel("channel")
        return
    even = np.allclose(np.diff(hertz, 2), 0, atol=1e-6)
    wanted = [f for f in _ROUND_HERTZ[not even] if hertz[0] <= f <= hertz[-1]]
    if even:
        step = next(s for s in (100, 250, 500, 1000, 2000, 5000, 10000, 50000) if hertz[-1] / s <= 8)
        wanted = list(range(0, int(hertz[-1]) + 1, step))
    ax.set_yticks(np.interp(wanted, hertz, np.arange(len(hertz))), [f"{f:g}" for f in wanted])
    ax.set_ylabel("frequency (Hz)")


_ROUND_HERTZ = ((), (100, 250, 500, 1000, 2000, 4000, 8000, 16000))


def _shown(result: Comparison, values: Any) -> NDArray[np.float64]:
    return result.scale.level(values) if result.scale.decibels else np.real(values)


def _range(result: Comparison) -> tuple[float, float, str, str]:
    """Lowest and highest value to draw, what they are, and in which colours."""
    shown = _shown(result, result.reference)
    if result.scale.decibels:
        high = float(shown.max())
        return high - RANGE_DB, high, "level (dB)", "viridis"
    reach = float(np.abs(shown).max()) or 1.0
    return -reach, reach, "value", "RdBu_r"


def _headline(result: Comparison, title: str) -> str:
    decibels = "" if result.max_db is None else f"   max {result.max_db:.1e} dB"
    verdict = "within" if result.passed else "BEYOND"
    where = f"{result.worst_seconds:.3f} s" + ("" if result.worst_hz is None else f", {result.worst_hz:.0f} Hz")
    return (
        f"{title}: {result.scale_name}, {result.frames} frames x {result.channels}, {verdict} {result.tolerance:g} of "
        f"the peak\nmax {result.max_abs:.1e} of the peak (at {where})   relative L2 {result.relative_l2:.1e}{decibels}"
    )
