"""Connected digits with CTC: names, lists and seeds as users give them, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import speechconv as sc
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.scoring import difference, word_error_rate
from recipes.digits_ctc import evaluate, prepare, train, voices
from recipes.digits_ctc.config import load_config
from recipes.digits_ctc.corpus import DIGITS, SAMPLE_RATE, find_clips, fold_named, folds, read, speakers
from recipes.digits_ctc.report import Result, find_results
from tests.recipes.digits_voices import VOICES


def write_takes(folder: Path, names: list[str], takes: tuple[int, ...] = (0, 5)) -> Path:
    folder.mkdir()
    for name in names:
        for take in takes:
            soundfile.write(folder / f"3_{name}_{take}.wav", np.full(800, 0.1), SAMPLE_RATE)
    return folder


# Speakers.


def test_a_speakers_name_may_hold_underscores(tmp_path: Path) -> None:
    clips = find_clips(write_takes(tmp_path / "data", ["ann_lee", "bob"]))
    assert speakers(clips) == ["ann_lee", "bob"]
    assert {clip.take for clip in clips} == {0, 5}


@pytest.mark.parametrize("listed", ["bob,ann", " ann, bob ", "ann,bob,", "ann,ann,bob"])
def test_speakers_are_listed_with_or_without_spaces(tmp_path: Path, listed: str) -> None:
    clips = find_clips(write_takes(tmp_path / "data", ["ann", "bob", "carl"]))
    assert fold_named(clips, f"without-{listed}") == fold_named(clips, "without-ann,bob")
    prepare.main(["--data", str(tmp_path / "data"), "--output", str(tmp_path / "folds"), "--test-speakers", listed])
    assert [path.name for path in (tmp_path / "folds").iterdir()] == ["without-ann,bob.json"]


def test_no_name_is_no_fold(tmp_path: Path) -> None:
    clips = find_clips(write_takes(tmp_path / "data", ["ann", "bob"]))
    with pytest.raises(ValueError, match="no speaker is named in the data; it has ann, bob"):
        fold_named(clips, "without- ,")


def test_what_a_single_speaker_or_takes_of_one_kind_cannot_give_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recording is left to train on; take more speakers or takes, or another"):
        folds(find_clips(write_takes(tmp_path / "one", ["ann"])))
    assert len(fold_named(find_clips(tmp_path / "one"), "official").test) == 1
    with pytest.raises(ValueError, match="fold 'official' is empty: no recording is left to test on"):
        folds(find_clips(write_takes(tmp_path / "late", ["ann", "bob"], takes=(5, 6))))


def test_a_run_is_tested_on_speakers_of_other_data(tmp_path: Path) -> None:
    """By the preset's weights, so that it is trained."""
    run = RunFolder(tmp_path / "run")
    run.begin({"tokens": list(DIGITS.tokens), "data": {"fold": "official"}})
    pipe = sc.Pipeline.from_preset("digits")
    pipe.save(run.recogniser)
    sc.Pipeline.from_preset("logmel").save(run.front_end)
    metrics = evaluate.evaluate(run, [VOICES], "usm7 ,clf5")
    assert json.loads((run.path / "metrics-clf5,usm7.json").read_text()) == metrics
    assert sum(metrics["connected"]["words"]) == 40  # two voices, two takes of ten digits
    assert metrics["live_differs_in"] == 0
    assert metrics["parameters"] == {"front": 0, "all": sum(p.numel() for p in pipe.parameters())}
    assert not (run.path / "metrics.json").exists()
    with pytest.raises(ValueError, match="no speaker lucas in the data; it has clf5, gb"):
        evaluate.evaluate(run, [VOICES], "lucas")


