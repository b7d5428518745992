"""`speechconv stream`: frames on stdout as soon as their samples are there, those of `extract`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import speechconv as sc
from speechconv.adapters import huggingface
from speechconv.cli import main
from speechconv.extraction import extract
from tests.sounds import noise, s16, wav_bytes

COMMAND = [sys.executable, "-m", "speechconv"]
Stream = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Stream:
    """`speechconv stream OPTIONS < data` in this process: exit status, stdout, stderr."""

    def run(data: bytes, *options: str) -> tuple[int, bytes, str]:
        (tmp_path / "stdin").write_bytes(data)
        with open(tmp_path / "stdin", "rb") as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            status = main(["stream", *options])
        said = capfdbinary.readouterr()
        return status, said.out, said.err.decode()

    return run


def rows(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f4").reshape(-1, 80)


def extracted(sound: Path, out: Path, **options: Any) -> np.ndarray:
    extract(sound, out=out, **options)
    return np.load(next(out.glob("*.npy")))


def test_a_stream_says_why_weights_of_whole_utterances_cannot_stream(
    checkpoint: tuple[Path, Any], stream: Stream
) -> None:
    status, out, err = stream(wav_bytes(s16(noise(16000))), "--weights", str(checkpoint[0]))
    assert (status, out) == (2, b"")
    assert err.startswith("speechconv stream: normalize cannot stream: Normalize takes mean and variance")


def test_a_calibrated_pipeline_streams(checkpoint: tuple[Path, Any], stream: Stream, tmp_path: Path) -> None:
    pipe = huggingface.load(checkpoint[0]).calibrate(torch.randn(1, 16000))
    pipe.save(tmp_path / "live.safetensors")
    samples = s16(noise(16000))
    status, out, _ = stream(wav_bytes(samples), "--pipeline", str(tmp_path / "live.safetensors"))
    assert status == 0
    wav = torch.from_numpy(np.frombuffer(samples, "<i2") / np.float32(2**15))
    with torch.no_grad():
        expected = pipe(wav[None])[0].numpy()
    features = np.frombuffer(out, "<f4").reshape(-1, 48)
    assert np.abs(features - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["speech/de_sentence_16k.wav", "speech/two_speakers_16k.wav"])
def test_a_streamed_file_gives_extracts_features(
    name: str, stream: Stream, audio_samples: Path, tmp_path: Path
) -> None:
    expected = extracted(audio_samples / name, tmp_path / "out")
    status, out, said = stream((audio_samples / name).read_bytes())
    assert status == 0
    assert said == f"speechconv stream: {len(expected)} frames, {(len(expected) - 1) / 100:.1f} s of audio\n"
    np.testing.assert_allclose(rows(out), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["speech/en_us_sentence_44k.wav", "speech/en_scotland_sentence_8k.wav"])
def test_a_stream_of_another_rate_is_resampled_as_files_are(
    name: str, stream: Stream, audio_samples: Path, tmp_path: Path
) -> None:
    expected = extracted(audio_samples / name, tmp_path / "out")
    status, out, _ = stream((audio_samples / name).read_bytes())
    assert status == 0
    np.testing.assert_allclose(rows(out), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    status, out, said = stream((audio_samples / name).read_bytes(), "--resample", "error")
    assert (status, out) == (3, b"")
    assert "where the pipeline expects 16000 Hz" in said


def test_a_wav_of_unknown_length_streams_to_its_end(stream: Stream) -> None:
    data = s16(noise(16000))
    known = stream(wav_bytes(data))
    assert known[0] == 0
    assert stream(wav_bytes(data, data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF)) == known


def test_raw_samples_give_the_frames_of_their_wav(stream: Stream) -> None:
    samples = noise(16000, 2)
    expected = stream(wav_bytes(s16(samples[:, 1]), sample_rate=8000))
    options = ["--raw", "s16le", "--rate", "8000", "--channels", "2", "--channel", "1"]
    assert stream(s16(samples), *options) == expected
    status, out, said = stream(s16(samples) + b"\x01\x02\x03", *options)
    assert (status, out) == expected[:2]
    assert said.startswith("speechconv stream: dropped the last 3 bytes, which are no whole sample.\n")


def test_text_gives_back_the_same_float32(stream: Stream) -> None:
    data = wav_bytes(s16(noise(16000)))
    _, binary, _ = stream(data)
    status, text, _ = stream(data, "--format", "text")
    lines = text.decode().splitlines()
    assert (status, len(lines)) == (0, 101)
    np.testing.assert_array_equal(np.array([line.split() for line in lines], np.float32), rows(binary))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "stdin is empty"),
        (b"ID3" + bytes(100), "stdin expected a WAV stream"),
        (wav_bytes(s16(noise(100)), data_size=5000), "stdin is truncated or damaged"),
        (wav_bytes(np.full(100, np.nan, "<f4").tobytes(), codec=3, bits=32), "stdin holds NaN at 0.000 s"),
    ],
)
def test_a_bad_stream_is_one_line_and_status_3(data: bytes, words: str, stream: Stream) -> None:
    status, _, said = stream(data)
    assert status == 3
    assert words in said
    assert said.count("\n") == 1


def test_the_first_frame_comes_out_before_the_sound_ends() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen([*COMMAND, "stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=buffered)
    watchdog = threading.Timer(60, process.kill)  # a frame that does not come must not stop the tests
    watchdog.start()
    assert process.stdin is not None
    assert process.stdout is not None
    samples = noise(1000)
    process.stdin.write(wav_bytes(s16(samples[:200]), data_size=0xFFFFFFFF))
    process.stdin.flush()
    first = process.stdout.read(4 * 80)  # frame 0 is centred on sample 0 and needs 200
    process.stdin.write(s16(samples[200:360]))
    process.stdin.flush()
    second = process.stdout.read(4 * 80)
    rest, _ = process.communicate(s16(samples[360:]))
    watchdog.cancel()
    assert process.returncode == 0
    pipe = sc.Pipeline.from_preset("logmel")
    session = pipe.stream()
    heard = np.round(samples[:, 0] * 32767).astype(np.int16)
    expected = [session.push(heard), session.close()]
    found = rows(first + second + rest)
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=1e-5 * np.abs(found).max())


def test_complex_features_are_refused_by_a_stream_as_by_extract(stream: Stream) -> None:
    status, out, said = stream(b"", "--pipeline", "stft")
    assert (status, out) == (2, b"")
    assert "the features are complex numbers; end the pipeline by 'power'" in said


def test_a_reader_that_goes_away_ends_the_stream_quietly(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav_bytes(s16(noise(16000 * 30))))
    run = subprocess.run(
        f"{sys.executable} -m speechconv stream --format text < x.wav | head -n 2; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable=shutil.which("bash"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = run.stdout.splitlines()
    assert [len(line.split()) for line in lines] == [80, 80, 1]
    assert lines[-1] == "0"
    assert run.stderr == ""
