"""The picture of a comparison: a PNG of the stated size that shows what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

import speechconv as sc
from speechconv.comparison import plot


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.9, 0.9, samples)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, path: (figures.append(self), save(self, path))[1])
    return figures


@pytest.mark.parametrize("preset", ["logmel", "stft", "librosa-mfcc", "whisper"])
def test_a_plot_is_a_png_of_1200_by_1080_pixels_on_white(preset: str, tmp_path: Path) -> None:
    plot.save_plot(sc.compare(noise(16000), 16000, pipeline=preset), tmp_path / "x.png", title="noise")
    image = imread(tmp_path / "x.png")
    assert image.shape[:2] == (1080, 1200)
    assert image[0, 0, :3].tolist() == [1, 1, 1]
    assert image[..., :3].std() > 0.1  # not a blank page


def test_a_plot_says_its_numbers_and_shares_one_time_axis(drawn: list[Figure], tmp_path: Path) -> None:
    result = sc.compare(noise(16000), 16000)
    plot.save_plot(result, tmp_path / "x.png", title="noise.wav")
    panels = drawn[0].axes[:3]
    headline = drawn[0].get_suptitle()
    assert [ax.get_title(loc="left").split(" ")[0] for ax in panels] == ["speechconv", "librosa", "difference"]
    assert "noise.wav: log power, 101 frames x 80, within 1e-05" in headline
    assert f"max {result.max_abs:.1e} of the peak" in headline
    assert len({ax.get_xlim() for ax in panels}) == 1
    assert panels[2].get_xlim() == pytest.approx((-0.005, 1.005))  # frame t is centred on t * 10 ms
    assert panels[2].get_xlabel() == "time (s)"
    assert [ax.get_ylabel() for ax in panels] == ["frequency (Hz)"] * 3
    assert {ax.get_ylabel() for ax in drawn[0].axes[3:]} == {"level (dB)", "dB of the peak"}


def test_a_frequency_stands_at_its_bin(drawn: list[Figure], tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 2000 * np.arange(16000) / 16000)
    result = sc.compare(tone, 16000, pipeline="stft", overrides={"sample_rate": 16000})
    plot.save_plot(result, tmp_path / "x.png")
    ax = drawn[0].axes[0]
    ticks = dict(zip([label.get_text() for label in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    shown = ax.images[0].get_array()
    assert shown is not None
    assert ticks["2000"] == np.argmax(np.asarray(shown)[:, 10])


def test_the_largest_difference_is_circled_and_survives_a_long_sound(drawn: list[Figure], tmp_path: Path) -> None:
    stft = sc.ConvSTFT(64, hop_length=16, output="power")
    result = sc.compare(noise(16 * 3 * plot.COLUMNS), 16000, pipeline=sc.Pipeline([stft], sample_rate=16000))
    plot.save_plot(result, tmp_path / "x.png")
    ax = drawn[0].axes[2]
    shown = np.asarray(ax.images[0].get_array())
    assert shown.shape == (33, plot.COLUMNS)
    assert shown.max() == pytest.approx(10 * np.log10(result.max_abs), abs=1e-9)
    assert [ax.lines[0].get_xdata(), ax.lines[0].get_ydata()] == [[result.worst_seconds], [result.worst_bin]]


@pytest.mark.parametrize(("height", "tolerance"), [(1e-9, 1e-5), (1e-3, 1e-5), (1e3, 1e-5), (1e-3, 0.0), (1e-3, 2.0)])
def test_the_tolerance_is_marked_where_it_is_within_the_colours(
    height: float, tolerance: float, drawn: list[Figure], tmp_path: Path
) -> None:
    result = sc.compare(noise(16000), 16000, pipeline="stft", dtype=torch.float64, tolerance=tolerance)
    raised = replace(result, features=result.features + height * result.peak)
    plot.save_plot(raised, tmp_path / "x.png")
    bar = drawn[0].axes[-1]
    marks = [float(np.asarray(line.get_ydata())[0]) for line in bar.lines]
    assert marks == ([pytest.approx(20 * np.log10(tolerance))] if 0 < tolerance < 1 else [])
    assert all(bar.get_ylim()[0] < mark < bar.get_ylim()[1] for mark in marks)


def test_one_frame_and_silence_can_be_drawn(tmp_path: Path) -> None:
    for wav in (np.zeros(8000), noise(100)):
        plot.save_plot(sc.compare(wav, 16000, pipeline="stft", dtype=torch.float64), tmp_path / "x.png")
        assert imread(tmp_path / "x.png").shape[:2] == (1080, 1200)
