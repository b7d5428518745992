"""Bad files beside good ones: every good one is written, every bad one is reported in words that help."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.extraction.runs import check_truth, errors, manifest, start, temporaries
from tests.sounds import noise, s16, wav_bytes


def encoded(container: str, samples: Any = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, noise(40_000) * 0.3 if samples is None else samples, 16000, format=container)
    return file.getvalue()


def with_nan() -> bytes:
    samples = noise(16_000).astype("<f4")
    samples[8000] = np.nan
    return wav_bytes(samples.tobytes(), codec=3, bits=32)


def damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(300) + data[middle + 300 :]


BAD = {
    "empty.wav": (b"", "open", r"is empty \(0 bytes\)"),
    "text.wav": (b"not a sound\n" * 100, "decode", "is not a sound file that can be read"),
    "text.mp3": (b"not a sound\n" * 100, "decode", "is not a sound file that can be read"),
    "header_only.wav": (wav_bytes(b""), "decode", "holds no samples"),
    "half_a_header.wav": (wav_bytes(s16(noise(100)))[:30], "decode", "ends inside its header, after 30 bytes"),
    "no_samples.ogg": (encoded("OGG", np.zeros(0)), "decode", "holds no samples"),
    "cut.wav": (wav_bytes(s16(noise(16_000)))[:16_044], "decode", r"declares 16000 .* of which 8000 \(0.500 s\)"),
    "cut.flac": (encoded("FLAC")[:40_000], "decode", r"is truncated or damaged: decoding failed behind \d\.\d+ s"),
    "cut.mp3": (encoded("MP3")[:5000], "decode", r"is truncated or damaged: it declares 40000 samples"),
    "damaged.flac": (damaged(encoded("FLAC")), "decode", "is truncated or damaged: decoding failed"),
    "nan.wav": (with_nan(), "decode", r"holds NaN at 0.500 s \(sample 8000\)"),
    "adpcm.wav": (wav_bytes(bytes(100), codec=0x1234), "decode", "is not a sound file that can be read"),
    "gone.wav": (None, "open", "cannot be opened: No such file"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[bytes], Path]:
    """One command over the samples and the bad files; what it said and what it left."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "bad").mkdir()
    for name, (data, _, _) in BAD.items():
        if data is None:
            (folder / "bad" / name).symlink_to("nowhere")
        else:
            (folder / "bad" / name).write_bytes(data)
    (folder / "bad" / "folder.wav").mkdir()
    samples = Path(__file__).parents[2] / "audio_samples"
    out = folder / "out"
    process = start("extract", samples, folder / "bad", "nowhere.wav", "--output", out)
    stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess([], process.returncode, stdout, stderr), out


def test_every_good_file_is_written_and_the_exit_status_is_3(
    run: tuple[subprocess.CompletedProcess[bytes], Path],
) -> None:
    process, out = run
    assert process.returncode == 3
    assert len(manifest(out)) == len(list(out.rglob("*.npy"))) == 26
    assert temporaries(out) == []
    check_truth(out)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_reported_with_a_reason(run: tuple[subprocess.CompletedProcess[bytes], Path], name: str) -> None:
    (line,) = [line for line in errors(run[1]) if Path(line["audio"]).name == name]
    _, stage, words = BAD[name]
    assert line["stage"] == stage
    assert re.search(words, line["message"])


def test_no_other_line_is_among_the_errors(run: tuple[subprocess.CompletedProcess[bytes], Path]) -> None:
    names = [Path(line["audio"]).name for line in errors(run[1])]
    assert sorted(names) == sorted([*BAD, "nowhere.wav"])
    assert names[-1] == "nowhere.wav"


def test_the_terminal_gets_one_line_that_names_the_report(
    run: tuple[subprocess.CompletedProcess[bytes], Path],
) -> None:
    process, out = run
    assert process.stdout == b""
    last = process.stderr.decode().splitlines()[-1]
    assert last.startswith("speechconv extract: 26 files, 9946 frames; 99.3 s of audio in ")
    assert last.endswith(f"; {len(BAD) + 1} failed, see {out}/errors.jsonl")
