"""The sounds of the page about a run: what the features were made of, and none that is gone."""

from __future__ import annotations

import base64
import io
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from speechconv.runs import report
from tests.pages.drawings import Drawing
from tests.pages.parsed import Page
from tests.runs.folders import features, heard, stored, text_of, written
from tests.sounds import noise


def sounds(page: Page) -> list[tuple[np.ndarray, int]]:
    uris = [attributes["src"] or "" for tag, attributes in page.elements if tag == "audio"]
    return [soundfile.read(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) for uri in uris]


def test_a_sound_is_what_the_features_were_made_of(tmp_path: Path) -> None:
    samples = noise(8000)[:, 0].astype(np.float32)
    page = written(tmp_path, [heard(tmp_path, samples)])
    ((found, rate),) = sounds(page)
    assert rate == 16000
    np.testing.assert_allclose(found, samples, atol=2e-5 + 1 / 32768)  # 16 bits


def test_a_segment_of_a_channel_is_cut_out(tmp_path: Path) -> None:
    samples = noise(80000, channels=2).astype(np.float32)
    fields = {"start": 1.5, "duration": 0.5, "num_samples": 8000, "channel": 1}
    ((found, _),) = sounds(written(tmp_path, [heard(tmp_path, samples, **fields)]))
    np.testing.assert_allclose(found, samples[24000:32000, 1], atol=1e-4)


def test_another_rate_is_resampled_as_the_pipeline_had_it(tmp_path: Path) -> None:
    samples = noise(48000)[:, 0].astype(np.float32)
    page = written(tmp_path, [heard(tmp_path, samples, 48000, sample_rate=16000, num_samples=16000)])
    ((found, rate),) = sounds(page)
    expected = soxr.resample(samples, 48000, 16000)
    assert (rate, len(found)) == (16000, 16000)
    np.testing.assert_allclose(found, expected.clip(-1, 1), atol=1e-4)


def test_neither_the_end_of_a_segment_nor_that_of_an_excerpt_shows_in_the_resampling(tmp_path: Path) -> None:
    samples = noise(48000 * 8)[:, 0].astype(np.float32)
    segment = {"start": 1.0, "duration": 0.5, "num_samples": 8000, "sample_rate": 16000}
    lines = [heard(tmp_path, samples, 48000, "segment.wav", sha256="0" * 64, **segment)]
    lines.append(heard(tmp_path, samples, 48000, "long.wav", sha256="1" * 64, sample_rate=16000, num_samples=128000))
    (first, _), (second, _) = sounds(written(tmp_path, lines))
    np.testing.assert_allclose(first, soxr.resample(samples[48000:72000], 48000, 16000).clip(-1, 1), atol=1e-4)
    np.testing.assert_allclose(second, soxr.resample(samples, 48000, 16000)[: len(second)].clip(-1, 1), atol=1e-4)


def test_long_sounds_and_their_features_are_cut_at_the_same_time(tmp_path: Path) -> None:
    seconds = report.SOUND_BYTES / 4 / 2 / 16000
    samples = 0.1 * np.ones(16000 * 12, np.float32)
    lines = [heard(tmp_path, samples, name=f"{i}.wav", num_samples=len(samples)) for i in range(6)]
    array = features(0, 1200)
    lines[0] = stored(tmp_path, "0.wav", array, audio=lines[0].audio, num_samples=len(samples), sha256="0" * 64)
    page = written(tmp_path, lines)
    found = sounds(page)
    assert [len(sound) for sound, _ in found] == [round(seconds * 16000)] * 4
    (picture,) = re.findall(r'<svg role="img" aria-label="Features of 0.wav.*?</svg>', text_of(tmp_path))
    drawing = Drawing(picture)
    (frame,) = drawing.root.iter("rect")
    assert drawing.across(float(frame.get("x", "")) + float(frame.get("width", ""))) == pytest.approx(seconds, abs=0.01)
    assert "the first 5.9 s of 12 s" in page.text
    assert (tmp_path / "report.html").stat().st_size < 1.5e6


def test_what_is_gone_or_has_changed_is_told_and_no_command_is_run(tmp_path: Path) -> None:
    samples = np.zeros(1600, np.float32) + 0.1
    lines = [heard(tmp_path, samples, name=f"{name}.wav") for name in ("gone", "changed", "touched", "bare")]
    (tmp_path / "gone.wav").unlink()
    soundfile.write(tmp_path / "changed.wav", samples[:100], 16000)
    os.utime(tmp_path / "touched.wav", (1, 1))
    (tmp_path / "bare.wav.npy").unlink()
    lines[3:] = [replace(lines[3], sha256="0" * 64)]
    page = written(tmp_path, lines)
    assert "gone.wav is no longer there." in page.text
    assert "changed.wav has changed since." in page.text
    assert "no features of 'bare.wav'" in page.text
    assert "touched.wav has changed since." in page.text
    assert len(sounds(page)) == 1
    page = written(
        tmp_path / "other", [stored(tmp_path / "other", "c", features(0, 5), audio=f"touch {tmp_path}/ran |")]
    )
    assert f"touch {tmp_path}/ran | is no longer there." in page.text
    assert not (tmp_path / "ran").exists()


def test_silent_sounds_are_not_worth_hearing(tmp_path: Path) -> None:
    quiet = heard(tmp_path, np.zeros(1600, np.float32), rms=0.0)
    assert "To see and to hear" not in written(tmp_path, [quiet]).text
