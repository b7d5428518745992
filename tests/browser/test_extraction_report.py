"""A run's report in headless Chromium: it asks for nothing, shows its charts, and plays its sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechconv.runs.report import extraction_report
from speechconv.stores.manifest import ErrorLine, Line, SkippedLine
from tests.browser.looking import PICTURES, SCREENSHOTS, check_page, screenshot
from tests.runs.folders import features, line, stored, write_run

HOSTILE = "</code></audio><script>alert(1)</script><img src=x onerror=alert(2)>\n\udcff\u202e\" '"

PLAYS = """
const done = arguments[arguments.length - 1];
Promise.all([...document.querySelectorAll("audio")].map(e => new Promise(resolve => {
    if (e.readyState >= 1) return resolve(e.duration);
    e.onloadedmetadata = () => resolve(e.duration);
    e.onerror = () => resolve(0);
    e.load();
}))).then(done);
"""


def full(folder: Path) -> int:
    """Everything that a report can show; returns how many sounds can be heard."""
    lines: list[Line] = []
    for number in range(40):
        seconds = 0.5 * 1.1**number
        lines.append(line(id=f"speaker{number}/sentence{number}", frames=0, num_samples=round(16000 * seconds)))
    for number in range(3):
        samples = (0.3 * np.sin(0.1 * (1 + number) * np.arange(48000))).astype(np.float32)
        path = folder / f"{number}.wav"
        soundfile.write(path, samples, 16000)
        array = features(number, 300, channels=80)
        lines.append(stored(folder, f"heard{number}", array, audio=str(path), num_samples=48000, seconds=0.5))
    lines += [line(id=f"loud{i}", frames=0, clipped=10 * i, peak=1.0, rms=0.1 * i) for i in range(1, 6)]
    lines += [line(id=f"silent{i}", frames=0, peak=0.0, rms=0.0) for i in range(3)]
    lines += [
        ErrorLine(f"e{i}", f"/corpus/a folder/e{i}.wav", "decode", "AudioError", f"is truncated: {i} s are there.")
        for i in range(30)
    ]
    lines += [ErrorLine("gone", "/corpus/gone.wav", "open", "FileNotFoundError", "cannot be opened: not there.")]
    lines += [SkippedLine("short", "/corpus/short.wav", 0.1, "shorter than 0.5 s")]
    write_run(folder, lines)
    return 3


def hostile(folder: Path) -> int:
    """Names that are not what they seem, everywhere."""
    lines: list[Line] = [stored(folder, "h", features(0, 50), audio=HOSTILE, clipped=3, seconds=1.0)]
    lines += [line(id=HOSTILE, audio=HOSTILE, frames=0, rms=0.0), line(id="x" * 5000, frames=0, clipped=1)]
    lines += [ErrorLine(HOSTILE, HOSTILE, "open", HOSTILE, HOSTILE), SkippedLine(HOSTILE, HOSTILE, 1.0, HOSTILE)]
    write_run(
        folder,
        lines,
        dict.fromkeys(("pipeline", "recipe", "started", "weights"), HOSTILE)
        | {"argv": [HOSTILE], "options": {"pipeline": HOSTILE}, "versions": {HOSTILE: HOSTILE}},
    )
    return 0


CASES = {"run": full, "hostile_run": hostile, "empty_run": lambda folder: write_run(folder, []) and 0}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, int]:
    folder = tmp_path_factory.mktemp("run")
    heard = CASES[request.param](folder)
    return request.param, extraction_report(folder), heard


@pytest.mark.parametrize("width", [1200, 420])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_of_a_run_shows_itself_without_network_or_complaint(
    browser: Any, case: tuple[str, Path, int], theme: str, width: int
) -> None:
    name, path, heard = case
    check_page(browser, path, theme, width)
    assert all(browser.execute_async_script(PICTURES))
    assert browser.execute_async_script(PLAYS) == [3.0] * heard
    assert not browser.find_elements("css selector", "script, main img")
    screenshot(browser, SCREENSHOTS / f"{name}_{theme}_{width}.png", width)
