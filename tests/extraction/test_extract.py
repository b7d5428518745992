"""extract: the features are librosa's, the reports are true, and how the work is shared does not show."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import soxr
import torch
from numpy.typing import NDArray

import speechconv as sc
from speechconv.extraction import extract
from speechconv.stores.feature_file import FeatureFile
from tests.extraction.runs import (
    check_truth,
    errors,
    features,
    forbid,
    manifest,
    run_json,
    start,
    without_seconds,
)
from tests.sounds import noise

RANDOM = """
sample_rate = 16000
[[stages]]
stage = "stft"
output = "power"
[[stages]]
stage = "linear"
in_features = 201
out_features = 4
"""


def librosa_logmel(samples: NDArray) -> NDArray:
    """(frames, 80), in float64."""
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float64), sr=16000, n_fft=400, hop_length=160, n_mels=80, pad_mode="constant"
    )
    return np.log(np.maximum(mel, 1e-10)).T


def mono_16k(path: Path) -> NDArray:
    samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(1)
    return mono if sample_rate == 16000 else soxr.resample(mono, sample_rate, 16000, "HQ")


def assert_same_logmel(found: NDArray, expected: NDArray) -> None:
    """In the mel domain, 1e-5 of the peak: Log magnifies float32 rounding in bands that are all but empty."""
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found), np.exp(expected), rtol=0, atol=1e-5 * np.exp(expected).max())
    loud = expected > expected.max() - np.log(1e6)
    np.testing.assert_allclose(found[loud], expected[loud], rtol=0, atol=1e-3)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """audio_samples/ extracted in this process."""
    folder = tmp_path_factory.mktemp("features")
    extract(Path(__file__).parents[2] / "audio_samples", out=folder)
    return folder


def test_every_sample_file_gives_librosas_log_mel(out: Path, audio_samples: Path) -> None:
    lines = manifest(out)
    assert len(lines) == 26
    for line in lines:
        assert_same_logmel(np.load(out / line["path"]), librosa_logmel(mono_16k(Path(line["audio"]))))
    assert errors(out) == []
    check_truth(out)


def test_the_manifest_is_in_input_order_and_true_of_the_sounds(out: Path, audio_samples: Path) -> None:
    lines = manifest(out)
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    pipe = sc.Pipeline.from_preset("logmel")
    for line in lines:
        info = soundfile.info(line["audio"])
        assert Path(line["audio"]).with_suffix("") == audio_samples / line["id"]
        assert line["audio_sample_rate"] == info.samplerate
        assert line["audio_num_samples"] == info.frames
        assert line["audio_channels"] == info.channels
        assert line["num_samples"] == len(mono_16k(Path(line["audio"])))
        assert line["frames"] == pipe.output_lengths(line["num_samples"])
        assert line["path"] == line["id"] + ".npy"
        assert (line["sample_rate"], line["hop_length"], line["channels"], line["dtype"]) == (16000, 160, 80, "float32")


def test_the_run_record_says_what_ran(out: Path) -> None:
    record = run_json(out)
    assert record["status"] == "finished"
    assert sc.Pipeline.from_toml(record["ingredients"]["pipeline"]).output_dim == 80
    assert record["versions"]["torch"] == torch.__version__
    assert record["options"]["jobs"] == 1
    assert record["totals"]["files_ok"] == 26
    assert record["totals"]["frames"] == sum(line["frames"] for line in manifest(out))
    assert record["started"] < record["ended"]
    totals = record["totals"]
    assert record["real_time_factor"] == pytest.approx(totals["wall_seconds"] / totals["audio_seconds"])


def test_two_jobs_write_the_bytes_and_the_lines_of_one(out: Path, audio_samples: Path, tmp_path: Path) -> None:
    summary = extract(audio_samples, out=tmp_path, jobs=2)
    assert (summary.files_ok, summary.exit_status) == (26, 0)
    assert features(tmp_path) == features(out)
    assert without_seconds(manifest(tmp_path)) == without_seconds(manifest(out))


def test_real_speech_gives_librosas_log_mel(real_speech: Path, tmp_path: Path) -> None:
    some = sorted(real_speech.glob("*.wav"))[::200]
    assert extract(some, out=tmp_path).files_ok == len(some) > 0
    for line in manifest(tmp_path):
        assert_same_logmel(np.load(tmp_path / line["path"]), librosa_logmel(mono_16k(Path(line["audio"]))))


def test_a_sound_too_short_for_a_frame_is_a_line_with_no_frames(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(399), 16000)
    summary = extract(tmp_path / "x.wav", out=tmp_path / "out", overrides={"stft.center": False})
    (line,) = manifest(tmp_path / "out")
    assert (line["frames"], line["num_samples"], summary.exit_status) == (0, 399, 0)
    assert np.load(tmp_path / "out" / "x.npy").shape == (0, 80)


def test_overrides_reach_the_pipeline_and_channels_the_sound(tmp_path: Path) -> None:
    samples = noise(8000, 2)
    soundfile.write(tmp_path / "x.wav", samples, 8000, subtype="FLOAT")
    extract(tmp_path / "x.wav", out=tmp_path / "out", overrides={"sample_rate": 8000, "mel.n_mels": 20}, channel=1)
    mel = librosa.feature.melspectrogram(
        y=samples[:, 1], sr=8000, n_fft=400, hop_length=160, n_mels=20, pad_mode="constant"
    )
    found = np.load(tmp_path / "out" / "x.npy")
    np.testing.assert_allclose(np.exp(found), mel.T, rtol=0, atol=1e-5 * mel.max())


@pytest.mark.usefixtures("forked_workers")
def test_a_pipeline_made_in_python_extracts_too_in_one_process_or_two(tmp_path: Path, audio_samples: Path) -> None:
    pipe = sc.Pipeline([sc.ConvSTFT(400, hop_length=160, output="power")], sample_rate=16000)
    sounds = sorted((audio_samples / "signals").glob("*_16k.wav"))
    for jobs in (1, 2):
        extract(sounds, pipe, out=tmp_path / str(jobs), jobs=jobs)
    assert features(tmp_path / "1") == features(tmp_path / "2") != {}


@pytest.mark.usefixtures("forked_workers")
def test_random_weights_are_refused_without_a_seed_and_repeatable_with_one(tmp_path: Path, audio_samples: Path) -> None:
    (tmp_path / "random.toml").write_text(RANDOM)
    sound = audio_samples / "signals" / "tone_16k.wav"

    def run(name: str, seed: int | None, jobs: int = 1) -> dict[str, bytes]:
        out = tmp_path / name
        extract(sound, tmp_path / "random.toml", out=out, random_weights=seed, jobs=jobs)
        return features(out)

    with pytest.raises(ValueError, match=r"fresh random numbers.*--random-weights SEED"):
        run("none", None)
    before = torch.random.get_rng_state()
    one = run("one", 1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert one == run("again", 1) == run("jobs", 1, jobs=2)
    assert one != run("two", 2)


def test_overwrite_forgets_an_earlier_run(tmp_path: Path, audio_samples: Path) -> None:
    out = tmp_path / "out"
    extract(audio_samples / "signals", out=out)
    before = features(out)
    extract(audio_samples / "signals" / "tone_16k.wav", out=out, overwrite=True)
    assert features(out) == {"tone_16k.npy": before["tone_16k.npy"]}
    assert len(manifest(out)) == 1


def test_what_cannot_run_is_said_before_anything_is_written(tmp_path: Path, audio_samples: Path) -> None:
    sound, out = audio_samples / "signals" / "tone_16k.wav", tmp_path / "out"
    complex_pipe = sc.Pipeline([sc.ConvSTFT()], sample_rate=16000)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"jobs": 0}, r"jobs \(=0\) must be an integer >= 1\."),
        ({"jobs": True}, r"jobs \(=True\) must be an integer >= 1\."),
        ({"jobs": "2"}, r"jobs \(='2'\) must be an integer >= 1\."),
        ({"channel": -1}, r"channel \(=-1\) must be"),
        ({"channel": True}, r"channel \(=True\) must be"),
        ({"resample": "no"}, r"resample \(='no'\) must be"),
        ({"pipeline": "logmell"}, "did you mean 'logmel'"),
        ({"pipeline": tmp_path / "gone.toml"}, "gone.toml"),
        ({"overrides": {"mel.mels": 3}}, "mels"),
        ({"overrides": {"mel.mels": 3}, "jobs": 2}, "mels"),
        ({"store": "zip"}, r"store \(='zip'\)"),
        ({"store": "kaldi", "dtype": "float16"}, "float16"),
        ({"dtype": "float64"}, r"dtype \(='float64'\)"),
        ({"precision": "float16"}, r"precision \(='float16'\)"),
        ({"device": "cuda:99"}, "CUDA device"),
        ({"device": "tpu"}, r"device \(='tpu'\)"),
        ({"engine": "spark"}, r"engine \(='spark'\) must be"),
        ({"engine": "ray", "timeout": 1.0}, "timeout is kept by the local engine"),
        ({"timeout": 0}, "timeout"),
        ({"batch": 0}, r"batch \(=0\)"),
        ({"shard": "8/8"}, "0 <= I < N"),
        ({"shard": "one"}, "must be I/N"),
        ({"shard_bytes": 0}, r"shard_bytes \(=0\)"),
        ({"min_duration": -1.0}, "min_duration"),
        ({"min_duration": 2.0, "max_duration": 1.0}, "max_duration"),
        ({"identity": "name"}, r"identity \(='name'\)"),
        ({"progress": "loud"}, r"progress \(='loud'\)"),
        ({"cmvn": tmp_path / "gone.json"}, "no file of statistics"),
        ({"pipeline": complex_pipe}, "complex numbers; end the pipeline by 'power'"),
        ({"pipeline": complex_pipe, "overrides": {"mel.n_mels": 3}}, "this one is built"),
    ]
    for arguments, words in wrong:
        with pytest.raises((ValueError, TypeError, FileNotFoundError), match=words):
            extract(sound, out=out, **arguments)
    with pytest.raises(ValueError, match="is a file; expected a folder"):
        extract(sound, out=sound)
    assert not out.exists()


def test_features_that_are_no_numbers_are_an_error_line(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", noise(1600) * 1e30, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "soft.wav", noise(1600), 16000)
    summary = extract(tmp_path, out=tmp_path / "out")
    (line,) = errors(tmp_path / "out")
    assert (line["id"], line["stage"], line["error"]) == ("loud", "features", "FeatureError")
    assert "frame 0 of the features" in line["message"]
    assert (summary.files_ok, summary.exit_status) == (1, 3)
    assert list(features(tmp_path / "out")) == ["soft.npy"]


def test_a_feature_file_that_cannot_be_written_is_an_error_line(tmp_path: Path, audio_samples: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "speech").write_text("a file where a folder should be")
    summary = extract(audio_samples, out=tmp_path / "out")
    assert {line["stage"] for line in errors(tmp_path / "out")} == {"write"}
    assert (summary.files_ok, summary.files_failed, summary.exit_status) == (16, 10, 3)


def test_names_that_are_not_utf8_are_extracted_and_reported(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for name in (b"b\xff.wav", b"c\xff.flac"):
        sound = tmp_path / "corpus" / os.fsdecode(name)
        plain = sound.with_stem("plain")
        soundfile.write(plain, noise(1600), 16000)
        plain.rename(sound)
    (tmp_path / "corpus" / os.fsdecode(b"bad\xff.wav")).touch()
    gone = os.fsdecode(b"gone\xff.wav")
    process = start("extract", tmp_path / "corpus", gone, "--output", tmp_path / "out", "--jobs", "2")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert stderr.decode().splitlines()[-1].startswith("speechconv extract: 2 files, ")
    found = manifest(tmp_path / "out")
    assert [os.fsencode(line["path"]) for line in found] == [b"b\xff.npy", b"c\xff.npy"]
    assert [(os.fsencode(line["id"]), line["stage"]) for line in errors(tmp_path / "out")] == [
        (b"bad\xff", "open"),
        (b"gone\xff", "input"),
    ]
    assert os.fsencode(run_json(tmp_path / "out")["options"]["inputs"][1]) == b"gone\xff.wav"
    check_truth(tmp_path / "out")
    again = start("extract", gone, "--output", tmp_path / "out", "--overwrite")
    assert b"nothing to extract: gone\\udcff.wav: no such file" in again.communicate(timeout=60)[1]
    assert again.returncode == 2


def test_a_folder_that_cannot_be_read_is_an_error_line(
    tmp_path: Path, audio_samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(audio_samples, tmp_path / "corpus")
    forbid(tmp_path / "corpus" / "speech", monkeypatch)
    summary = extract(tmp_path / "corpus", out=tmp_path / "out")
    assert errors(tmp_path / "out") == [
        {
            "id": "speech",
            "audio": str(tmp_path / "corpus" / "speech"),
            "stage": "open",
            "error": "PermissionError",
            "message": "the folder cannot be opened: Permission denied.",
        }
    ]
    assert (summary.files_ok, summary.exit_status) == (16, 3)


def test_one_torch_thread_works_and_the_others_are_given_back(
    tmp_path: Path, audio_samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    commit = FeatureFile.commit
    monkeypatch.setattr(FeatureFile, "commit", lambda f: seen.append(torch.get_num_threads()) or commit(f))
    torch.set_num_threads(2)
    try:
        extract(audio_samples / "signals" / "tone_16k.wav", out=tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert seen == [1]


def test_the_same_sounds_give_the_same_bytes_from_anywhere(
    tmp_path: Path, audio_samples: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(audio_samples, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    extract(["digits", "speech", "signals/*.*"], out=tmp_path / "out")
    assert sorted(features(tmp_path / "out").values()) == sorted(features(out).values())
    assert os.sep not in manifest(tmp_path / "out")[0]["id"]
