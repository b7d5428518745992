"""Charts as SVG: marks lie where the axes say, and an XML parser reads the result."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from speechconv.pages.chart import Axis, Chart
from tests.pages.drawings import Drawing


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(0, 8, False), (0, 1.05e-7, False), (-3.2, 3.2, False), (0, 1, False), (20, 8000, True), (1e-6, 3, True)],
)
def test_ticks_are_few_and_inside_the_axis(low: float, high: float, log: bool) -> None:
    ticks = Axis("x", low, high, log).ticks()
    assert 3 <= len(ticks) <= 8
    assert all(low - 1e-9 * high <= tick <= high * (1 + 1e-9) for tick in ticks)
    assert ticks == sorted(ticks)


def test_an_axis_that_counts_has_whole_ticks_however_short() -> None:
    assert Axis("filter", 0.5, 3.5, whole=True).ticks() == [1, 2, 3]
    assert Axis("filter", 0.5, 1.5, whole=True).ticks() == [1]


def test_dots_lie_at_their_share_of_a_logarithmic_axis() -> None:
    chart = Chart(Axis("Hz", 100, 10000, log=True), Axis("share", 0, 1))
    chart.dots([100, 1000, 10000], [0, 0.5, 1], "first")
    svg = ElementTree.fromstring(chart.svg("three dots"))
    (dots,) = [path for path in svg.iter("path") if path.get("class") == "dots first"]
    (frame,) = svg.iter("rect")
    left, top, width, height = (float(frame.get(name, "")) for name in ("x", "y", "width", "height"))
    points = [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+),([\d.]+)h0", dots.get("d", ""))]
    expected = [(left + width * share, top + height * (1 - share)) for share in (0, 0.5, 1)]
    assert points == [pytest.approx(point, abs=0.06) for point in expected]  # written to a tenth of a unit


def test_what_an_axis_cannot_show_is_left_out() -> None:
    chart = Chart(Axis("Hz", 1, 10, log=True), Axis("share", 0, 1))
    chart.dots([0, -1, 5, 5, 5, 20], [0.5, 0.5, math.nan, math.inf, 0.5, 0.5], "first")
    (dots,) = re.findall(r'class="dots first" d="(.*?)"', chart.svg("one dot"))
    assert dots.count("M") == 1


def test_words_are_escaped() -> None:
    svg = Chart(Axis("<b>", 0, 1), Axis("y", 0, 1)).svg('a "quoted" <script>')
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'a "quoted" <script>'
    assert "<b>" in [text.text for text in root.iter("text")]


def test_a_line_goes_through_its_points_in_their_order() -> None:
    chart = Chart(Axis("Hz", 100, 10000, log=True), Axis("share", -1, 1))
    points = [(100.0, 0.5), (10000.0, -1.0), (1000.0, 1.0)]
    chart.line([x for x, _ in points], [y for _, y in points], "second")
    drawn = Drawing(chart.svg("a line"), log_x=True).line("second")
    assert drawn == [pytest.approx(point, rel=2e-3, abs=1e-3) for point in points]  # written to a tenth of a unit


def test_stems_rise_from_the_bottom() -> None:
    chart = Chart(Axis("x", 0, 10), Axis("y", 0, 1))
    chart.stems([2, 7], [0.25, 1], "first")
    assert Drawing(chart.svg("stems")).stems() == [pytest.approx(point, abs=0.02) for point in ((2, 0.25), (7, 1))]
    (path,) = re.findall(r'class="stems first" d="(.*?)"', chart.svg("stems"))
    (frame,) = ElementTree.fromstring(chart.svg("stems")).iter("rect")
    foot = float(frame.get("y", "")) + float(frame.get("height", ""))
    assert [float(end) for end in re.findall(r"V([\d.]+)", path)] == [foot, foot]


def test_bars_stand_between_their_edges_and_empty_ones_are_left_out() -> None:
    chart = Chart(Axis("s", 0.1, 10, log=True), Axis("files", 0, 5, whole=True))
    chart.bars([0.1, 1, 2, 10], [3, 0, 5], "first")
    drawn = Drawing(chart.svg("bars"), log_x=True).bars()
    assert drawn == [pytest.approx(bar, rel=5e-3) for bar in ((0.1, 1, 3), (2, 10, 5))]
    assert set(re.findall(r"V([\d.]+)Z", chart.svg("bars"))) == {"254"}  # the frame's foot: 300 - 46


def test_a_heat_map_has_row_0_at_the_bottom_and_a_scale_from_low_to_high() -> None:
    chart = Chart(Axis("x", 0, 2), Axis("y", 0, 2), colour_bar=True)
    chart.heat_map(torch.tensor([[-60.0, -30.0], [-15.0, 0.0]]), -60, 0, "dB")
    drawing = Drawing(chart.svg("four cells"))
    assert drawing.heat_map(-60) == pytest.approx(np.array([[-60.0, -30], [-15, 0]]), abs=0.12)  # half a colour
    assert drawing.colour_scale(-60) == pytest.approx(np.linspace(-60, 0, 256), abs=0.12)
    words = [text.text for text in drawing.root.iter("text") if text.get("text-anchor") == "start"]
    assert words == ["−60", "−30", "0 dB"]
