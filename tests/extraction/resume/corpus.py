"""Sounds for a run to go on with, and what it left of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import soundfile
from numpy.typing import NDArray

import speechconv as sc
from tests.extraction.runs import manifest

NAMES = ("a", "b", "c", "d")


def write(path: Path, samples: NDArray) -> None:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples, 16000)


def times(out: Path) -> dict[str, int]:
    """When each feature file was written."""
    return {path.stem: path.stat().st_mtime_ns for path in out.rglob("*.npy")}


def ids(out: Path) -> list[str]:
    return [line["id"] for line in manifest(out)]


def sums(out: Path) -> dict[str, str]:
    return {line["id"]: line["sha256"] for line in manifest(out)}


def fresh(corpus: Path, out: Path, **options: Any) -> dict[str, str]:
    """What a run from nothing gives; the judge of one that goes on."""
    sc.extract(corpus, out=out, **options)
    return sums(out)
