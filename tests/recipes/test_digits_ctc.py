"""Connected digits with CTC, on espeak-ng's voices: data, augmentation, a short training, and every command."""

from __future__ import annotations

import argparse
import itertools
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import speechconv as sc
from recipes.ctc.run_folder import RunFolder
from recipes.ctc.spec_augment import SpecAugment
from recipes.digits_ctc import compare, evaluate, prepare, report, stream, train
from recipes.digits_ctc.augment import Augmentation, coloured_noise, equalised, faster
from recipes.digits_ctc.batches import Batches
from recipes.digits_ctc.config import CONFIGS, ENCODERS, SETTINGS, front_ends, load_config
from recipes.digits_ctc.corpus import SAMPLE_RATE, Fold, find_clips, fold_named, folds, official, read
from recipes.digits_ctc.recognise import listen, load_recogniser, recognise
from recipes.digits_ctc.utterances import FEWEST, MOST, Utterance, connected, isolated
from speechconv.cli import main as speechconv
from tests.recipes.digits_runs import write_metrics

ROOT = Path(__file__).parents[2]
VOICES = ROOT / "audio_samples" / "digits"
HELD_OUT = "without-clf5,usm7"
SMALL = """
[acoustic]
channels = 64
blocks = 2

[training]
steps = 250
learning_rate = 6e-3
warmup = 30
batch = 8

[augmentation]
time_masks = 1
"""


@pytest.fixture
def tone_folder(tmp_path: Path) -> Path:
    """Two speakers' takes of two digits, as the Free Spoken Digit Dataset names them."""
    folder = tmp_path / "tones" / "recordings"
    folder.mkdir(parents=True)
    for digit in (0, 7):
        for speaker in ("ann", "bob"):
            for take in (0, 5, 12):
                tone = np.sin(np.arange(800 + 100 * take) * (0.1 + 0.1 * digit))
                soundfile.write(folder / f"{digit}_{speaker}_{take}.wav", tone / 2, SAMPLE_RATE)
    (folder / "notes.txt").write_text("not a recording")
    return folder.parent


# Recordings and folds.


def test_recordings_are_found_by_their_names(tone_folder: Path) -> None:
    clips = find_clips(tone_folder)
    assert {(clip.digit, clip.speaker, clip.take) for clip in clips} == {
        (digit, speaker, take) for digit in (0, 7) for speaker in ("ann", "bob") for take in (0, 5, 12)
    }
    assert find_clips(tone_folder / "recordings") == clips
    assert [len(read(clip)) for clip in clips] == [soundfile.info(clip.path).frames for clip in clips]


def test_a_list_says_what_is_where_in_longer_files() -> None:
    clips = find_clips(VOICES)
    whole, _ = soundfile.read(VOICES / "rpf2.flac", dtype="float32")
    own = [clip for clip in clips if clip.speaker == "rpf2"]
    assert [clip.digit for clip in own] == [*range(10), *range(10)]
    assert np.array_equal(np.concatenate([read(clip) for clip in own]), whole)


def test_folders_can_be_taken_together(tone_folder: Path) -> None:
    assert len(find_clips(tone_folder, VOICES)) == 12 + 160


def test_the_official_split_is_by_takes(tone_folder: Path) -> None:
    fold = official(find_clips(tone_folder))
    assert {clip.take for clip in fold.test} == {0}
    assert {clip.take for clip in fold.training} == {5, 12}


def test_each_speaker_of_the_folder_is_left_out_once(tone_folder: Path) -> None:
    clips = find_clips(tone_folder)
    assert [fold.name for fold in folds(clips)] == ["without-ann", "without-bob", "official"]
    for fold in folds(clips)[:2]:
        assert not {clip.speaker for clip in fold.training} & {clip.speaker for clip in fold.test}
        assert sorted((*fold.training, *fold.test), key=str) == sorted(clips, key=str)
        assert fold_named(clips, fold.name) == fold


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("without-carl", "no speaker carl in the data; it has ann, bob"),
        ("without-ann,bob", "'without-ann,bob' is empty: no recording is left to train on"),
        ("mine", r"fold \(='mine'\) must be official or without-SPEAKER"),
    ],
)
def test_a_fold_that_cannot_be_is_told(tone_folder: Path, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fold_named(find_clips(tone_folder), name)


def test_missing_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; expected one with recordings"):
        find_clips(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="expected a clone of the Free Spoken Digit Dataset"):
        find_clips(tmp_path)
    (tmp_path / "clips.json").write_text('[{"file": "a.flac"}]')
    with pytest.raises(ValueError, match="is not a list of file, start, samples, digit, speaker and take"):
        find_clips(tmp_path)


def test_another_rate_and_a_damaged_file_are_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "1_ann_0.wav", np.zeros(100), 16000)
    (tmp_path / "2_ann_0.wav").write_bytes(b"RIFF")
    wrong, damaged = find_clips(tmp_path)
    with pytest.raises(ValueError, match=r"1_ann_0.wav has 16000 Hz and 1 channel\(s\); this recipe takes 8000 Hz"):
        read(wrong)
    with pytest.raises(ValueError, match=r"2_ann_0\.wav: "):
        read(damaged)


