"""Charts as inline SVG: axes, lines, dots and heat maps, coloured by the page's CSS, so that they follow its theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import torch
from torch import Tensor

from speechconv.pages.png import png_data_uri

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 440, 62, 14, 12, 46
"""Of a chart in SVG units; one unit is about a pixel, so that text is as large as the page's on a telephone."""

COLOUR_BAR = 56
"""Room for the colour scale on the right of a heat map."""


@dataclass(frozen=True)
class Axis:
    """Values from low to high along one side.

    Attributes:
        label: with the unit.
        low, high: low < high; above 0 where `log`.
        log: logarithmic.
        whole: count something: ticks are whole numbers.
    """

    label: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def place(self, value: float) -> float:
        """0 at low, 1 at high."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        return ((math.log(value) if self.log else value) - low) / (high - low)

    def ticks(self) -> list[float]:
        """About five round values.

        >>> Axis("kHz", 0, 8).ticks()
        [0.0, 2.0, 4.0, 6.0, 8.0]
        >>> Axis("Hz", 20, 8000, log=True).ticks()
        [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0]
        """
        return self._log_ticks() if self.log else self._linear_ticks()

    def _linear_ticks(self) -> list[float]:
        rough = (self.high - self.low) / 5
        power = 10 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.99)
        step = max(step, 1) if self.whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{number * step:.12g}") for number in range(first, last + 1)]

    def _log_ticks(self) -> list[float]:
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            ticks = [float(f"{factor}e{power}") for power in decades for factor in factors]
            ticks = [tick for tick in ticks if self.low <= tick <= self.high]
            if len(ticks) <= 8:
                return ticks
        return ticks[:: math.ceil(len(ticks) / 8)]


class Chart:
    """One chart, drawn mark by mark; `svg()` gives the element.

    Args:
        x, y: its axes.
        height: in SVG units.
        colour_bar: leave room on the right for a heat map's colour scale.

    Example:
        >>> chart = Chart(Axis("time (ms)", 0, 1), Axis("amplitude", -1, 1))
        >>> chart.line([0, 0.5, 1], [0, 1, 0], "first")
        >>> chart.svg("a triangle").startswith('<svg role="img" aria-label="a triangle"')
        True
    """

    def __init__(self, x: Axis, y: Axis, *, height: int = 300, colour_bar: bool = False) -> None:
        self.x, self.y, self.height = x, y, height
        self.width = WIDTH - LEFT - RIGHT - (COLOUR_BAR if colour_bar else 0)
        self.depth = height - TOP - BOTTOM
        self._marks: list[str] = []

    def line(self, xs: Sequence[float], ys: Sequence[float], style: str) -> None:
        """Straight lines from point to point; `style` names a class of the page's CSS."""
        points = " ".join(self._points(xs, ys))
        self._marks.append(f'<polyline class="line {style}" points="{points}"/>')

    def dots(self, xs: Sequence[float], ys: Sequence[float], style: str) -> None:
        """A dot at every point that both axes can show."""
        path = "".join(f"M{point}h0" for point in self._points(xs, ys))
        self._marks.append(f'<path class="dots {style}" d="{path}"/>')

    def stems(self, xs: Sequence[float], ys: Sequence[float], style: str) -> None:
        """A vertical line from the bottom up to every point."""
        path = "".join(f"M{point}V{TOP + self.depth}" for point in self._points(xs, ys))
        self._marks.append(f'<path class="stems {style}" d="{path}"/>')

    def bars(self, edges: Sequence[float], heights: Sequence[float], style: str) -> None:
        """A bar from the bottom up between every two edges, one more than there are heights."""
        spans = [f"{self._across(edge):.1f}" for edge in edges]
        foot = TOP + self.depth
        path = "".join(
            f"M{left},{foot}V{self._down(height):.1f}H{right}V{foot}Z"
            for left, right, height in zip(spans[:-1], spans[1:], heights, strict=True)
            if height
        )
        self._marks.append(f'<path class="bars {style}" d="{path}"/>')

    def heat_map(self, matrix: Tensor, low: float, high: float, unit: str) -> None:
        """Fill the plot with a matrix, row 0 at the bottom, and put its colour scale on the right."""
        self._image(png_data_uri(matrix.flip(0), low, high), LEFT, self.width)
        left = LEFT + self.width + 10
        self._image(png_data_uri(torch.linspace(high, low, 256)[:, None], low, high), left, 10)
        for value in (low, (low + high) / 2, high):
            y = TOP + self.depth * (high - value) / (high - low)
            text = f"{_number(value)} {unit}" if value == high else _number(value)
            self._marks.append(_text(text, left + 14, y + 4, "start"))

    def svg(self, alternative: str) -> str:
        """The element; `alternative` says in words what it shows."""
        frame = f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{self.width}" height="{self.depth}"/>'
        return (
            f'<svg role="img" aria-label="{escape(alternative)}" viewBox="0 0 {WIDTH} {self.height}">'
            f"{self._grid()}{''.join(self._marks)}{frame}{self._labels()}</svg>"
        )

    def _image(self, uri: str, left: float, width: float) -> None:
        self._marks.append(
            f'<image href="{uri}" x="{left}" y="{TOP}" width="{width}" height="{self.depth}" '
            'preserveAspectRatio="none"/>'
        )

    def _points(self, xs: Sequence[float], ys: Sequence[float]) -> list[str]:
        shown = [(x, y) for x, y in zip(xs, ys, strict=True) if _shown(self.x, x) and _shown(self.y, y)]
        return [f"{self._across(x):.1f},{self._down(y):.1f}" for x, y in shown]

    def _across(self, x: float) -> float:
        return LEFT + self.width * self.x.place(x)

    def _down(self, y: float) -> float:
        return TOP + self.depth * (1 - self.y.place(y))

    def _grid(self) -> str:
        down = "".join(f"M{self._across(tick):.1f},{TOP}v{self.depth}" for tick in self.x.ticks())
        across = "".join(f"M{LEFT},{self._down(tick):.1f}h{self.width}" for tick in self.y.ticks())
        return f'<path class="grid" d="{down}{across}"/>'

    def _labels(self) -> str:
        foot, middle = TOP + self.depth, TOP + self.depth / 2
        texts = [_text(_number(tick), self._across(tick), foot + 17, "middle") for tick in self.x.ticks()]
        texts += [_text(_number(tick), LEFT - 7, self._down(tick) + 4, "end") for tick in self.y.ticks()]
        texts.append(_text(self.x.label, LEFT + self.width / 2, self.height - 9, "middle"))
        texts.append(_text(self.y.label, 13, middle, "middle", f' transform="rotate(-90 13 {middle:g})"'))
        return "".join(texts)


def _shown(axis: Axis, value: float) -> bool:
    """Never NaN, which no comparison holds for."""
    return axis.low <= value <= axis.high


def _number(value: float) -> str:
    """As short as it goes, with a true minus sign.

    >>> [_number(value) for value in (0.0, 2.5, 10000.0, 2e-07)]
    ['0', '2.5', '10000', '2e−7']
    """
    return f"{value:g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


def _text(text: str, x: float, y: float, anchor: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{more}>{escape(text)}</text>'