@pytest.mark.parametrize("command", [train.main, lambda arguments: evaluate.main(["run", *arguments])])
def test_no_threads_are_told(command: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command(["--data", "nowhere", "--threads", "0"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: threads (=0) must be an integer >= 1.\n"


# Recordings.


@pytest.mark.parametrize(("start", "samples"), [(700, 101), (800, None), (0, 801), (-1, 10), (5, 0)])
def test_a_list_that_speaks_of_more_than_there_is_is_told(tmp_path: Path, start: int, samples: int | None) -> None:
    soundfile.write(tmp_path / "ann.wav", np.full(800, 0.1), SAMPLE_RATE)
    line = {"file": "ann.wav", "start": start, "samples": samples, "digit": 3, "speaker": "ann", "take": 0}
    (tmp_path / "clips.json").write_text(json.dumps([line]))
    (clip,) = find_clips(tmp_path)
    with pytest.raises(ValueError, match=rf"ann\.wav has 800 samples; its list speaks of {start} to "):
        read(clip)


def test_a_recording_that_is_cut_short_or_empty_is_told(tmp_path: Path) -> None:
    write_takes(tmp_path / "data", ["ann"])
    cut, empty = sorted((tmp_path / "data").iterdir())
    cut.write_bytes(cut.read_bytes()[:1000])
    soundfile.write(empty, np.zeros(0), SAMPLE_RATE)
    first, second = find_clips(tmp_path / "data")
    with pytest.raises(ValueError, match=r"3_ann_0\.wav: is truncated"):
        read(first)
    with pytest.raises(ValueError, match=r"3_ann_5\.wav: holds no"):
        read(second)


def test_without_espeak_no_voice_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="espeak-ng, which speaks, was not found; install it: `apt-get"):
        voices.write(tmp_path / "voices")
    assert not list(tmp_path.iterdir())


def test_a_voice_that_espeak_does_not_know_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    espeak = tmp_path / "espeak-ng"
    espeak.write_text("#!/bin/sh\necho 'Error: no such voice.' >&2\nexit 1\n")
    espeak.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"espeak-ng -v klingon .* one failed: Error: no such voice\.$"):
        voices.say("one", "klingon")


# Several seeds.


def result_of(folder: Path, name: str, seeds: int, errors: list[int], words: list[int]) -> Result:
    for seed in range(seeds):
        run = RunFolder(folder / name / f"without-ann-seed{seed}")
        run.write("metrics.json", {"connected": {"errors": errors, "words": words}})
    return next(result for result in find_results(folder) if result.name == name)


def test_more_seeds_on_the_same_utterances_narrow_no_interval(tmp_path: Path) -> None:
    """Recognisers that err alike know of no more utterances than one does."""
    generator = np.random.default_rng(0)
    words = generator.integers(3, 8, 50).tolist()
    errors = generator.binomial(words, 0.2).tolist()
    one = result_of(tmp_path / "one", "logmel", 1, errors, words)
    four = result_of(tmp_path / "four", "logmel", 4, errors, words)
    expected, found = (word_error_rate(result.scores(official=False)) for result in (one, four))
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    better = result_of(tmp_path / "four", "pcen", 4, [0] * len(words), words)
    pair = (better.scores(official=False), four.scores(official=False))
    assert difference(*pair).value == pytest.approx(-expected.value)


def test_seeds_on_other_utterances_are_told(tmp_path: Path) -> None:
    result_of(tmp_path, "logmel", 2, [1, 0], [3, 4])
    result = result_of(tmp_path, "logmel", 1, [1, 0], [3, 5])
    with pytest.raises(ValueError, match="the seeds of logmel were tested on other utterances"):
        result.scores(official=False)


# Settings and runs.


def test_settings_that_are_no_toml_are_named(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[training")
    with pytest.raises(ValueError, match=r"my\.toml is not valid TOML: "):
        load_config("logmel", settings=tmp_path / "my.toml")
    (tmp_path / "my.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"my\.toml is not valid TOML: "):
        load_config("logmel", settings=tmp_path / "my.toml")
    with pytest.raises(FileNotFoundError, match=r"no settings .*; .* tables acoustic, training, augmentation\."):
        load_config("logmel", settings=tmp_path / "none.toml")


def test_a_run_that_is_being_trained_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = write_takes(tmp_path / "data", ["ann", "bob"]), RunFolder(tmp_path / "run")
    with run.alone(), pytest.raises(SystemExit) as caught:
        train.main(["--data", str(data), "--steps", "1", "--output", str(run.path)])
    assert caught.value.code == 2
    assert "another training is at work in" in capsys.readouterr().err
    assert not (run.path / "config.json").exists()
