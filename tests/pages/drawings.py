"""Charts read back into numbers: positions by the ticks beside the axes, colours by Matplotlib's table."""

from __future__ import annotations

import base64
import io
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

Array = Any
Points = list[tuple[float, float]]


class Drawing:
    """One chart as a reader sees it.

    Args:
        svg: the element.
        log_x, log_y: which axes are logarithmic.
    """

    def __init__(self, svg: str, *, log_x: bool = False, log_y: bool = False) -> None:
        self.root = ElementTree.fromstring(svg)
        self.words = self.root.get("aria-label", "")
        (frame,) = self.root.iter("rect")
        foot = float(frame.get("y", "")) + float(frame.get("height", ""))
        middle = [text for text in self.root.iter("text") if text.get("text-anchor") == "middle"]
        below = [text for text in middle if foot < float(text.get("y", "")) < foot + 20]
        beside = [text for text in self.root.iter("text") if text.get("text-anchor") == "end"]
        self._x = _scale([(float(text.get("x", "")), text.text) for text in below], log_x)
        self._y = _scale([(float(text.get("y", "")) - 4, text.text) for text in beside], log_y)

    def across(self, place: float) -> float:
        """The value at a place of the x axis."""
        return self._x(place)

    def line(self, style: str) -> Points:
        """Corners of the one line of a style."""
        (line,) = [mark for mark in self.root.iter("polyline") if mark.get("class") == f"line {style}"]
        return [self._point(*corner.split(",")) for corner in line.get("points", "").split()]

    def dots(self, style: str = "first") -> Points:
        return [self._point(*place) for place in re.findall(r"M([\d.]+),([\d.]+)h0", self._path(f"dots {style}"))]

    def stems(self, style: str = "first") -> Points:
        return [self._point(*place) for place in re.findall(r"M([\d.]+),([\d.]+)V", self._path(f"stems {style}"))]

    def bars(self, style: str = "first") -> list[tuple[float, float, float]]:
        """Left and right edge and height of each."""
        found = re.findall(r"M([\d.]+),[\d.]+V([\d.]+)H([\d.]+)V[\d.]+Z", self._path(f"bars {style}"))
        return [(self._x(float(left)), self._x(float(right)), self._y(float(top))) for left, top, right in found]

    def heat_map(self, low: float, high: float = 0.0) -> Array:
        """Its values, the bottom row first: to half a colour, (high - low) / 510."""
        return self._picture(0, low, high)

    def colour_scale(self, low: float, high: float = 0.0) -> Array:
        """What stands beside a heat map, from the bottom up."""
        return self._picture(1, low, high)[:, 0]

    def _picture(self, number: int, low: float, high: float) -> Array:
        data = list(self.root.iter("image"))[number].get("href", "").partition(",")[2]
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
        table = matplotlib.colormaps["magma"](np.arange(256), bytes=True)[:, :3]
        index = {tuple(colour): place for place, colour in enumerate(table.tolist())}
        values = np.array([[index[tuple(pixel)] for pixel in row] for row in picture.tolist()])
        return low + (high - low) * values[::-1] / 255

    def _path(self, name: str) -> str:
        (path,) = [mark for mark in self.root.iter("path") if mark.get("class") == name]
        return path.get("d", "")

    def _point(self, x: str, y: str) -> tuple[float, float]:
        return self._x(float(x)), self._y(float(y))


def _scale(ticks: list[tuple[float, str | None]], log: bool) -> Callable[[float], float]:
    """From the places of the first and the last tick to values."""
    numbers = [(place, float((words or "").replace("−", "-"))) for place, words in ticks]
    (p0, v0), (p1, v1) = numbers[0], numbers[-1]
    if log:
        return lambda place: v0 * math.exp(math.log(v1 / v0) * (place - p0) / (p1 - p0))
    return lambda place: v0 + (v1 - v0) * (place - p0) / (p1 - p0)
