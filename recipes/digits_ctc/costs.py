"""What each front-end costs, and what it gets wrong on speakers left out: a table, and a picture of it.

python recipes/digits_ctc/costs.py runs --plot costs.png > costs.md
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

import speechconv as sc
from recipes.ctc.command import run_command
from recipes.ctc.scoring import Interval, word_error_rate
from recipes.digits_ctc.config import load_config
from recipes.digits_ctc.corpus import SAMPLE_RATE
from recipes.digits_ctc.labels import along, is_far, places
from recipes.digits_ctc.report import BASELINE, Result, baseline_of, find_results, on_the_same_folds, table

HEAD = (
    ("front-end", "---"),
    ("multiply-adds a second", "---:"),
    ("% of wav2vec 2.0's encoder", "---:"),
    ("parameters", "---:"),
    ("leave one out, WER %", "---"),
    (f"less {BASELINE}", "---"),
    ("isolated, left out, % right", "---:"),
    ("lookahead ms", "---:"),
)
SIZE_INCHES, DPI, FONT_SIZE = (7.6, 5.2), 100, 8
COLOURS = {"separable": "tab:green", "shuffle": "tab:red", "inverted-residual": "tab:purple"}
"""Of the families of encoders; other front-ends have one of their own together, all live ones another."""


@dataclass(frozen=True)
class Priced:
    """A front-end's tests beside its cost: multiply-adds a second, and parameters."""

    result: Result
    rate: float
    parameters: int

    @property
    def wer(self) -> Interval:
        """On the speakers left out."""
        return word_error_rate(self.result.scores(official=False))

    @property
    def percent(self) -> float:
        return 100 * self.wer.value

    @property
    def family(self) -> str:
        """Of an encoder that is not live: its name without the share of the cost."""
        return self.result.name.rpartition("-")[0]

    @property
    def colour(self) -> str:
        return COLOURS.get(self.family, "tab:orange" if self.result.name.endswith("-live") else "tab:blue")

    def row(self, baseline: Result | None, whole: float) -> list[str]:
        """Of the table; `whole` is what wav2vec 2.0's encoder costs."""
        return [
            self.result.name,
            f"{self.rate / 1e6:.2f} M",
            f"{100 * self.rate / whole:.2f}",
            f"{self.parameters:,}",
            *self.result.rates(baseline, official=False),
            self.result.isolated(),
            f"{self.result.mean('lookahead_samples') * 1000 / SAMPLE_RATE:.0f}",
        ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder that compare.py filled")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it too: .png, .svg or .pdf")
    args = parser.parse_args(arguments)
    run_command(lambda: print(costs(find_results(args.runs), args.plot)))


def costs(results: Sequence[Result], plot: Path | None = None) -> str:
    """The table, the cheapest first; and the picture, where a file is given for it.

    Raises:
        FileNotFoundError: a run of a front-end that is none of the recipe's.
    """
    shown, others = on_the_same_folds(results)
    known = sorted((priced(result) for result in shown if result.scores(official=False)), key=lambda one: one.rate)
    if plot is not None:
        draw(known, plot)
    baseline = baseline_of(shown)
    whole = rate_of(sc.FeatureEncoder(norm="layer"), sample_rate=16000)
    rows = [[name for name, _ in HEAD], [rule for _, rule in HEAD], *(one.row(baseline, whole) for one in known)]
    return "\n\n".join((table(rows), *others))


def priced(result: Result) -> Priced:
    name = result.name.removesuffix("-live")
    front = load_config(name, live=name != result.name).build().front
    return Priced(result, rate_of(front), sum(p.numel() for p in front.parameters()))


def rate_of(layer: sc.Sequential | sc.FeatureEncoder, sample_rate: int | None = None) -> float:
    """Multiply-adds a second, by the cost sheet."""
    rate = sc.describe(layer, sample_rate=sample_rate).total.multiply_adds_per_second
    assert rate is not None  # a waveform comes in, at a known rate
    return rate


def draw(known: Sequence[Priced], path: Path) -> None:
    """A point for each front-end, with its interval; a line through the encoders of a family."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for one in known:
        bars = [[100 * (one.wer.value - one.wer.low)], [100 * (one.wer.high - one.wer.value)]]
        axes.errorbar([one.rate], [one.percent], yerr=bars, fmt="o", color=one.colour, capsize=3, markersize=5)
    for family, colour in COLOURS.items():
        axes.plot(*_line(family, known).T, color=colour, linewidth=1, alpha=0.5)
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("front-end: multiply-adds a second of audio")
    axes.set_ylabel("word error rate %, speakers left out")
    axes.set_title("connected digits: cost against error, 95 % intervals", loc="left", fontsize=11)
    axes.grid(alpha=0.3)
    _name(axes, known)
    figure.savefig(path)


def _line(family: str, known: Sequence[Priced]) -> NDArray[np.float64]:
    """(encoders, 2): cost and error of a family, the cheapest first."""
    return np.reshape([(one.rate, one.percent) for one in known if one.family == family], (-1, 2))


def _name(axes: Axes, known: Sequence[Priced]) -> None:
    """The name of each point beside it, with a line where it had to go far."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()  # from here on everything stays where it is
    points = [tuple(axes.transData.transform((one.rate, one.percent))) for one in known]
    bars = [axes.transData.transform([(one.rate, 100 * end) for end in (one.wer.low, one.wer.high)]) for one in known]
    taken = [np.concatenate([low - 5, high + 5])[None] for low, high in bars]
    taken += [along(axes.transData.transform(_line(family, known))) for family in COLOURS]
    sizes = [_size(axes, one.result.name) for one in known]
    found = places(points, sizes, np.concatenate(taken), np.reshape(axes.get_window_extent().extents, (1, 4)))
    for one, point, size, place in zip(known, points, sizes, found, strict=True):
        leader = {"arrowstyle": "-", "color": one.colour, "linewidth": 0.5}
        axes.annotate(
            one.result.name,
            (one.rate, one.percent),
            tuple(np.subtract(place, point) * 72 / figure.dpi),
            textcoords="offset points",
            fontsize=FONT_SIZE,
            color=one.colour,
            ha="center",
            va="center",
            arrowprops=leader if is_far(point, place, size) else None,
        )


def _size(axes: Axes, name: str) -> tuple[float, float]:
    """Pixels that a name takes."""
    text = axes.text(0, 0, name, fontsize=FONT_SIZE)
    box = text.get_window_extent()
    text.remove()
    return box.width, box.height


if __name__ == "__main__":
    main()
