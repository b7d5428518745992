"""Folders as `extract` leaves them, made by hand: the manifest's own writer, features by FeatureFile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechconv.runs.report import extraction_report
from speechconv.stores.feature_file import Dtype, FeatureFile
from speechconv.stores.ids import file_name
from speechconv.stores.manifest import REPORTS, ErrorLine, JsonLines, Line, ManifestLine, SkippedLine
from tests.pages.parsed import Page


def features(seed: int, frames: int, channels: int = 3, level: float = -12.0) -> NDArray[np.float32]:
    """Far from zero, as logarithms are."""
    return (2 * np.random.default_rng(seed).standard_normal((frames, channels)) + level).astype(np.float32)


def stored(folder: Path, id: str, array: NDArray, dtype: Dtype = "float32", **fields: Any) -> ManifestLine:
    """A feature file in `folder`, and its line."""
    path = file_name(id, ".npy")
    with FeatureFile(folder / path, array.shape[1], dtype) as file:
        file.append(array)
        digest = file.commit()
    known = {"id": id, "path": path, "frames": len(array), "channels": array.shape[1], "dtype": dtype, "sha256": digest}
    return line(**known | fields)


def line(**fields: Any) -> ManifestLine:
    """A line of a sound of one second, unless told otherwise."""
    id = fields.get("id", "a")
    usual: dict[str, Any] = {
        "id": id,
        "audio": f"/corpus/{id}.wav",
        "sample_rate": 16000,
        "num_samples": 16000,
        "audio_sample_rate": 16000,
        "audio_num_samples": 16000,
        "audio_channels": 1,
        "path": file_name(id, ".npy"),
        "frames": 100,
        "channels": 3,
        "dtype": "float32",
        "hop_length": 160,
        "sha256": "0" * 64,
        "recipe": "r1",
        "peak": 0.5,
        "rms": 0.1,
        "seconds": 0.01,
    }
    return ManifestLine(**usual | fields)


def write_run(folder: Path, lines: Iterable[Line], run: Mapping[str, Any] | None = None) -> Path:
    """The three reports and run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    by_kind: dict[type, list[Line]] = {kind: [] for kind in REPORTS}
    for each in lines:
        by_kind[type(each)].append(each)
    for kind, name in REPORTS.items():
        with JsonLines(folder / name) as file:
            for each in by_kind[kind]:
                file.append(each)
    (folder / "run.json").write_text(json.dumps(run_fields(by_kind) | dict(run or {})), "utf-8")
    return folder


def run_fields(by_kind: Mapping[type, list[Any]]) -> dict[str, Any]:
    ok = by_kind[ManifestLine]
    totals = {
        "files_ok": len(ok),
        "files_failed": len(by_kind[ErrorLine]),
        "files_skipped": len(by_kind[SkippedLine]),
        "files_left": 0,
        "frames": sum(each.frames for each in ok),
        "audio_seconds": sum(each.num_samples / each.sample_rate for each in ok),
        "wall_seconds": 2.0,
    }
    return {
        "ingredients": {"pipeline": 'sample_rate = 16000\n\n[[stages]]\nstage = "stft"\n', "weights": "0" * 64},
        "versions": {"speechconv": "0.1.0", "torch": "2.11.0"},
        "argv": ["speechconv", "extract", "corpus", "-o", "out"],
        "options": {"inputs": ["corpus"], "jobs": 2, "channel": "mix"},
        "started": "2026-01-01T00:00:00.000+00:00",
        "ended": "2026-01-01T00:00:02.000+00:00",
        "status": "finished",
        "totals": totals,
        "real_time_factor": 0.5,
        "recipe": "r1",
        "store": "npy",
        "shard": None,
    }


def written(folder: Path, lines: Iterable[Line], run: dict[str, Any] | None = None) -> Page:
    return Page(extraction_report(write_run(folder, lines, run)))


def heard(folder: Path, samples: np.ndarray, rate: int = 16000, name: str = "x.wav", **fields: Any) -> Any:
    """A line whose sound is there."""
    path = folder / name
    folder.mkdir(exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    status = os.stat(path)
    usual: dict[str, Any] = {
        "audio": str(path),
        "num_samples": len(samples),
        "audio_sample_rate": rate,
        "sample_rate": rate,
    }
    known: dict[str, Any] = usual | {"audio_bytes": status.st_size, "audio_mtime_ns": status.st_mtime_ns}
    return stored(folder, name, features(0, 50), **known | fields)


def text_of(folder: Path) -> str:
    return (folder / "report.html").read_text("utf-8")