# Utterances.


def test_every_test_clip_is_said_once_by_one_speaker_at_a_time() -> None:
    clips = find_clips(VOICES)
    utterances = connected(clips, 0)
    assert sorted((clip for one in utterances for clip in one.clips), key=str) == sorted(clips, key=str)
    assert all(len({clip.speaker for clip in one.clips}) == 1 for one in utterances)
    lengths = [len(one.clips) for one in utterances]
    assert max(lengths) == MOST
    assert sum(length < FEWEST for length in lengths) <= 8  # what is left over of each speaker
    assert connected(clips, 0) == utterances != connected(clips, 1)
    assert [one.words for one in isolated(clips, 0)] == [[clip.word] for clip in clips]


def test_an_utterance_holds_its_clips_where_it_says_over_a_faint_hiss() -> None:
    (utterance, *_) = connected(find_clips(VOICES), 3)
    wav, ends = utterance.render(read)
    for clip, end in zip(utterance.clips, ends, strict=True):
        sound = read(clip)
        assert np.abs(wav[end - len(sound) : end] - sound).max() < 1e-3
    assert len(wav) == ends[-1] + utterance.pauses[-1]
    pause = wav[: utterance.pauses[0]]
    assert 0.5e-4 < np.sqrt(np.mean(np.square(pause))) < 2e-4


def test_a_negative_pause_lets_two_digits_overlap() -> None:
    one, other = find_clips(VOICES)[:2]
    wav, ends = Utterance((one, other), (100, -300, -50), seed=0).render(read)
    expected = np.zeros(len(wav), np.float32)
    expected[100 : 100 + len(read(one))] += read(one)
    expected[ends[0] - 300 : ends[1]] += read(other)
    assert ends == [100 + len(read(one)), len(wav)]
    assert np.abs(wav - expected).max() < 1e-3


# Augmentation.


def spectrum_slope(noise: np.ndarray) -> float:
    """Of the power against frequency, both as logarithms."""
    power = np.abs(np.fft.rfft(noise)) ** 2
    bins = np.arange(100, len(power))
    return float(np.polyfit(np.log(bins), np.log(power[bins]), 1)[0])


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_has_its_colour_and_level(slope: float) -> None:
    noise = coloured_noise(slope)
    assert spectrum_slope(noise) == pytest.approx(-slope, abs=0.02)
    assert np.sqrt(np.mean(np.square(noise))) == pytest.approx(1)


def test_noise_comes_at_the_ratio_that_was_asked_for() -> None:
    quiet = Augmentation(gain_db=(0, 0), equaliser_db=(0, 0), snr_db=(10, 10), noisy=1.0)
    wav = np.sin(np.arange(40000) * 0.3).astype(np.float32)
    noise = quiet.sound(wav, np.random.default_rng(0)) - wav
    assert 10 * np.log10(np.mean(np.square(wav)) / np.mean(np.square(noise))) == pytest.approx(10, abs=1.0)


def test_the_level_is_what_was_asked_for() -> None:
    louder = Augmentation(gain_db=(20, 20), equaliser_db=(0, 0), noisy=0.0)
    wav = np.array([1, 0, 0, 2], np.float32)
    assert louder.sound(wav, np.random.default_rng(0)) == pytest.approx(10 * wav, abs=1e-5)


def test_the_equaliser_has_its_gain_at_each_frequency() -> None:
    noise = coloured_noise(0.0).astype(np.float32)
    ratio = np.abs(np.fft.rfft(equalised(noise, (-6.0, 0.0, 12.0)))) / np.abs(np.fft.rfft(noise))
    where = np.linspace(0, len(ratio) - 1, 9).astype(int)[1:-1]
    found = [20 * np.log10(np.median(ratio[i - 500 : i + 500])) for i in where]
    assert found == pytest.approx(np.interp(np.arange(1, 8), [0, 4, 8], [-6, 0, 12]), abs=0.5)


