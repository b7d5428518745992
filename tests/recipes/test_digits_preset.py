"""The preset `digits`: weights in the package, voices that they never heard, filters that truly were learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import speechconv as sc
from recipes.ctc.scoring import score
from recipes.digits_ctc import publish, stream
from recipes.digits_ctc.corpus import DIGITS, SAMPLE_RATE, find_clips, of_speakers, official
from recipes.digits_ctc.evaluate import measured
from recipes.digits_ctc.recognise import open_recogniser, recognise
from speechconv.cli import main as speechconv
from speechconv.presets import preset_weights

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "audio_samples" / "speech"
SAID = {
    "en_us_m7_digits_8k.flac": "four seven one nine two",
    "en_lancashire_f5_digits_16k.flac": "three one four one five nine",
}


STATED_VOICES, STATED_OFFICIAL = 0.0, 0.02
"""Word error rates that the recipe's README states."""
ROUNDING = 0.011
"""Two words of the official test: other processors round otherwise, and a close decision may fall the other way."""


@pytest.fixture(scope="module")
def digits() -> sc.Pipeline:
    return open_recogniser("digits")


@pytest.mark.parametrize("name", SAID)
def test_voices_that_it_never_heard_are_understood_live_as_offline(name: str, digits: sc.Pipeline) -> None:
    sound = stream.load_sound(SPEECH / name)
    assert [heard.word for heard in stream.live(digits, sound, fast=True)] == SAID[name].split()
    assert recognise(digits, [torch.from_numpy(sound)]) == [SAID[name].split()]


def test_the_command_prints_each_digit_when_it_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    stream.main(["digits", str(SPEECH / "en_us_m7_digits_8k.flac"), "--fast"])
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith("en_us_m7_digits_8k.flac:")
    assert [line.split()[-1] for line in lines] == SAID["en_us_m7_digits_8k.flac"].split()


def test_fluent_digits_are_understood_but_for_two(digits: sc.Pipeline) -> None:
    """Without any pause between them: what the recipe's README admits."""
    sound = stream.load_sound(SPEECH / "en_us_digits_16k.wav")
    heard = recognise(digits, [torch.from_numpy(sound)])
    assert sum(score([list(DIGITS.tokens[:7])], heard).errors) <= 2


def test_digits_of_unseen_synthetic_voices(digits: sc.Pipeline) -> None:
    clips = of_speakers(find_clips(ROOT / "audio_samples" / "digits"), ["usm7", "clf5"])
    assert measured(digits, clips)["wer"]["value"] <= STATED_VOICES + ROUNDING


def test_digits_of_real_speakers(digits: sc.Pipeline, real_speech: Path) -> None:
    """The official takes, of speakers whose other takes were trained on."""
    assert measured(digits, official(find_clips(real_speech)).test)["wer"]["value"] <= STATED_OFFICIAL + ROUNDING


def test_its_weights_are_small_and_its_own() -> None:
    weights = preset_weights("digits")
    assert weights
    assert len(weights) < 2_000_000
    one, other = (sc.Pipeline.from_preset("digits") for _ in range(2))
    assert not one.fresh_random
    for key, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[key])
    assert preset_weights("logmel") is None


def test_its_values_are_fixed() -> None:
    with pytest.raises(ValueError, match=r"preset 'digits' is trained, its values are fixed; drop sample_rate"):
        sc.Pipeline.from_preset("digits", sample_rate=16000)


def test_its_filters_were_learned(tmp_path: Path) -> None:
    speechconv(["verify", "digits", "--json", str(tmp_path / "answers.json")])
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert answers["drift"]["total"] > 0.01
    assert answers["stft"]["rho"] > 1e-5


def test_publish_writes_what_the_package_holds(tmp_path: Path, digits: sc.Pipeline) -> None:
    run = tmp_path / "run"
    run.mkdir()
    digits.save(run / "recogniser.safetensors")
    tokens = list(DIGITS.tokens)
    (run / "config.json").write_text(json.dumps({"config": {"tokens": tokens}}))
    publish.main([str(run), "--output", str(tmp_path)])
    own = ROOT / "speechconv" / "presets"
    assert (tmp_path / "digits.toml").read_text() == (own / "digits.toml").read_text()
    assert sc.Pipeline.load(tmp_path / "digits.safetensors").sample_rate == SAMPLE_RATE


def test_another_preset_is_no_recogniser() -> None:
    with pytest.raises(ValueError, match="preset 'logmel' is no recogniser of digits; expected a run's folder"):
        open_recogniser("logmel")
