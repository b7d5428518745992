"""Inputs that bite: each gets its line, none stops the run, and nothing is written outside the output folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import speechconv as sc
from speechconv.stores.registry import STORES
from tests.extraction.runs import errors, manifest, start, temporaries
from tests.sounds import noise, s16, wav_bytes

SOUND = s16(noise(800))


def claims(**header: Any) -> bytes:
    """A WAV whose header lies."""
    return wav_bytes(SOUND, **header)


BAD = {
    "zero.wav": b"",
    "header.wav": claims()[:30],
    "data.wav": claims()[:-100],
    "extension.wav": b"<html>",
    "4gb.wav": claims(data_size=0xF0000000),
    "rate.wav": claims(sample_rate=1_092_676),
    "norate.wav": claims(sample_rate=0),
    "nan.wav": wav_bytes(np.full(400, np.nan, "<f4").tobytes(), codec=3, bits=32),
    "inf.wav": wav_bytes(np.full(400, np.inf, "<f4").tobytes(), codec=3, bits=32),
}
NAMES = ("with space", "new\nline", "per%cent", "dots.in.it", "ünïcode", os.fsdecode(b"bytes\xff"), "-dash")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, data in BAD.items():
        (folder / name).write_bytes(data)
    soundfile.write(folder / "200channels.wav", np.zeros((400, 200)), 16000)
    for name in NAMES:
        (folder / f"{name}.wav").write_bytes(claims())
    (folder / "loop").symlink_to(folder)
    (folder / "itself.wav").symlink_to(folder / "itself.wav")
    return folder


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_each_bad_sound_is_a_line_and_each_odd_name_is_kept(corpus: Path, tmp_path: Path, jobs: str) -> None:
    out = tmp_path / "out"
    process = start("extract", corpus, "--output", out, "--jobs", jobs)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 3, said
    assert b"Traceback" not in said
    assert sorted(line["id"] for line in manifest(out)) == sorted(NAMES)
    bad = [*BAD, "200channels.wav", "itself.wav"]
    assert sorted(line["id"] for line in errors(out)) == sorted(name.removesuffix(".wav") for name in bad)
    assert all(len(line["message"]) > 10 for line in errors(out))
    assert temporaries(out) == []


@pytest.mark.parametrize("store", STORES)
def test_no_id_leads_out_of_the_folder_and_of_two_the_first_wins(tmp_path: Path, store: str) -> None:
    """Nothing new lies beside the folder, up to four levels above it."""
    around, tmp_path = tmp_path, tmp_path / "up" / "and"
    tmp_path.mkdir(parents=True)
    (tmp_path / "x.wav").write_bytes(claims())
    ids = ["../../up", "/etc/passwd", "a/../../b", "twice", "twice", "..", "a\0b", " "]
    lines = [{"audio_filepath": str(tmp_path / "x.wav"), "id": id} for id in ids]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = sorted(path for path in around.rglob("*") if "out" not in path.parts)
    summary = sc.extract(tmp_path / "list.jsonl", out=tmp_path / "in" / "out", store=store)
    assert [line["id"] for line in manifest(tmp_path / "in" / "out")] == [*ids[:4], *ids[5:]]
    (line,) = errors(tmp_path / "in" / "out")
    assert line["id"] == "twice"
    assert summary.exit_status == 3
    after = sorted(path for path in around.rglob("*") if "out" not in path.parts)
    assert [path for path in after if path not in before] == [tmp_path / "in"]
    reader = sc.FeatureReader(tmp_path / "in" / "out")
    assert reader.ids == [*ids[:4], *ids[5:]]
    assert all(reader[id].shape[1] == 80 for id in reader.ids)


def test_a_file_that_is_deleted_while_the_run_goes_on_is_an_error_line(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.wav").write_bytes(wav_bytes(s16(noise(1 << 17))))
    found = {}
    for item in sc.extract([tmp_path / f"{name}.wav" for name in "abc"]):
        (tmp_path / "c.wav").unlink(missing_ok=True)
        found[item.id] = item
    assert [id for id, item in found.items() if item.features is None] == ["c"]
    assert "No such file" in vars(found["c"].line)["message"]
