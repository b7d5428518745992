"""The command line: quick help, results on stdout, talk on stderr, and an exit status that tells."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import speechconv as sc
import speechconv.extraction
from speechconv.adapters import huggingface
from speechconv.cli import main
from speechconv.extraction import extract
from tests.adapters.models import transformers_model
from tests.sounds import noise, s16, wav_bytes

COMMAND = [sys.executable, "-m", "speechconv"]
HEAVY = ("torch", "numpy", "scipy", "soundfile", "soxr", "tqdm")
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


@pytest.mark.parametrize(
    "arguments", [["--help"], ["extract", "--help"], ["stream", "--help"], ["verify", "--help"], ["--version"]]
)
def test_help_answers_without_any_heavy_library(arguments: list[str]) -> None:
    code = f"""
import sys
from speechconv.cli import main
try:
    main({arguments!r})
except SystemExit as stop:
    print(stop.code, [name for name in {HEAVY!r} if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "0 []"


def test_help_answers_within_0_3_seconds() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([*COMMAND, "--help"], capture_output=True, check=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3


def test_the_console_script_is_the_module() -> None:
    script = shutil.which("speechconv", path=os.path.dirname(sys.executable))
    assert script, "the package is not installed beside this Python"
    run = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert run.stdout == f"speechconv {sc.__version__}\n"


@pytest.mark.parametrize("command", ["extract", "stream", "compare", "presets", "describe"])
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example:\n  {'arecord' if command == 'stream' else f'speechconv {command}'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["extract", "gone.wav", "-o", "out"], "speechconv extract: nothing to extract: gone.wav: no such file"),
        (["extract", "{sound}", "-o", "{sound}"], "speechconv extract: {sound} is a file; expected a folder"),
        (["extract", "{sound}", "-o", "out", "--jobs", "0"], "speechconv extract: jobs (=0) must be an integer >= 1."),
        (["extract", "{sound}", "-o", "out", "--set", "mel.mels=3"], "speechconv extract: "),
        (["extract", "{sound}", "-o", "out", "--set", "mel"], "speechconv extract: argument --set: expected KEY=VALUE"),
        (
            ["extract", "{sound}", "-o", "out", "--set", "stft.center=False"],
            "speechconv extract: argument --set: stft.center=False is Python's word; expected TOML's true or false, "
            'or "none"',
        ),
        (["stream", "--set", "stft.center= True"], "speechconv stream: argument --set: stft.center= True is Python's"),
        (["describe", "logmel", "--set", "a=None"], "speechconv describe: argument --set: a=None is Python's"),
        (
            ["extract", "{sound}", "-o", "out", "--channel", "left"],
            "speechconv extract: argument --channel: expected 'mix', 'each' or",
        ),
        (["extract", "{sound}", "-o", "out", "--pipeline", "x.toml"], "speechconv extract: no pipeline file at x.toml"),
        (["describe", "nosuch.toml"], "speechconv describe: no pipeline file at nosuch.toml"),
        (["stream", "--raw", "s16le"], "speechconv stream: --raw and --rate go together"),
        (["stream", "--channels", "2"], "speechconv stream: --channels describes raw samples"),
        (["stream", "--raw", "s12le", "--rate", "1"], "speechconv stream: argument --raw: invalid choice: 's12le'"),
        (["describe", "logmell"], "speechconv describe: unknown preset 'logmell'"),
        (["extract", "{sound}", "-o", "out", "--weights", "x.pt"], "speechconv extract: no file or folder x.pt;"),
        (
            ["extract", "{sound}", "-o", "out", "--weights", "{sound}", "--random-weights", "1"],
            "speechconv extract: --weights and --random-weights are two answers to one question",
        ),
        (
            ["extract", "{sound}", "-o", "out", "--weights", "{sound}", "--set", "encoder.norm=layer"],
            "speechconv extract: --set changes a preset's values; name the preset by --pipeline",
        ),
        (["extract", "{sound}", "-o", "out", "--weights", "{sound}"], "speechconv extract: {sound} is no checkpoint"),
        (
            ["extract", "{sound}", "-o", "out", "--pipeline", "wav2vec2-base"],
            "speechconv extract: the weights of this pipeline are fresh random numbers",
        ),
        (["extrakt"], "speechconv: argument COMMAND: invalid choice: 'extrakt'"),
        ([], "speechconv: the following arguments are required: COMMAND"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: list[str],
    words: str,
    audio_samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    sound = str(audio_samples / "signals" / "tone_16k.wav")
    try:
        status = main([argument.format(sound=sound) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2
    assert said.out == ""
    assert said.err.startswith(words.format(sound=sound))
    assert said.err.count("\n") == 1
    assert os.listdir(tmp_path) == []


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


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder as transformers saves it, and the model that it holds: the layer-norm layout, small."""
    torch.manual_seed(0)
    model = transformers_model("large")
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder)
    return folder, model


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


def test_presets_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == sorted(sc.presets.preset_names())


def test_describe_prints_the_librarys_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "logmel", "--set", "mel.n_mels=40"]) == 0
    expected = sc.describe(sc.Pipeline.from_preset("logmel", **{"mel.n_mels": 40}))
    assert capsys.readouterr().out == f"{expected}\n"


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


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """`speechconv COMMAND`, where COMMAND may redirect; its own exit status, not that of what it is piped into."""
    line = f"set -o pipefail; {sys.executable} -m speechconv {command}"
    return subprocess.run([shutil.which("bash") or "bash", "-c", line], cwd=folder, capture_output=True)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("stream <&-", "speechconv stream: expected sound on stdin, which is closed; pipe it in: cat x.wav |"),
        ("stream <x.wav >&-", "speechconv stream: stdout is closed"),
        ("presets >&-", "speechconv presets: stdout is closed"),
        ("describe logmel >&-", "speechconv describe: stdout is closed"),
    ],
)
def test_a_closed_stdin_or_stdout_is_one_line_and_status_2(command: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav_bytes(s16(noise(16000))))
    run = shell(command, tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr.decode().startswith(words)
    assert run.stderr.count(b"\n") == 1


@pytest.mark.parametrize("silence", ["2>&-", "2> >(exit)"])
def test_nobody_who_hears_the_talk_changes_neither_results_nor_status(silence: str, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav_bytes(s16(noise(16000))))
    run = shell(f"stream < x.wav {silence}", tmp_path)
    assert (run.returncode, len(run.stdout)) == (0, 101 * 80 * 4)
    assert shell(f"extract x.wav -o out {silence}", tmp_path).returncode == 0
    assert shell(f"extract x.wav -o out --dtype float16 {silence}", tmp_path).returncode == 2
    assert shell(f"extract x.wav gone.wav -o out --overwrite --jobs 2 {silence}", tmp_path).returncode == 3


def test_no_file_takes_the_number_of_a_closed_stderr(tmp_path: Path) -> None:
    code = "import os, speechconv.cli; speechconv.cli.main(['presets']); print(os.open(os.devnull, os.O_RDONLY) > 2)"
    run = subprocess.run(f'{sys.executable} -c "{code}" <&- 2>&-', shell=True, capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "True"


def test_a_broken_pipe_inside_the_library_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(speechconv.extraction, "extract", fail)
    assert main(["extract", "x.wav", "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "speechconv extract: [Errno 32] Broken pipe\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a disk that is always full")
@pytest.mark.parametrize("command", ["presets", "describe logmel", "verify logmel --json /dev/full", "verify logmel"])
def test_a_full_disk_has_its_own_status_in_every_command(command: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "speechconv", *command.split()], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 4
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_warning_is_a_line_without_a_place_in_the_library() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "speechconv", "describe", "torchaudio-mel"], capture_output=True, text=True, check=True
    )
    assert done.stderr.startswith("speechconv describe: warning: 4 of 128 mel bands hold no FFT bin")
    assert done.stderr.count("\n") == 1


def test_complex_features_are_refused_by_a_stream_as_by_extract(stream: Stream) -> None:
    status, out, said = stream(b"", "--pipeline", "stft")
    assert (status, out) == (2, b"")
    assert "the features are complex numbers; end the pipeline by 'power'" in said


@pytest.mark.parametrize("command", ["presets", "describe logmel"])
def test_a_reader_that_is_gone_is_a_quiet_success(command: str, tmp_path: Path) -> None:
    run = shell(f"{command} > >(exit)", tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


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
