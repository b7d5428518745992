"""Connected digits with CTC: the table and the picture of cost against error."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import pytest

import speechconv as sc
from recipes.digits_ctc import costs
from recipes.digits_ctc.config import load_config
from recipes.digits_ctc.report import find_results
from tests.recipes.digits_runs import write_metrics

WAV2VEC2 = 2_454_323_200


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for config, errors in (("separable-1", [1, 0, 1, 1]), ("logmel-live", [3, 2, 2, 2]), ("logmel", [2, 2, 2, 2])):
        write_metrics(tmp_path / "runs" / config / "without-ann-seed0", errors)
    write_metrics(tmp_path / "runs" / "separable-1-live" / "without-ann-seed0", [1, 2, 1, 1])
    write_metrics(tmp_path / "runs" / "pcen" / "official-seed0", [0])
    return tmp_path / "runs"


def test_front_ends_are_listed_by_what_the_cost_sheet_says(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    costs.main([str(runs)])
    table = {row[0]: row[1:] for row in rows(capsys.readouterr().out)[2:]}
    assert list(table) == [
        "logmel",
        "logmel-live",
        "separable-1",
        "separable-1-live",
    ]  # pcen was never tested on a speaker left out
    for name in table:
        front = load_config(name.removesuffix("-live"), live=name.endswith("-live")).build().front
        rate = sc.describe(front).total.multiply_adds_per_second
        assert rate is not None
        parameters = sum(p.numel() for p in front.parameters())
        assert table[name][:3] == [f"{rate / 1e6:.2f} M", f"{100 * rate / WAV2VEC2:.2f}", f"{parameters:,}"]
    assert table["separable-1"][3].startswith("18.8 (")
    assert table["separable-1"][4].startswith("-31.2 (")
    assert table["logmel"][3:5] == ["50.0 (50.0 to 50.0)", ""]


def test_a_live_encoder_has_the_colour_of_live_ones_and_no_place_on_its_family_s_line(runs: Path) -> None:
    ordinary, live, separable, separable_live = [
        costs.priced(result) for result in find_results(runs) if result.name != "pcen"
    ]
    assert separable_live.colour == live.colour
    assert len({one.colour for one in (ordinary, live, separable)}) == 3
    assert separable.family in costs.COLOURS
    assert separable_live.family not in costs.COLOURS


def test_the_picture_holds_a_point_and_an_interval_for_each(runs: Path, tmp_path: Path) -> None:
    write_metrics(runs / "conformer" / "without-ann-seed0", [1, 0, 2, 1])
    costs.main([str(runs), "--plot", str(tmp_path / "costs.png")])
    pixels = matplotlib.image.imread(tmp_path / "costs.png")
    height, width = (round(inches * costs.DPI) for inches in reversed(costs.SIZE_INCHES))
    assert pixels.shape[:2] == (height, width)
    for colour in ((0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E), (0x2C, 0xA0, 0x2C)):  # offline, live, separable
        drawn = (abs(pixels[..., :3] * 255 - colour) < 1).all(2)
        assert drawn.sum() > 30
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit):
        costs.main([str(tmp_path / "empty")])
