"""Progress for machines: JSON lines on stderr, the last of which is the whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile

import speechconv as sc
from speechconv.extraction import progress
from speechconv.extraction.summary import Tally
from tests.sounds import noise


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(4):
        soundfile.write(folder / f"{number}.wav", noise(16000), 16000)
    (folder / "bad.wav").write_bytes(b"")
    return folder


def said(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_every_line_is_json_and_the_last_one_is_the_whole_run(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "JSON_EVERY", 0.0)
    sc.extract(corpus, out=tmp_path / "out", progress="json")
    inputs, *lines = said(capfd)
    assert "corpus" in inputs["input"]
    assert [line["files"] for line in lines] == [1, 2, 3, 4, 5, 5]
    last = lines[-1]
    assert (last["total"], last["failed"], last["seconds_left"]) == (5, 1, 0.0)
    assert last["audio_hours"] == pytest.approx(4 / 3600, abs=1e-6)
    assert last["real_time_factor"] == pytest.approx(last["seconds"] / 4, abs=1e-3)
    assert all(line["seconds_left"] >= 0 for line in lines)


def test_what_was_there_before_counts_as_done_but_not_as_work(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sc.extract(corpus, out=tmp_path / "out")
    sc.extract(corpus, out=tmp_path / "out", progress="json")
    last = said(capfd)[-1]
    assert (last["files"], last["audio_hours"], last["real_time_factor"]) == (5, 0, None)


def test_time_left_is_told_by_the_pace_of_this_run_alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    tally = Tally(files_ok=60, files_reused=60)
    shown = progress.Progress(100, tally, "json")
    tally.files_ok += 10
    clock[0] += 5.0
    shown.look()
    assert said(capfd)[-1]["seconds_left"] == 15.0


@pytest.mark.parametrize("mode", ["off", "auto"])
def test_no_bar_is_drawn_where_nobody_looks(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], mode: Any
) -> None:
    sc.extract(corpus, out=tmp_path / "out", progress=mode)
    text = capfd.readouterr().err
    assert "%|" not in text
    assert (text == "") == (mode == "off")
