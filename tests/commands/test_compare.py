"""`speechconv compare`: a table or JSON on stdout, pictures, and an exit status that tells."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

import speechconv as sc
from speechconv.cli import main
from speechconv.comparison import librosa
from tests.sounds import noise

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """`speechconv compare ARGUMENTS` in this process: exit status, stdout, stderr."""

    def compare(*arguments: object) -> tuple[int, str, str]:
        status = main(["compare", *map(str, arguments)])
        said = capfd.readouterr()
        return status, said.out, said.err

    return compare


@pytest.fixture
def speech(audio_samples: Path) -> Path:
    return audio_samples / "speech" / "en_us_digits_16k.wav"


@pytest.fixture
def stereo(audio_samples: Path) -> Path:
    return audio_samples / "speech" / "two_speakers_16k.wav"


def test_a_table_has_a_row_for_each_file(run: Run, speech: Path, stereo: Path) -> None:
    status, out, err = run(speech, stereo)
    header, *rows = out.splitlines()
    assert status == 0
    assert header.split()[0] == "file"
    assert [row.split()[0] for row in rows] == [str(speech), str(stereo)]
    expected = sc.compare(*soundfile.read(speech))
    assert f"{expected.max_abs:.1e}" in rows[0]
    assert rows[0].endswith("ok")
    assert "2 of 2 within 1e-05 of the peak" in err


def test_folders_and_globs_stand_for_the_sounds_that_extract_finds(run: Run, audio_samples: Path) -> None:
    """Links are followed, other files are left out."""
    speech = audio_samples / "speech"
    status, out, _ = run(speech, speech / "en_us*.wav", "--json")
    files = [json.loads(line)["file"] for line in out.splitlines()]
    assert status == 0
    assert files == [*map(str, sorted(speech.iterdir())), *map(str, sorted(speech.glob("en_us*.wav")))]


def test_json_is_a_line_for_each_file_with_the_librarys_figures(run: Run, speech: Path, stereo: Path) -> None:
    status, out, _ = run(speech, stereo, "--json", "--set", "mel.n_mels=40", "--dtype", "float64")
    first, second = map(json.loads, out.splitlines())
    assert (status, first["file"], second["file"]) == (0, str(speech), str(stereo))
    assert (first["channels"], first["frames"], first["passed"]) == (40, 229, True)
    assert first["max_abs"] < 1e-12  # float64


@pytest.mark.parametrize("wrong", ["stft.pad_mode=reflect", "stft.window=hamming"])
def test_a_wrong_pipeline_is_status_1(wrong: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "noise.wav", noise(8000), 16000)  # loud at its ends, where pads differ
    told, rebuild = sc.Pipeline.from_preset("logmel"), librosa.rebuild
    monkeypatch.setattr(librosa, "rebuild", lambda _, wav: rebuild(told, wav))
    status, out, err = run(tmp_path / "noise.wav", "--set", wrong)
    assert status == 1
    assert out.splitlines()[1].endswith("BEYOND")
    assert "0 of 1 within 1e-05 of the peak, 1 beyond" in err


def test_the_tolerance_decides(run: Run, speech: Path) -> None:
    assert run(speech, "--tolerance", "1e-9")[0] == 1
    assert run(speech, "--tolerance", "1e-6")[0] == 0


def test_a_file_that_cannot_be_read_is_status_3_and_stops_no_other(run: Run, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16000)
    files = (tmp_path / "gone.wav", tmp_path / "text.wav", tmp_path / "short.wav", speech)
    status, out, err = run(*files, "--set", "stft.center=false")
    assert status == 3
    assert len(out.splitlines()) == 2
    assert f"{files[0]} cannot be opened" in err
    assert f"{files[1]} is not a sound file" in err
    assert f"{files[2]}: 100 samples at 16000 Hz are too few for one frame" in err
    assert "1 of 4 within 1e-05 of the peak, 3 not compared" in err


def test_a_file_that_cannot_be_read_outweighs_one_beyond_the_tolerance(run: Run, speech: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.wav"
    for files in ((speech, gone), (gone, speech)):
        status, out, err = run(*files, "--tolerance", "1e-9")
        assert status == 3
        assert out.splitlines()[1].endswith("BEYOND")
        assert "0 of 2 within 1e-09 of the peak, 1 beyond, 1 not compared" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--pipeline", "wavenet-encoder"], "librosa has no equal for stage 'wavenet_encoder' (WaveNetEncoder)"),
        (["--set", "mel.scale=kaldi"], "librosa has no equal for stage 'mel' (Mel): its triangles are linear in mel"),
        (["--pipeline", "logmle"], "did you mean 'logmel'?"),
        (["--tolerance", "-1"], "tolerance (=-1.0) must be >= 0"),
        (["--plot", "x.pdf"], "--plot (=x.pdf) must end in .png"),
        (["--plot", "nowhere/x.png"], "no folder nowhere to write x.png in"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_status_2(
    options: list[str], words: str, run: Run, speech: Path
) -> None:
    status, out, err = run(speech, *options)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert words in err


@pytest.mark.parametrize("channel", ["mix", "0", "1"])
def test_a_channel_is_chosen_as_extract_does(channel: str, run: Run, stereo: Path) -> None:
    wav, rate = soundfile.read(stereo, dtype="float32")
    chosen = wav.mean(1) if channel == "mix" else wav[:, int(channel)]
    _, out, _ = run(stereo, "--channel", channel, "--json")
    assert json.loads(out)["peak"] == pytest.approx(sc.compare(chosen, rate).peak, rel=1e-6)


def test_another_rate_is_resampled_or_refused(run: Run, audio_samples: Path) -> None:
    sound = audio_samples / "speech" / "de_digits_8k.flac"
    status, out, _ = run(sound, "--json")
    assert (status, json.loads(out)["sample_rate"]) == (0, 16000)
    status, out, err = run(sound, "--resample", "error")
    assert (status, out) == (3, "")
    assert "has 8000 Hz where the pipeline expects 16000 Hz" in err


def test_plots_are_named_by_their_sounds(run: Run, speech: Path, stereo: Path, tmp_path: Path) -> None:
    assert run(speech, "--plot", tmp_path / "one.png")[0] == 0
    assert run(speech, stereo, speech, "--plot", tmp_path / "many.png")[0] == 0
    names = {path.name for path in tmp_path.iterdir()}
    digits = "many-en_us_digits_16k"
    assert names == {"one.png", f"{digits}.png", f"{digits}-2.png", "many-two_speakers_16k.png"}
    assert all(imread(tmp_path / name).shape[:2] == (1080, 1200) for name in names)


def test_real_speech_passes(run: Run, real_speech: Path) -> None:
    files = sorted(real_speech.glob("*_0.wav"))[::10]
    assert run(*files, "--set", "sample_rate=8000", "--pipeline", "librosa-mfcc")[0] == 0
    assert run(*files)[0] == 0


def test_the_parser_loads_no_heavy_library() -> None:
    code = (
        "import sys; from speechconv.cli import main\ntry: main(['compare', '--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'librosa', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "librosa has no equal for" in done.stdout