def test_speed_moves_pitch_and_length_together() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(8000) / SAMPLE_RATE).astype(np.float32)
    fast = faster(tone, 1.25)
    assert len(fast) == 6400
    assert np.argmax(np.abs(np.fft.rfft(fast))) * SAMPLE_RATE / len(fast) == pytest.approx(625, abs=2)


def test_holes_are_at_the_rows_own_mean_and_no_larger_than_allowed() -> None:
    own = Augmentation(time_masks=1, time_mask=10, channel_masks=1, channel_mask=0.2)
    frames, lengths = torch.randn(3, 60, 20), torch.tensor([60, 30, 0])
    frames[1, 30:], frames[2] = 0, 0
    held = SpecAugment(own, seed=1)(frames, lengths)
    for row, count in enumerate(lengths.tolist()):
        changed = held[row, :count] != frames[row, :count]
        assert int(changed.all(1).sum()) <= 10
        assert int(changed.all(0).sum()) <= 4 if count else True
        if changed.any():
            assert torch.allclose(held[row, :count][changed], frames[row, :count].mean(), atol=1e-6)
    assert torch.equal(held, SpecAugment(own, seed=1)(frames, lengths))
    assert not torch.equal(held, SpecAugment(own, seed=2)(frames, lengths))


def test_a_batch_follows_from_its_step_and_the_seed_alone() -> None:
    clips = find_clips(VOICES)
    one, other = (Batches(clips, Augmentation(), 4, seed=7) for _ in range(2))
    other(0)
    assert torch.equal(one(3).wav, other(3).wav)
    assert not torch.equal(one(3).wav, one(4).wav)
    assert not torch.equal(one(3).wav[:, :100], Batches(clips, Augmentation(), 4, seed=8)(3).wav[:, :100])


# Front-ends.


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


# A short training, and what must miss its accuracy.


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def voices() -> Fold:
    return fold_named(find_clips(VOICES), HELD_OUT)


