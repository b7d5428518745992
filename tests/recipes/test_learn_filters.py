"""The recipe on a few steps: the project's own sounds stand in for spoken digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import speechconv as sc
from recipes.learn_filters import learn as recipe
from recipes.learn_filters.sounds import PIECE, Sounds, in_noise, load, pink


@pytest.fixture(scope="module")
def sounds() -> tuple[Sounds, Sounds]:
    return load(Path(__file__).parents[2] / "audio_samples")


def test_pieces_of_a_recording_carry_its_class(sounds: tuple[Sounds, Sounds]) -> None:
    training, test = sounds
    assert set(test.classes.tolist()) == set(training.classes.tolist()) == set(range(10))
    assert all(len(piece) == PIECE for piece in training.waveforms + test.waveforms)
    assert len(training) > len(test) > 10


def test_fsdd_is_split_as_its_authors_do(real_speech: Path) -> None:
    training, test = load(real_speech.parent)
    assert (len(training), len(test)) == (1800, 200)
    assert torch.bincount(test.classes).tolist() == [20] * 10


def test_a_folder_without_sounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds neither recordings/.* nor speech/"):
        load(tmp_path)


def test_noise_has_the_ratio_that_was_asked_for(sounds: tuple[Sounds, Sounds]) -> None:
    chosen = torch.arange(6)
    noisy, lengths = in_noise(sounds[0], chosen, torch.Generator().manual_seed(0), (7.0, 7.0))
    clean = torch.stack([sounds[0].waveforms[i] for i in chosen.tolist()])
    assert lengths.tolist() == [PIECE] * 6
    ratio = 10 * (clean.square().mean(1) / (noisy - clean).square().mean(1)).log10()
    assert (ratio - 7).abs().max() <= 0.01  # float32


def test_pink_noise_loses_three_decibels_an_octave() -> None:
    power = np.abs(np.fft.rfft(pink(torch.randn(1 << 18)).numpy())) ** 2
    octaves = [10 * np.log10(power[1 << i : 2 << i].mean()) for i in range(9, 17)]
    assert np.diff(octaves) == pytest.approx(-3.01, abs=0.5)


@pytest.mark.parametrize("way", recipe.WAYS)
def test_a_few_steps_move_the_filters_but_little(sounds: tuple[Sounds, Sounds], way: str) -> None:
    model, result = recipe.learn(way, *sounds, steps=8, seed=0)
    assert result["learn"] == way
    assert 0 <= result["accuracy"] <= 1
    assert result["kappa_two_sided"] < 1.2
    if way == "fixed":
        assert result["drift"] <= 1e-7  # float32's rounding of the filters
    else:
        farthest = 8 * recipe.FILTER_LR * 2**0.5  # if every step goes one way
        assert farthest / 10 < result["drift"] < farthest
    assert not model.training


def test_the_penalty_is_a_part_of_the_loss(sounds: tuple[Sounds, Sounds], monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam's steps are of one size, so a heavy penalty shows: the condition number comes out smaller."""
    kappas = []
    for penalty in (0.0, 100.0):
        monkeypatch.setattr(recipe, "PENALTY", penalty)
        kappas.append(recipe.learn("delta", *sounds, steps=8, seed=0)[1]["kappa_two_sided"])
    assert kappas[1] < kappas[0]


def test_learning_lowers_the_loss(sounds: tuple[Sounds, Sounds]) -> None:
    """On what it was trained on; ten classes by chance are 0.1."""
    model, _ = recipe.learn("delta", *sounds, steps=60, seed=0)
    assert recipe.accuracy(model, sounds[0]) > 0.4


def test_the_same_seed_gives_the_same_filters(sounds: tuple[Sounds, Sounds]) -> None:
    first, second = (recipe.learn("delta", *sounds, steps=2, seed=3)[0].stft.kernel for _ in range(2))
    other = recipe.learn("delta", *sounds, steps=2, seed=4)[0].stft.kernel
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_weights_and_reports_are_kept_from_before_and_after(
    tmp_path: Path, audio_samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.main(["--data", str(audio_samples), "--output", str(tmp_path), "--learn", "delta", "--steps", "2"])
    drift = {name: json.loads((tmp_path / f"{name}.json").read_text())["drift"] for name in ("before", "delta0")}
    assert drift["before"]["total"] <= 1e-7
    assert drift["delta0"]["total"] > 1e-4
    assert "</html>" in (tmp_path / "delta0.html").read_text()
    assert [result["learn"] for result in json.loads((tmp_path / "results.json").read_text())] == ["delta"]
    assert sc.Pipeline.load(tmp_path / "delta0.safetensors").output_dim == recipe.N_MELS
    assert "sounds to train on" in capsys.readouterr().out
