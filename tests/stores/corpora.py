"""Run folders as `extract` leaves them, of random features, without an engine; and ids that bite."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from speechconv.stores.feature_file import Dtype, FeatureFile
from speechconv.stores.ids import file_name
from speechconv.stores.manifest import ErrorLine, JsonLines, ManifestLine, SkippedLine, encode_line, read_lines

CHANNELS = 8
COUNT = int(os.environ.get("SPEECHCONV_STORE_ITEMS", "60"))
"""Items in the ring of all stores; 20,000 for a long look."""

BITING_IDS = (
    "plain",
    "a",
    "a/b",
    "a.npy/b",
    "a/b/c",
    "A",
    "spk 1/utt 2",
    "tab\tline\nbreak\r",
    "narrow\u202fspace\x85next\x1cseparator",
    "v1.2/take.3.final",
    ".",
    "..",
    "...",
    "../../../etc/escape",
    "/absolute",
    "a//b",
    "trailing/",
    ".speechconv-x",
    "50%",
    "50%25",
    "%2E",
    "__metadata__",
    "__url__",
    "__folder__/utt",
    "ünï/日本語",
    "e\u0301",
    "colon:1234",
    "brackets[0:1]",
    "pipe|",
    '"quotes"\\',
    "nul\0byte",
    os.fsdecode(b"not\xffutf8"),
    "x" * 1000,
    "y" * 199 + "é" * 300,
    "%" * 150 + "/" + "z" * 250 + "..",
)


def random_rows(number: int, frames: int, dtype: Dtype = "float32") -> np.ndarray:
    """Features that no other item has."""
    return np.random.default_rng(number).standard_normal((frames, CHANNELS)).astype(dtype)


def manifest_line(id: str, rows: np.ndarray, path: str) -> ManifestLine:
    return ManifestLine(
        id=id,
        audio=f"corpus/{id}.wav",
        sample_rate=16000,
        num_samples=160 * len(rows),
        audio_sample_rate=16000,
        audio_num_samples=160 * len(rows),
        audio_channels=1,
        path=path,
        frames=rows.shape[0],
        channels=rows.shape[1],
        dtype=rows.dtype.name,
        hop_length=160,
        sha256=hashlib.sha256(rows.tobytes()).hexdigest(),
        recipe="r",
    )


def spool(out: Path, id: str, rows: np.ndarray, folder: str = "") -> ManifestLine:
    """Features on disk as a worker leaves them, and their line."""
    path = folder + file_name(id, ".npy")
    with FeatureFile(out / path, rows.shape[1], rows.dtype.name) as features:  # pyright: ignore[reportArgumentType] - a name
        features.append(rows)
        features.commit()
    return manifest_line(id, rows, path)


def generated_ids(count: int) -> list[str]:
    return [f"spk{number % 7}/utt.{number:06d} x" for number in range(count)]


def make_run(out: Path, ids: Iterable[str], dtype: Dtype = "float32") -> dict[str, np.ndarray]:
    """A finished run in the npy store, with one error and one skipped line; features by id."""
    out.mkdir(parents=True)
    features = {id: random_rows(number, number % 5 * 3, dtype) for number, id in enumerate(ids)}
    with open(out / "manifest.jsonl", "wb") as manifest:
        for id, rows in features.items():
            manifest.write(encode_line(spool(out, id, rows)))
    with JsonLines(out / "errors.jsonl") as errors, JsonLines(out / "skipped.jsonl") as skipped:
        errors.append(ErrorLine("bad", "corpus/bad.wav", "decode", "ValueError", "no sound"))
        skipped.append(SkippedLine("short", "corpus/short.wav", 0.1, "shorter than 0.5 s"))
    (out / "run.json").write_text(json.dumps({"status": "finished", "store": "npy", "options": {}}))
    return features


def lines(out: Path) -> list[ManifestLine]:
    return list(read_lines(out, ManifestLine))


def files(out: Path) -> Iterator[str]:
    return (path.relative_to(out).as_posix() for path in sorted(out.rglob("*")) if path.is_file())
