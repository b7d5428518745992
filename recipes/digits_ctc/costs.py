"""What each front-end costs, and what it gets wrong on speakers left out: a table, and a picture of it.

python recipes/digits_ctc/costs.py runs --plot costs.png > costs.md
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import speechconv as sc
from recipes.ctc.command import run_command
from recipes.ctc.scoring import Interval, word_error_rate
from recipes.digits_ctc.config import load_config
from recipes.digits_ctc.corpus import SAMPLE_RATE
from recipes.digits_ctc.report import BASELINE, Result, find_results, table

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
SIZE_INCHES, DPI = (7.2, 4.4), 100
CORNERS = (("left", 7, 3), ("right", -7, 3), ("left", 7, -10), ("right", -7, -10))
"""Of a point, where its name begins or ends: alignment, and points to the right and up. Neighbours take turns."""


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

    def row(self, baseline: Result | None, whole: float) -> list[str]:
        """Of the table; `whole` is what wav2vec 2.0's encoder costs."""
        return [
            self.result.name,
            f"{self.rate / 1e6:.2f} M",
            f"{100 * self.rate / whole:.2f}",
            f"{self.parameters:,}",
            *self.result.rates(baseline, official=False),
            f"{100 * self.result.mean('isolated_accuracy'):.1f}",
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
    known = sorted((priced(result) for result in results if result.scores(official=False)), key=lambda one: one.rate)
    if plot is not None:
        draw(known, plot)
    baseline = next((result for result in results if result.name == BASELINE), None)
    whole = rate_of(sc.FeatureEncoder(norm="layer"), sample_rate=16000)
    rows = [[name for name, _ in HEAD], [rule for _, rule in HEAD], *(one.row(baseline, whole) for one in known)]
    return table(rows)


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
    """A point for each front-end, with its interval."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for one, (align, right, up) in zip(known, itertools.cycle(CORNERS), strict=False):
        x, wer, colour = one.rate, one.wer, "tab:orange" if one.result.name.endswith("-live") else "tab:blue"
        bars = [[100 * (wer.value - wer.low)], [100 * (wer.high - wer.value)]]
        axes.errorbar([x], [100 * wer.value], yerr=bars, fmt="o", color=colour, capsize=3, markersize=5)
        axes.annotate(
            one.result.name,
            (x, 100 * wer.value),
            (right, up),
            textcoords="offset points",
            fontsize=8,
            color=colour,
            ha=align,
        )
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("front-end: multiply-adds a second of audio")
    axes.set_ylabel("word error rate %, speakers left out")
    axes.set_title("connected digits: cost against error, 95 % intervals", loc="left", fontsize=11)
    axes.grid(alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main()
