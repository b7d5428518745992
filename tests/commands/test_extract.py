"""`speechconv extract`: options reach the library; `tests/extraction` has what it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from speechconv.cli import main


def test_extract_takes_every_option(audio_samples: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sound = audio_samples / "signals" / "impulses_stereo_8k.wav"
    arguments = ["extract", str(sound), "--output", str(tmp_path), "--set", "mel.n_mels=20", "--set", "mel.scale=htk"]
    arguments += ["--set", "sample_rate=8000", "--channel", "1", "--resample", "error", "--random-weights", "7"]
    assert main(arguments) == 0
    assert main([*arguments, "--random-weights", "8", "--dtype", "float16"]) == 2
    assert main([*arguments, "--overwrite"]) == 0
    features = np.load(tmp_path / "impulses_stereo_8k.npy")
    assert features.shape == (51, 20)
    assert np.isfinite(features).all()
    assert features.max(1).argmax() == pytest.approx(3000 / 160, abs=2)
    said = capfd.readouterr()
    assert said.out == ""
    assert "1 files, 51 frames; 1.0 s of audio in" in said.err
    assert "%|" not in said.err, "a progress bar belongs on a terminal"


def test_extract_with_weights_gives_the_input_of_the_models_transformer(
    checkpoint: tuple[Path, Any], audio_samples: Path, tmp_path: Path
) -> None:
    """hidden_states[0] of the normalised waveform; the folder alone and its file into a preset give the same."""
    folder, model = checkpoint
    sound = audio_samples / "speech" / "en_us_digits_16k.wav"
    assert main(["extract", str(sound), "-o", str(tmp_path / "a"), "--weights", str(folder)]) == 0
    preset = ["--pipeline", "wav2vec2-large", "--weights", str(folder / "model.safetensors")]
    for key, value in (("encoder.channels", 32), ("projection_norm.channels", 32), ("projection.in_features", 32)):
        preset += ["--set", f"{key}={value}"]
    preset += ["--set", "projection.out_features=48"]
    preset += ["--set", "positional.body=[{stage = 'conv_positional_embedding', channels = 48}]"]
    assert main(["extract", str(sound), "-o", str(tmp_path / "b"), *preset]) == 0

    samples = torch.from_numpy(soundfile.read(sound, dtype="float32")[0])
    normalised = (samples - samples.mean()) / (samples.var(correction=0) + 1e-7).sqrt()
    with torch.no_grad():
        expected = model(normalised[None], output_hidden_states=True).hidden_states[0][0].numpy()
    features = np.load(tmp_path / "a" / "en_us_digits_16k.npy")
    assert np.abs(features - expected).max() <= 1e-5 * np.abs(expected).max()
    assert (tmp_path / "b" / "en_us_digits_16k.npy").read_bytes() == (
        tmp_path / "a" / "en_us_digits_16k.npy"
    ).read_bytes()
    records = [json.loads((tmp_path / run / "run.json").read_text()) for run in "ab"]
    assert records[0]["ingredients"]["weights"] == records[1]["ingredients"]["weights"]


def test_the_record_tells_other_weights_apart(audio_samples: Path, tmp_path: Path) -> None:
    sound = str(audio_samples / "signals" / "tone_16k.wav")
    records = []
    for number, seed in enumerate(("0", "0", "1")):
        out = tmp_path / str(number)
        preset = ["--pipeline", "wavenet-encoder", "--set", "wavenet_encoder.residual_channels=4"]
        assert main(["extract", sound, "-o", str(out), *preset, "--random-weights", seed]) == 0
        records.append(json.loads((out / "run.json").read_text())["ingredients"]["weights"])
    assert records[0] == records[1] != records[2]
    assert len(records[0]) == 64
