"""The recipe in all four ways, against least squares and the product itself."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from torch import nn

import speechconv as sc
from recipes.channel_product import learn as recipe
from recipes.channel_product.learn import FLOOR, ProductUnit, Result, Way, build, draw, product
from recipes.channel_product.picture import COLOURS, STEPS, save_curves
from speechconv.identities import im2col

Learned = dict[Way, tuple[nn.Module, list[float], Result]]


@pytest.fixture(scope="module")
def learned() -> Learned:
    return {way: recipe.learn(way, 1000, seed=1) for way in recipe.WAYS}


def test_the_product_is_of_one_frame_and_the_one_before_it() -> None:
    x = draw(3, torch.Generator().manual_seed(0))
    assert x.shape == (3, recipe.FRAMES, 2)
    assert recipe.LOW <= x.min() <= x.max() <= recipe.HIGH
    y = product(x)
    assert y.shape == (3, recipe.FRAMES - 1, 1)
    for row, t in np.ndindex(3, recipe.FRAMES - 1):
        assert y[row, t, 0] == x[row, t + 1, 0] * x[row, t, 1]


def test_the_floor_is_what_least_squares_leaves() -> None:
    """Judge: the best weighted sum of a million frames; 1 % is six times what so many vary by."""
    x = draw(16_000, torch.Generator().manual_seed(0)).double()
    rows = nn.functional.pad(im2col(x, 2).flatten(0, 1), (0, 1), value=1.0)
    target = product(x).flatten()[:, None]
    residual = target - rows @ torch.linalg.lstsq(rows, target).solution
    assert float(residual.square().mean()) == pytest.approx(FLOOR, rel=0.01)


def test_a_plain_convolution_stays_at_the_floor(learned: Learned) -> None:
    _, losses, result = learned["plain"]
    assert np.mean(losses[-100:]) == pytest.approx(FLOOR, rel=0.05)
    assert result.held_out == pytest.approx(FLOOR, rel=0.05)


def test_bent_sums_come_near_where_they_were_trained_and_nowhere_else(learned: Learned) -> None:
    result = learned["relu"][2]
    assert 1e-4 < result.held_out < FLOOR / 2
    assert result.twice_as_loud > 1


@pytest.mark.parametrize("way", ["exp", "gate"])
def test_what_can_multiply_learns_to_the_rounding(learned: Learned, way: Way) -> None:
    """float32's is 1e-7 of a product below 4, or 16; its square 1e-13 or 3e-12, and 10 times that is allowed."""
    result = learned[way][2]
    assert result.held_out < 1e-12
    assert result.twice_as_loud < 3e-11


def test_the_product_unit_finds_the_powers(learned: Learned) -> None:
    """One each for channel 0 at the later tap and channel 1 at the earlier; none for the rest."""
    unit = learned["exp"][0]
    assert isinstance(unit, ProductUnit)
    assert unit.exponents.weight.detach()[0].numpy() == pytest.approx(np.array([[0, 1], [1, 0]]), abs=1e-5)
    assert unit.exponents.bias is not None
    assert float(unit.exponents.bias.detach()) == pytest.approx(0, abs=1e-5)


def test_the_gate_with_one_tap_in_each_sum_is_the_product_bit_by_bit() -> None:
    gate = build("gate")
    assert isinstance(gate, sc.Parallel)
    first, second = gate.children()
    assert isinstance(first, sc.Conv1d)
    assert isinstance(second, sc.Conv1d)
    first.weight.data = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    second.weight.data = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]])
    x = torch.randn(4, 50, 2)  # of any sign
    assert torch.equal(gate(x), product(x))


def test_every_way_has_as_many_parameters_as_its_formula(learned: Learned) -> None:
    assert {way: result.parameters for way, (_, _, result) in learned.items()} == {
        "plain": 2 * 2 + 1,
        "relu": 16 * (2 * 2 + 1) + 16 + 1,
        "exp": 2 * 2 + 1,
        "gate": 2 * 2 * 2,
    }


def test_the_same_seed_gives_the_same_losses() -> None:
    first, second = (recipe.learn("gate", 5, seed=3)[1] for _ in range(2))
    assert first == second
    assert first != recipe.learn("gate", 5, seed=4)[1]


def test_losses_and_results_are_written_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.main(["--output", str(tmp_path / "out"), "--steps", "12", "--seeds", "2"])
    results = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert [(result["way"], result["seed"]) for result in results] == [(w, s) for w in recipe.WAYS for s in (0, 1)]
    *lines, floor = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == results
    assert floor == "no weighted sum gets below 0.0651, var(a) var(b)"
    assert _size(tmp_path / "out" / "losses.png") == (540, 324)


def test_the_picture_shows_every_curve_in_its_colour_on_a_logarithmic_axis(tmp_path: Path) -> None:
    """Judge: pixels of nearly the colour, left of the legend. The last point is of fewer steps and as high."""
    levels: dict[str, float] = {"gate": 1.0, "exp": 1e-3, "plain": 1e-6}
    save_curves([(way, [level] * (STEPS + 3)) for way, level in levels.items()], FLOOR, tmp_path / "three.png")
    pixels = imread(tmp_path / "three.png")[:, :250, :3]
    rows = {way: np.nonzero(np.abs(pixels - to_rgb(COLOURS[way])).max(2) < 0.2)[0] for way in COLOURS}
    assert len(rows["relu"]) == 0
    gate, exp, plain = (float(np.median(rows[way])) for way in levels)
    assert plain - exp == pytest.approx(exp - gate, abs=1)
    assert exp - gate > 50
    assert max(np.ptp(rows[way]) for way in levels) <= 2


def test_the_readmes_picture_is_the_recipes() -> None:
    folder = Path(recipe.__file__).parent
    assert "![Loss of every step](losses.png)" in (folder / "README.md").read_text("utf-8")
    assert _size(folder / "losses.png") == (540, 324)


def _size(png: Path) -> tuple[int, int]:
    """Width and height, as the file's first chunk says."""
    head = png.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])
