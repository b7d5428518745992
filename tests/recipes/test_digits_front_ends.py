"""Connected digits with CTC: every front-end fits the model and streams."""

from __future__ import annotations

from pathlib import Path

import pytest

import speechconv as sc
from recipes.digits_ctc.config import CONFIGS, ENCODERS, front_ends, load_config


@pytest.mark.parametrize("name", front_ends())
def test_every_front_end_streams_at_a_hundred_frames_a_second(name: str) -> None:
    model = load_config(name).build().eval()
    pipe = model.as_pipeline()
    assert (model.front.hop_length, pipe.hop_length) == (80, 160)
    pipe.stream()  # raises NotStreamable where it cannot
    assert (
        max(layer.out_channels or 0 for layer in model.front.modules() if isinstance(layer, sc.FeatureEncoder | sc.Mel))
        <= 128
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_streams_at_fifty_frames_a_second_and_live_waits_for_its_spectrum_alone(name: str) -> None:
    model, live = (load_config(name, live=live).build().eval() for live in (False, True))
    for each in (model, live):
        assert (each.front.hop_length, each.as_pipeline().hop_length) == (160, 160)
    assert model.as_pipeline().geometry.lookahead > live.as_pipeline().geometry.lookahead == 255
    live.as_pipeline().stream()


def test_an_encoders_own_weights_learn_at_a_tenth_of_the_rate_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    assert {load_config(name).training.front_rate for name in ENCODERS} == {0.1}
    assert {load_config(name).training.front_rate for name in front_ends()} == {1.0}
    mine = tmp_path / "mine.toml"
    mine.write_text("[training]\nfront_rate = 0.5\n")
    assert load_config(ENCODERS[0], settings=mine).training.front_rate == 0.5


def test_a_front_end_whose_frames_do_not_meet_the_acoustic_model_s_is_refused(tmp_path: Path) -> None:
    text = (CONFIGS / "logmel.toml").read_text().replace("hop_length = 80", "hop_length = 60")
    (tmp_path / "odd.toml").write_text(text)
    with pytest.raises(ValueError, match="odd gives a frame every 60 samples; 160, which"):
        load_config(str(tmp_path / "odd.toml")).build()


def test_a_live_model_looks_no_further_ahead_than_its_front_end() -> None:
    model = load_config("logmel", live=True).build()
    assert model.as_pipeline().geometry.lookahead == model.front.geometry.lookahead == 127


def test_unknown_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no config logmle; expected a file of your own, or one of conformer"):
        load_config("logmle")
    (tmp_path / "mine.toml").write_text("[training]\nstep = 3\n")
    with pytest.raises(ValueError, match=r"unknown key 'step' in .*mine.toml; did you mean 'steps'"):
        load_config("logmel", settings=tmp_path / "mine.toml")
