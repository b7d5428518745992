"""`extract -o ark:-`: a Kaldi archive on stdout, which Kaldi's own readers read; talk goes to stderr."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kaldi_native_io
import kaldiio
import numpy as np
import pytest
import soundfile

import speechconv as sc
from tests.sounds import noise

EXTRACT = f"{sys.executable} -m speechconv extract"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, length in (("a", 1600), ("b c", 4000), ("tiny", 1)):
        soundfile.write(folder / f"{name}.wav", noise(length), 16000)
    return folder


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run([bash, "-c", command], capture_output=True, timeout=120)


def test_both_readers_of_archives_read_what_a_folder_would_hold(corpus: Path, tmp_path: Path) -> None:
    (corpus / "bad.wav").write_bytes(b"")
    done = shell(f"{EXTRACT} {corpus} -o ark:- --jobs 2 > {tmp_path}/x.ark")
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"bad.wav: is empty (0 bytes)" in done.stderr
    sc.extract(corpus, out=tmp_path / "out")
    expected = {id: np.load(tmp_path / "out" / f"{id}.npy") for id in ("a", "b c", "tiny")}
    data = (tmp_path / "x.ark").read_bytes()
    by_kaldiio = dict(kaldiio.load_ark(io.BytesIO(data)))
    with kaldi_native_io.SequentialFloatMatrixReader(f"ark:{tmp_path / 'x.ark'}") as opened:
        reader: Any = opened
        by_kaldi = {id: np.array(rows) for id, rows in reader}
    assert sorted(by_kaldiio) == sorted(by_kaldi) == ["a", "b%20c", "tiny"]
    for id, rows in expected.items():
        key = id.replace(" ", "%20")
        np.testing.assert_array_equal(by_kaldiio[key], rows)
        np.testing.assert_array_equal(by_kaldi[key], rows)


def test_a_reader_that_goes_away_ends_the_command_quietly(corpus: Path) -> None:
    for number in range(40):
        soundfile.write(corpus / f"{number}.wav", noise(16000), 16000)
    done = shell(f"{EXTRACT} {corpus} -o ark:- --progress off | head -c 9; echo ${{PIPESTATUS[0]}}")
    assert done.stdout.endswith(b"0\n")
    assert done.stderr == b""


def test_what_archives_cannot_hold_and_a_closed_stdout_are_said_first(corpus: Path) -> None:
    done = shell(f"{EXTRACT} {corpus} -o ark:- --dtype float16")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"dtype (='float16') must be float32" in done.stderr
    done = shell(f"{EXTRACT} {corpus} -o ark:- --progress off >&-")
    assert done.returncode == 2
    assert done.stderr.startswith(b"speechconv extract: stdout is closed")
