"""Loss curves of several ways of learning, in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

SIZE_INCHES, DPI = (6.0, 3.6), 90
COLOURS = {"plain": "tab:red", "relu": "tab:orange", "exp": "tab:blue", "gate": "tab:green"}
STEPS = 10
"""Whose mean is one point of a curve."""


def save_curves(curves: Sequence[tuple[str, Sequence[float]]], floor: float, path: Path) -> None:
    """Write a PNG of 540 x 324 pixels: one line for each (way, loss at every step), named at its end."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    named = set()
    for way, losses in curves:
        label = None if way in named else way
        axes.semilogy(*_means(losses), color=COLOURS[way], linewidth=1.2, label=label)
        named.add(way)
    axes.axhline(floor, color="black", linestyle="--", linewidth=1.0, label="var(a) var(b)")
    axes.set_xlabel("step")
    axes.set_ylabel("mean squared error")
    axes.set_title("a product of two channels, learned in four ways", loc="left", fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(loc="center right", frameon=True)
    figure.savefig(path)


def _means(losses: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle step and mean loss of each run of `STEPS`."""
    starts = np.arange(0, len(losses), STEPS)
    ends = np.minimum(starts + STEPS, len(losses))
    return (starts + 1 + ends) / 2, np.add.reduceat(np.asarray(losses), starts) / (ends - starts)
