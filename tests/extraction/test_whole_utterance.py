"""Statistics of a whole utterance: extract reads a file again for each, and the features are those of one forward."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import speechconv as sc
from speechconv.extraction import worker
from speechconv.extraction.pipelines import build_pipeline
from speechconv.extraction.recipe import Recipe
from speechconv.extraction.sound import Pass
from tests.extraction.runs import EXTRACT, errors, manifest, peak_kibibytes
from tests.slow import only_slow
from tests.sounds import noise

SMALL: dict[str, Any] = {
    "encoder.channels": 16,
    "projection_norm.channels": 16,
    "projection.in_features": 16,
    "projection.out_features": 32,
    "positional.body": [{"stage": "conv_positional_embedding", "channels": 32}],
}
PRESETS = {"wav2vec2-base": SMALL | {"transformer_norm.channels": 32}, "wav2vec2-large": SMALL}


def built(preset: str, overrides: dict[str, Any]) -> sc.Pipeline:
    return build_pipeline(Recipe(Path(), preset, overrides, random_weights=0))


def one_forward(preset: str, sound: Path, overrides: dict[str, Any]) -> np.ndarray:
    """The features that the whole file gives at once."""
    pipe = built(preset, overrides)
    samples, sample_rate = soundfile.read(sound, dtype="float32")
    assert sample_rate == pipe.sample_rate
    with torch.no_grad():
        return pipe(torch.from_numpy(samples.reshape(len(samples), -1).mean(1))[None])[0].numpy()


def extracted(preset: str, sounds: list[Path], out: Path, overrides: dict[str, Any]) -> dict[str, np.ndarray]:
    sc.extract(sounds, preset, out=out, overrides=overrides, random_weights=0, resample="error")
    return {line["audio"]: np.load(out / line["path"]) for line in manifest(out)}


def assert_equal_to_one_forward(preset: str, sounds: list[Path], out: Path) -> None:
    """1e-5 of scale, DESIGN's for float32: blocks of other sizes round otherwise."""
    features = extracted(preset, sounds, out, PRESETS[preset])
    assert len(features) == len(sounds)
    for sound in sounds:
        expected = one_forward(preset, sound, PRESETS[preset])
        own = features[str(sound)]
        assert own.shape == expected.shape
        assert np.abs(own - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.fixture(params=["at once", "in blocks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short sounds go through the pipeline at once, long ones in blocks; here the same ones go both ways."""
    monkeypatch.setattr(worker, "SHORT", 0 if request.param == "in blocks" else 1 << 30)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("preset", PRESETS)
def test_features_of_a_file_are_those_of_one_forward(preset: str, audio_samples: Path, tmp_path: Path) -> None:
    """Several files in turn: the statistics of one must not stay for the next."""
    sounds = sorted((audio_samples / "speech").glob("*_16k.wav"))
    assert len(sounds) >= 3
    assert_equal_to_one_forward(preset, sounds, tmp_path / "out")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("preset", PRESETS)
def test_features_of_real_speech_are_those_of_one_forward(preset: str, real_speech: Path, tmp_path: Path) -> None:
    sounds = []
    for sound in sorted(real_speech.glob("*_0.wav"))[:5]:
        samples, _ = soundfile.read(sound)
        sounds.append(tmp_path / sound.name)
        soundfile.write(sounds[-1], samples, 16000)  # 8 kHz speech played twice as fast is speech enough
    assert_equal_to_one_forward(preset, sounds, tmp_path / "out")


def test_workers_give_the_same_bytes(audio_samples: Path, tmp_path: Path) -> None:
    runs: list[list[str]] = []
    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        overrides = PRESETS["wav2vec2-large"]
        sc.extract(
            audio_samples / "speech", "wav2vec2-large", out=out, overrides=overrides, random_weights=0, jobs=jobs
        )
        runs.append(sorted(line["sha256"] for line in manifest(out)))
    assert runs[0] == runs[1]


def test_a_pipeline_that_is_handed_over_stays_as_it_was(audio_samples: Path, tmp_path: Path) -> None:
    pipe = built("wav2vec2-large", PRESETS["wav2vec2-large"])
    before = pipe.to_toml()
    for parameter in pipe.parameters():
        parameter.data.add_(0.01)  # trained, so to speak: no fresh random weights
    sc.extract(audio_samples / "speech", pipe, out=tmp_path / "out")
    assert pipe.to_toml() == before
    with pytest.raises(sc.NotStreamable):
        pipe.stream()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("samples", [0, 1, 9, 10, 399, 400])
def test_files_too_short_for_statistics_or_frames_are_no_fault(samples: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(samples), 16000)
    extracted("wav2vec2-large", [tmp_path / "x.wav"], tmp_path / "out", PRESETS["wav2vec2-large"])
    assert [line["frames"] for line in manifest(tmp_path / "out")] == [samples // 400] * (samples > 0)
    assert len(errors(tmp_path / "out")) == (samples == 0)  # a file without samples is an error line, as ever


def test_a_file_that_changes_between_the_passes_is_an_error_line(
    audio_samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = tmp_path / "x.wav"
    soundfile.write(sound, noise(16000), 16000)
    blocks = Pass.blocks

    def read_and_change(self: Pass) -> Iterator[Any]:
        yield from blocks(self)
        soundfile.write(sound, noise(17000), 16000)

    monkeypatch.setattr(worker, "SHORT", 0)
    monkeypatch.setattr(Pass, "blocks", read_and_change)
    extracted("wav2vec2-base", [sound], tmp_path / "out", PRESETS["wav2vec2-base"])
    assert manifest(tmp_path / "out") == []
    (line,) = errors(tmp_path / "out")
    assert line["message"] == "the file changed while it was read; extract it again."


def test_features_of_a_bfloat16_pipeline_are_written_as_float32(audio_samples: Path, tmp_path: Path) -> None:
    pipe = built("wav2vec2-base", PRESETS["wav2vec2-base"]).bfloat16()
    sound = audio_samples / "speech" / "en_us_digits_16k.wav"
    sc.extract(sound, trained(pipe), out=tmp_path / "out")
    samples, _ = soundfile.read(sound, dtype="float32")
    with torch.no_grad():
        expected = pipe.float()(torch.from_numpy(samples)[None])[0].numpy()
    features = np.load(tmp_path / "out" / "en_us_digits_16k.npy")
    assert features.dtype == np.float32
    assert np.linalg.norm(features - expected) <= 0.02 * np.linalg.norm(expected)


def trained(pipe: sc.Pipeline) -> sc.Pipeline:
    """With a weight that nobody drew, so that extract takes it."""
    next(pipe.parameters()).data.mul_(1.25)
    return pipe


@only_slow
def test_half_an_hour_takes_little_memory_and_gives_the_features_of_one_forward(tmp_path: Path) -> None:
    """wav2vec2-base as it is; at most 500 MB above the imports; the activation of conv 0 alone would take 12 GB."""
    sound, out = tmp_path / "half_an_hour.wav", tmp_path / "out"
    soundfile.write(sound, np.tile(noise(16000 * 60).ravel(), 30) * np.linspace(0.1, 1, 30 * 60 * 16000), 16000)
    imported = peak_kibibytes("import speechconv.extraction.engine, speechconv.cli")
    options = ("--output", out, "--pipeline", "wav2vec2-base", "--random-weights", "0")
    above = (peak_kibibytes(EXTRACT, sound, *options) - imported) * 1024 / 1e6
    expected = one_forward("wav2vec2-base", sound, {})
    own = np.load(out / "half_an_hour.npy")
    difference = float(np.abs(own - expected).max() / np.abs(expected).max())
    print(f"{above:.0f} MB above the imports, {difference:.1e} of scale from one forward")  # noqa: T201 - `-s` shows it
    assert own.shape == (89999, 768)
    assert difference <= 1e-5
    assert 0 < above <= 500


# Pipelines that cannot stream


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("preset", ["librosa-mfcc", "whisper", "seamless-fbank", "nemo-mel"])
def test_presets_of_whole_utterances_are_extracted_as_one_forward_gives_them(
    preset: str, audio_samples: Path, tmp_path: Path
) -> None:
    """Whisper and MFCC take a file whole, Seamless and NeMo read it twice; 1e-5 of scale, times ten behind a floor that
    follows the maximum or a division by a small deviation."""
    sounds = sorted((audio_samples / "speech").glob("*_16k.wav"))
    overrides = {"sample_rate": 16000}
    features = extracted(preset, sounds, tmp_path / "out", overrides)
    assert len(features) == len(sounds) >= 3
    for sound in sounds:
        expected = one_forward(preset, sound, overrides)
        assert features[str(sound)].shape == expected.shape
        assert np.abs(features[str(sound)] - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("whole", [True, False])
def test_a_pipeline_in_training_mode_is_extracted_in_eval_mode_and_stays_in_it(
    whole: bool, audio_samples: Path, tmp_path: Path
) -> None:
    """Dropout would make noise of the features. In bfloat16, with a parameter: gradients and types do not matter."""
    first = [sc.MinimumLength(60000)] if whole else []
    stft = sc.ConvSTFT(64, hop_length=32, learn="window", output="power")
    pipe = sc.Pipeline([*first, stft, torch.nn.Dropout(0.5)], sample_rate=16000).bfloat16().train()
    sound = audio_samples / "speech" / "en_us_digits_16k.wav"
    assert sc.extract(sound, pipe, out=tmp_path / "out").files_ok == 1
    assert pipe.training
    wav = torch.from_numpy(soundfile.read(sound, dtype="float32")[0])[None].bfloat16()
    with torch.no_grad():
        expected = pipe.eval()(wav)[0].float().numpy()
    own = np.load(tmp_path / "out" / "en_us_digits_16k.npy")
    assert own.shape == expected.shape
    assert np.abs(own - expected).max() <= 0.02 * np.abs(expected).max()  # two roundings to bfloat16


@pytest.mark.usefixtures("way")
def test_a_whole_file_without_finite_features_is_an_error_line(audio_samples: Path, tmp_path: Path) -> None:
    stages = [sc.MinimumLength(30_000), sc.ConvSTFT(output="power"), sc.Affine(scale=1e38), sc.Affine(scale=1e38)]
    sc.extract(
        audio_samples / "speech" / "en_us_digits_16k.wav",
        sc.Pipeline(stages, sample_rate=16000),
        out=tmp_path / "out",
    )
    (line,) = errors(tmp_path / "out")
    assert line["message"] == "frame 0 of the features holds NaN or an infinite value, though the sound does not."


def test_stream_refuses_what_extract_takes_whole(audio_samples: Path) -> None:
    with pytest.raises(sc.NotStreamable, match="minimum_length cannot stream"):
        sc.Pipeline.from_preset("whisper").stream()
