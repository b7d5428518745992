"""The command line: quick help, results on stdout, talk on stderr, and an exit status that tells."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import speechconv as sc
import speechconv.extraction
from speechconv.cli import main
from tests.sounds import noise, s16, wav_bytes

COMMAND = [sys.executable, "-m", "speechconv"]
HEAVY = ("torch", "numpy", "scipy", "soundfile", "soxr", "tqdm")


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


def test_presets_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == sorted(sc.presets.preset_names())


def test_describe_prints_the_librarys_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "logmel", "--set", "mel.n_mels=40"]) == 0
    expected = sc.describe(sc.Pipeline.from_preset("logmel", **{"mel.n_mels": 40}))
    assert capsys.readouterr().out == f"{expected}\n"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """`speechconv COMMAND`, where COMMAND may redirect; its own exit status, not that of what it is piped into."""
    return run_line(f"set -o pipefail; {sys.executable} -m speechconv {command}", folder)


def run_line(line: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
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
    run = shell(f"extract x.wav gone.wav -o out --jobs 2 {silence}", tmp_path)
    assert (run.returncode, run.stdout) == (3, b"")
    commands = ["extract x.wav -o one", "extract x.wav -o one --dtype float16"]
    code = f"from speechconv.cli import main; print([main(line.split()) for line in {commands}])"
    run = run_line(f'{sys.executable} -c "{code}" {silence}', tmp_path)
    assert run.stdout == b"[0, 2]\n"


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
def test_a_full_disk_has_its_own_status_in_every_command(tmp_path: Path) -> None:
    run = run_line(f"{sys.executable} -m speechconv presets > /dev/full", tmp_path)
    assert run.returncode == 4
    commands = ["describe logmel", "verify logmel --json /dev/full", "verify logmel"]
    code = (
        f"import sys; from speechconv.cli import main; "
        f"print([main(line.split()) for line in {commands}], file=sys.stderr)"
    )
    said = run.stderr + run_line(f'{sys.executable} -c "{code}" > /dev/full', tmp_path).stderr
    assert b"[4, 4, 4]" in said
    assert said.count(b"No space left on device") >= 4
    assert b"Traceback" not in said


def test_a_warning_is_a_line_without_a_place_in_the_library() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "speechconv", "describe", "torchaudio-mel"], capture_output=True, text=True, check=True
    )
    assert done.stderr.startswith("speechconv describe: warning: 4 of 128 mel bands hold no FFT bin")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["presets", "describe logmel"])
def test_a_reader_that_is_gone_is_a_quiet_success(command: str, tmp_path: Path) -> None:
    run = shell(f"{command} > >(exit)", tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