@pytest.fixture(scope="module")
def run(settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All voices but two trained on, by README's command."""
    folder = tmp_path_factory.mktemp("runs") / "logmel"
    arguments = ["--data", str(VOICES), "--config", "logmel.toml", "--fold", HELD_OUT, "--settings", str(settings)]
    train.main([*arguments, "--threads", "1", "--output", str(folder)])
    return folder


ACCURACY = 0.9
"""Of isolated digits of a voice that was not trained on."""
CONNECTED = 0.2
"""Word error rate of that voice: seen 0.15. A bound of 0.1 held while one of two test voices had been trained on."""


def test_a_short_training_understands_voices_it_never_heard(run: Path) -> None:
    metrics = evaluate.evaluate(RunFolder(run), [VOICES])
    assert metrics["isolated_accuracy"] >= ACCURACY
    assert metrics["wer"]["value"] <= CONNECTED  # of one voice, 20 digits
    assert metrics == json.loads((run / "metrics.json").read_text())


def test_frozen_random_filters_miss_that_accuracy(settings: Path, voices: Fold, tmp_path: Path) -> None:
    """The same training behind an STFT whose filters are noise: the front-end is what makes the difference."""
    config = load_config("logmel", settings=settings)
    model = config.build()
    noise = sc.ConvSTFT(256, hop_length=80, learn="free", output="power")
    with torch.no_grad():
        for filters in noise.parameters():
            filters.copy_(torch.randn_like(filters) * filters.std())
    stages = dict(model.front.named_children()) | {"stft": noise.requires_grad_(False)}
    model.front = sc.Pipeline(stages, sample_rate=SAMPLE_RATE)
    run = RunFolder(tmp_path / "noise")
    run.begin({})
    batches = Batches(voices.training, config.augmentation, config.training.batch, config.training.seed)
    train.train(model, batches, config.training, run, resume=False)
    assert evaluate.measured(model.as_pipeline(), voices.test)["isolated_accuracy"] < ACCURACY


def test_live_decoding_gives_the_digits_of_whole_decoding_for_every_file(run: Path, voices: Fold) -> None:
    recogniser = load_recogniser(RunFolder(run))
    utterances = (*connected(voices.test, 0), *isolated(voices.test[:10], 0))
    for utterance, chunk in zip(utterances, itertools.cycle((97, 160, 8000)), strict=False):
        sound = torch.from_numpy(utterance.render(read)[0])
        (whole,) = recognise(recogniser, [sound])
        assert [heard.word for heard in listen(recogniser, iter(sound.split(chunk)))] == whole


def test_a_digit_is_heard_as_soon_as_its_frame_can_be_told(run: Path, voices: Fold) -> None:
    recogniser = load_recogniser(RunFolder(run))
    sound = torch.from_numpy(connected(voices.test, 0)[0].render(read)[0])
    heard = list(listen(recogniser, iter(sound.split(1))))
    assert heard
    for digit in heard:
        assert digit.samples == min(recogniser.geometry.emitted_at(digit.frame), len(sound))


def test_extract_and_verify_read_the_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = VOICES / "clf5.flac"
    assert speechconv(["extract", str(sound), "-o", str(tmp_path / "out"), "--pipeline", str(run)]) == 0
    (line,) = map(json.loads, (tmp_path / "out" / "manifest.jsonl").read_text().splitlines())
    wav = torch.from_numpy(soundfile.read(sound, dtype="float32")[0])[None]
    expected = sc.Pipeline.load(run / "pipeline.safetensors")(wav)[0].detach().numpy()
    np.testing.assert_allclose(np.load(tmp_path / "out" / line["path"]), expected, atol=1e-3)
    assert speechconv(["verify", str(run)]) == 0
    assert "periodic Hann" in capsys.readouterr().out


def test_a_run_of_learned_filters_is_verified_as_learned(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(VOICES), "--config", "stft-delta", "--settings", str(settings), "--steps", "3"]
    train.main([*arguments, "--threads", "1", "--output", str(tmp_path / "run")])
    assert speechconv(["verify", str(tmp_path / "run")]) == 0  # three steps do not lead far
    drift = re.search(r"drift\.total +(\S+)", capsys.readouterr().out)
    assert drift
    assert 1e-5 < float(drift[1]) < 1e-2


# Going on, and repeating.


def test_two_runs_with_one_seed_give_the_same_weights(settings: Path, voices: Fold, tmp_path: Path) -> None:
    config = load_config("side-by-side", settings=settings, steps=4)
    for name in "ab":
        train.train_run(config, voices, RunFolder(tmp_path / name))
    one, other = (sc.Pipeline.load(tmp_path / name / "recogniser.safetensors").state_dict() for name in "ab")
    assert all(torch.equal(one[key], other[key]) for key in one)
    train.train_run(replace(config, training=replace(config.training, seed=1)), voices, RunFolder(tmp_path / "c"))
    third = sc.Pipeline.load(tmp_path / "c" / "recogniser.safetensors").state_dict()
    assert not torch.equal(one["head.weight"], third["head.weight"])


def test_a_killed_training_goes_on_to_the_same_weights(settings: Path, tmp_path: Path) -> None:
    text = settings.read_text().replace("[training]", "[training]\nsave_every = 2\nlog_every = 2")
    (tmp_path / "often.toml").write_text(text)
    arguments = ["--data", str(VOICES), "--settings", str(tmp_path / "often.toml"), "--steps", "12", "--threads", "1"]
    script = str(ROOT / "recipes" / "digits_ctc" / "train.py")

    def command(name: str) -> list[str]:
        return [sys.executable, script, *arguments, "--output", str(tmp_path / name)]

    process = subprocess.Popen(command("killed"), stdout=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    train.main([*arguments, "--output", str(tmp_path / "killed")])
    train.main([*arguments, "--output", str(tmp_path / "whole")])
    one, other = (
        sc.Pipeline.load(tmp_path / name / "recogniser.safetensors").state_dict() for name in ("killed", "whole")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


# Commands, and one clear line for what goes wrong.


def failing(command: Callable[[list[str]], None], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as status:
        command(arguments)
    assert status.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_prepare_writes_each_fold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare.main(["--data", str(VOICES), "--output", str(tmp_path), "--test-speakers", "usm7,clf5"])
    assert "120 recordings to train on, 40 to test in 8 utterances" in capsys.readouterr().out
    (content,) = (json.loads(path.read_text()) for path in tmp_path.iterdir())
    assert content["name"] == "without-clf5,usm7"
    assert sum(len(utterance["words"]) for utterance in content["utterances"]) == 40


def test_stream_says_digits_as_they_come_and_how_late(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (utterance, *_) = connected(fold_named(find_clips(VOICES), HELD_OUT).test, 0)
    soundfile.write(tmp_path / "some.wav", utterance.render(read)[0], SAMPLE_RATE)
    capsys.readouterr()
    started = time.perf_counter()
    stream.main([str(run), str(tmp_path / "some.wav")])
    seconds = soundfile.info(tmp_path / "some.wav").duration
    assert time.perf_counter() - started > seconds - 0.1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == recognise(
        load_recogniser(RunFolder(run)), [torch.from_numpy(utterance.render(read)[0])]
    )[0]
    stream.main([str(run), "--data", str(VOICES), "--fast"])
    assert re.search(r"\d+ digits, behind their end: median -?\d+ ms", capsys.readouterr().out)


def test_what_is_wrong_is_one_line(
    run: Path, settings: Path, tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(VOICES)]
    assert "no folder nowhere" in failing(train.main, ["--data", "nowhere"], capsys)
    assert "no speaker carl" in failing(train.main, [*data, "--fold", "without-carl"], capsys)
    assert "no config mine" in failing(train.main, [*data, "--config", "mine"], capsys)
    other = [*data, "--fold", HELD_OUT, "--settings", str(settings), "--steps", "9", "--output", str(run)]
    assert "training.steps was 250, is now 9" in failing(train.main, other, capsys)
    assert "holds no config.json" in failing(evaluate.main, [str(tmp_path), *data], capsys)
    assert "no speaker clf5, usm7 in the data; it has ann, bob" in failing(
        evaluate.main, [str(run), "--data", str(tone_folder)], capsys
    )
    assert "one of the two" in failing(stream.main, [str(run)], capsys)
    assert "some.mp3" in failing(stream.main, [str(run), "some.mp3"], capsys)
    config = json.loads((run / "config.json").read_text())
    config["config"]["tokens"] = ["ja", "nein"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "was made with 2 tokens (ja nein)" in failing(evaluate.main, [str(tmp_path), *data], capsys)
    soundfile.write(tmp_path / "1_ann_0.wav", np.zeros(100), 16000)
    soundfile.write(tmp_path / "1_ann_5.wav", np.zeros(100), 16000)
    assert "has 16000 Hz" in failing(prepare.main, ["--data", str(tmp_path)], capsys)


def test_compare_does_what_is_missing(settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(VOICES), "--output", str(tmp_path / "runs"), "--settings", str(settings)]
    few = [*arguments, "--steps", "2", "--folds", HELD_OUT, "--configs", "pcen", "--jobs", "1"]
    compare.main(few)
    assert "1/1" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")}
    assert [path.parent.parent.name for path in before] == ["pcen"]
    compare.main(few)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.json")} == before


def test_compare_trains_the_fixed_front_end_live_too(tmp_path: Path) -> None:
    args = argparse.Namespace(
        data=[VOICES], output=tmp_path, settings=SETTINGS, steps=None, seeds=[3], folds=None, configs=["pcen", "logmel"]
    )
    work = list(compare.jobs(args))
    named = [fold.name for fold in folds(find_clips(VOICES))]
    expected = [("logmel", False), ("logmel", True), ("pcen", False)]
    assert [(job.config, job.live, job.fold) for job in work] == [(*how, fold) for how in expected for fold in named]
    assert work[len(named)].run == tmp_path / "logmel-live" / f"{named[0]}-seed3"


def test_report_tells_means_and_differences_on_the_same_utterances(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for config, errors in (("pcen", [1, 1, 1, 1]), ("logmel", [2, 2, 2, 2])):
        write_metrics(tmp_path / config / "without-ann-seed0", errors)
        write_metrics(tmp_path / config / "without-bob-seed0", [0, 0])
        write_metrics(tmp_path / config / "official-seed0", [0, 1])
    report.main([str(tmp_path)])
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines() if "|" in line
    ]
    by_name = {row[0]: row for row in rows[2:4]}
    assert list(by_name) == ["logmel", "pcen"]
    assert by_name["pcen"][1:5] == [
        "12.5 (12.5 to 12.5)",
        "-12.5 (-12.5 to -12.5)",
        "12.5 (0.0 to 25.0)",
        "+0.0 (+0.0 to +0.0)",
    ]
    assert by_name["logmel"][1:5] == ["25.0 (25.0 to 25.0)", "", "12.5 (0.0 to 25.0)", ""]
    assert by_name["pcen"][5:] == ["50.0", "1,234", "3", "100", "0.0100"]
    assert rows[-1] == ["pcen", "25.0", "0.0"]
    assert "no tested run in" in failing(report.main, [str(tmp_path / "logmel")], capsys)
