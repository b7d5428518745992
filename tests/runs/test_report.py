"""The page about a run, read by Python's own HTML parser; tests/browser looks at it in Chromium."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from speechconv.cli import main
from speechconv.runs import figures, report
from speechconv.runs.report import extraction_report
from speechconv.runs.tally import Most, tally_of
from speechconv.stores.manifest import ErrorLine, Line, SkippedLine
from tests.pages.drawings import Drawing
from tests.pages.parsed import Page
from tests.runs.folders import features, heard, line, stored, write_run, written

HOSTILE = "</code></audio><script>alert(1)</script><img src=x onerror=alert(2)>\n\udcff\u202e\ud800\0\" '"


def failed(number: int, message: str = "is empty (0 bytes).", stage: str = "open") -> ErrorLine:
    return ErrorLine(f"e{number}", f"/corpus/e{number}.wav", stage, "AudioError", message)


# What it says


def test_totals_are_of_the_lines_and_the_speed_is_of_run_json(tmp_path: Path) -> None:
    lines: list[Line] = [line(id=str(i), frames=1000, num_samples=16000 * 36, seconds=0.72) for i in range(200)]
    lines += [failed(1), failed(2), SkippedLine("s", "/s.wav", 0.1, "shorter than 0.5 s")]
    totals = {"wall_seconds": 72.0, "files_left": 5, "files_ok": 99}
    page = written(tmp_path, lines, {"status": "interrupted", "totals": totals})
    for words in (
        "200 files, 2 h 0 min of sound, 200,000 frames",
        "Interrupted, 2 failed, 5 left undone",
        "Real-time factor0.01",  # 72 s for 2 h
        "1 min 12 s in all, 100 times real time",
        "Work for a second of sound0.02 s",
        "Skipped1",
    ):
        assert words in page.text
    assert page.headings == ["h1", *["h2"] * (len(page.headings) - 1)]


@pytest.mark.parametrize(
    ("status", "errors", "words", "kind"),
    [
        ("finished", 0, "Finished, nothing failed", "pass"),
        ("finished", 1, "Finished, 1 failed", "fail"),
        ("running", 0, "Still running, or killed", "note"),
        ("disk full", 0, "Stopped: the disk was full", "fail"),
    ],
)
def test_the_status_stands_at_the_top(tmp_path: Path, status: str, errors: int, words: str, kind: str) -> None:
    page = written(tmp_path, [line(), *map(failed, range(errors))], {"status": status})
    assert words in page.text
    (badge,) = [attributes for _, attributes in page.elements if "outcome" in (attributes.get("class") or "")]
    assert badge["class"] == f"outcome {kind}"


def test_a_run_without_a_run_json_has_a_report_too(tmp_path: Path) -> None:
    write_run(tmp_path, [line(frames=77)])
    (tmp_path / "run.json").unlink()
    assert "77 frames" in Page(extraction_report(tmp_path)).text


def test_a_merged_run_says_which_shards_are_not_there(tmp_path: Path) -> None:
    page = written(tmp_path, [line()], {"shards": 8, "missing": [3, 5]})
    assert "Merged from 8 shards; not there: [3, 5]." in page.text


def test_run_json_is_told(tmp_path: Path) -> None:
    page = written(tmp_path, [line()])
    for words in ("speechconv extract corpus -o out", '"jobs": 2', "torch 2.11.0", 'stage = "stft"', "r1"):
        assert words in page.text


def test_failures_are_grouped_by_what_their_messages_have_in_common(tmp_path: Path) -> None:
    lines = [failed(i, f"holds NaN at {i}.5 s (sample {i}) of 'file {i}'.", "decode") for i in range(30)]
    page = written(tmp_path, [*lines, failed(99, "cannot be opened: error 13.")])
    assert "holds NaN at N s (sample N) of N." in page.text
    assert "cannot be opened: error 13." in page.text  # one alone keeps its numbers
    assert [f"e{i}.wav" in page.text for i in (0, 1, 2, 3, 99)] == [True, True, True, False, True]
    assert page.text.index("holds NaN") < page.text.index("cannot be opened")


def test_many_reasons_are_cut_short_and_none_is_lost(tmp_path: Path) -> None:
    names = [chr(97 + i // 26) + chr(97 + i % 26) for i in range(300)]
    write_run(tmp_path, [failed(i, f"fault {name}") for i, name in enumerate(names)])
    reasons = tally_of(tmp_path).failures
    assert len(reasons.items) == 51
    assert sum(reason.count for reason in reasons.items) == reasons.count == 300


def test_skipped_inputs_are_counted_by_reason(tmp_path: Path) -> None:
    reasons = ["shorter than 0.5 s"] * 3 + ["longer than 30 s"] * 2
    page = written(tmp_path, [SkippedLine(f"s{i}", f"/s{i}.wav", 1.0, reason) for i, reason in enumerate(reasons)])
    assert "3shorter than 0.5 s/s0.wav/s1.wav/s2.wav" in page.text
    assert "2longer than 30 s/s3.wav/s4.wav" in page.text
    assert "5 inputs were left out on purpose" in page.text


def test_files_at_full_scale_stand_by_their_share(tmp_path: Path) -> None:
    lines = [line(id=f"f{i}", clipped=i, num_samples=1000, peak=1.0, rms=0.1) for i in range(30)]
    page = written(tmp_path, lines)
    assert "29 files have samples at full scale; here are 20, most of them first." in page.text
    listed = re.findall(r"f(\d+)(\d+)(\d\.\d|\d) %", page.text)
    assert len(listed) == 20
    assert page.text.index("f29") < page.text.index("f10")
    assert "f9\n" not in page.text
    assert "2.9 %0.0−20.0" in page.text


def test_silent_files_are_listed_and_have_no_place_in_the_histogram(tmp_path: Path) -> None:
    lines = [line(id="none", rms=0.0, peak=0.0), line(id="still", rms=10 ** (-71 / 20)), line(id="loud", rms=0.1)]
    page = written(tmp_path, lines)
    assert "2 files are silent, the longest first." in page.text
    assert "still1 s−71.0" in page.text
    assert "none1 snone" in page.text
    assert sum(tally_of(tmp_path).loudness.values()) == 1


def test_the_slowest_files_come_first(tmp_path: Path) -> None:
    page = written(tmp_path, [line(id=f"f{i}", seconds=float(i), num_samples=16000 * 10) for i in range(50)])
    assert re.findall(r"(f\d\d)\d\d s10 s", page.text) == [f"f{i}" for i in range(49, 39, -1)]
    assert "f4949 s10 s4.9" in page.text


# Its pictures


def test_histograms_hold_every_file_where_numpy_puts_it() -> None:
    seconds = np.random.default_rng(0).uniform(0.3, 30, 500)
    counts = report.Tally()
    levels = np.random.default_rng(1).uniform(-60, 0, 500)
    for duration, level in zip(seconds, levels, strict=True):
        rate = 10**6  # that samples are whole does not matter
        counts.add(line(num_samples=round(duration * rate), sample_rate=rate, rms=10 ** (level / 20), frames=0))
    bars = Drawing(figures.durations(counts.durations), log_x=True).bars()
    assert sum(round(height) for *_, height in bars) == 500
    for left, right, height in bars:
        assert math.isclose(right / left, 10**0.05, rel_tol=0.02)
        exact = [10 ** (round(20 * math.log10(edge)) / 20) for edge in (left, right)]
        assert round(height) == np.count_nonzero((seconds >= exact[0]) & (seconds < exact[1]))
    bars = Drawing(figures.loudness(counts.loudness)).bars()
    for left, right, height in bars:
        assert round(height) == np.count_nonzero((levels >= round(left)) & (levels < round(right)))
    assert len(bars) == 30


def test_a_picture_shows_the_features_channel_0_at_the_bottom() -> None:
    array = features(0, 20, channels=5)
    drawing = Drawing(figures.spectrogram(line(channels=5), array, "x"))
    scale = [text.text for text in drawing.root.iter("text") if text.get("text-anchor") == "start"]
    low, *_, high = (float((text or "").replace("−", "-")) for text in scale)
    assert low <= np.percentile(array, 1) < np.percentile(array, 99) <= high
    assert drawing.heat_map(low, high) == pytest.approx(array.T.clip(low, high), abs=(high - low) / 500)


@pytest.mark.parametrize("array", [np.full((9, 3), 2.5), np.full((9, 3), np.nan), np.array([[np.inf, 1, 2]])])
def test_odd_features_have_a_picture_too(array: np.ndarray) -> None:
    assert "<image" in figures.spectrogram(line(), array.astype(np.float32), "x")


# What it must not do


def test_hostile_names_change_nothing_but_the_words(tmp_path: Path) -> None:
    lines: list[Line] = [stored(tmp_path, "h", features(0, 5), audio=HOSTILE, clipped=1)]
    lines += [line(id=HOSTILE, audio=HOSTILE, frames=0, rms=0.0, clipped=1), line(id="x" * 9999, frames=0)]
    lines += [ErrorLine(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE), SkippedLine(HOSTILE, HOSTILE, 1.0, HOSTILE)]
    strings = ("recipe", "started", "store", "status")
    ingredients = {"pipeline": HOSTILE, "weights": HOSTILE}
    run = dict.fromkeys(strings, HOSTILE) | {
        "ingredients": ingredients,
        "argv": [HOSTILE],
        "options": {"pipeline": HOSTILE, HOSTILE: HOSTILE},
    }
    page = written(tmp_path, lines, run | {"versions": {HOSTILE: HOSTILE, "speechconv": HOSTILE}})
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img", "audio"})
    assert r"<img src=x onerror=alert(2)>\n\xff\u202e\ud800\x00" in page.text
    assert "x" * 301 not in page.text
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)


def test_a_page_asks_for_nothing(tmp_path: Path) -> None:
    page = written(tmp_path, [heard(tmp_path, 0.1 * np.ones(1600, np.float32)), failed(1)])
    for tag, attributes in page.elements:
        for name in ("href", "src", "srcset", "poster", "action"):
            assert (attributes.get(name) or "data:").startswith("data:"), tag
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:" in text
    assert "url(" not in text


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    write_run(tmp_path, [heard(tmp_path, 0.1 * np.ones(1600, np.float32)), failed(1), failed(2, "other")])
    first = extraction_report(tmp_path).read_bytes()
    assert extraction_report(tmp_path, tmp_path / "again.html").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_page_of_very_many_lines_stays_small(tmp_path: Path) -> None:
    lines: list[Line] = [line(id=f"{'long' * 50}{i}", frames=0, clipped=i, rms=i % 2 * 0.1) for i in range(3000)]
    lines += [failed(i, f"{'word ' * 100}{i}") for i in range(3000)]
    lines += [failed(i, "".join(chr(97 + int(digit)) for digit in str(i))) for i in range(3000)]
    written(tmp_path, lines)
    assert (tmp_path / "report.html").stat().st_size < 150_000


def test_of_equals_the_first_ones_are_kept() -> None:
    most: Most[str] = Most(3)
    for name, value in zip("abcdefg", (1, 5, 5, 2, 5, 5, 9), strict=True):
        most.add(value, name)
    assert most.items == ["g", "b", "c"]
    assert most.count == 7


# The command


def test_the_command_writes_the_page_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run", [line(frames=0)])
    assert main(["report", str(tmp_path / "run")]) == 0
    assert capsys.readouterr() == (f"{tmp_path}/run/report.html\n", "")
    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "run" / "report.html").read_bytes()


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    write_run(tmp_path / "run", [line(frames=0)])
    assert main(["report", str(tmp_path / "run")]) == 0
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(["cat", tmp_path / "fifo"], stdout=subprocess.PIPE) as reader:
        assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "fifo")]) == 0
        assert reader.communicate(timeout=60)[0] == (tmp_path / "run" / "report.html").read_bytes()
    assert (tmp_path / "fifo").is_fifo()


def test_the_command_refuses_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no manifest.jsonl; expected a folder" in capsys.readouterr().err
    write_run(tmp_path, [line()])
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "nowhere" / "x.html")]) == 2
    assert "no folder" in capsys.readouterr().err
    (tmp_path / "run.json").write_text(json.dumps([1]))
    assert main(["report", str(tmp_path)]) == 2
    assert "is not what speechconv wrote" in capsys.readouterr().err
