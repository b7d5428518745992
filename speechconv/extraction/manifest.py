"""manifest.jsonl and errors.jsonl: one JSON object a line, in the order of the inputs; their keys are stable.

A line is written whole, by one call, after the feature file that it describes is in place: at any moment, also when the
run is killed, the manifest tells the truth.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

MANIFEST, ERRORS = "manifest.jsonl", "errors.jsonl"


@dataclass(frozen=True)
class ManifestLine:
    """A line of manifest.jsonl: one sound and its features.

    Attributes:
        id: path under its input folder without the extension, with "/".
        audio: path of the sound as it was found.
        sample_rate: Hz, of the pipeline.
        num_samples: at that rate; `frames` follows from it: frames == pipeline.output_lengths(num_samples).
        audio_sample_rate, audio_num_samples, audio_channels: of the sound itself.
        path: of the feature file, under the output folder.
        frames, channels: shape of the features; 0 frames for a sound too short for one.
        dtype: "float32".
        hop_length: samples between two frames, at `sample_rate`.
        sha256: of the feature file, hexadecimal.
    """

    id: str
    audio: str
    sample_rate: int
    num_samples: int
    audio_sample_rate: int
    audio_num_samples: int
    audio_channels: int
    path: str
    frames: int
    channels: int
    dtype: str
    hop_length: int
    sha256: str


@dataclass(frozen=True)
class ErrorLine:
    """A line of errors.jsonl: one sound that has no features.

    Attributes:
        id, audio: as in the manifest.
        stage: where it failed: "input" (not there, named twice, same output as another), "open", "decode", "channel",
            "resample", "features", "write", or "worker" (the process died).
        error: class of the error.
        message: what was expected, what came.
    """

    id: str
    audio: str
    stage: str
    error: str
    message: str


Line = ManifestLine | ErrorLine


class JsonLines:
    """A file of JSON lines that only ever holds whole ones; a context manager.

    Args:
        path: made anew, empty.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self._descriptor = os.open(path, flags, 0o666)
        self._size = 0

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def append(self, line: Line) -> None:
        """Write one line by one call; where the disk takes only a part of it, none of it stays."""
        data = json.dumps(asdict(line)).encode() + b"\n"
        rest = data
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except BaseException:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)


class Reports:
    """manifest.jsonl and errors.jsonl of a run, both made anew; a context manager.

    Args:
        out: the output folder.
    """

    def __init__(self, out: Path) -> None:
        self._files = ExitStack()
        self._manifest = self._files.enter_context(JsonLines(out / MANIFEST))
        self._errors = self._files.enter_context(JsonLines(out / ERRORS))

    def __enter__(self) -> Reports:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, line: Line) -> None:
        """Append the line to the report that it belongs to."""
        (self._errors if isinstance(line, ErrorLine) else self._manifest).append(line)


def forget_earlier_run(out: Path) -> None:
    """Delete `out`'s manifest, then the feature files that it names.

    Raises:
        ValueError: a manifest that another program wrote; nothing was deleted.
    """
    manifest = out / MANIFEST
    paths = _named_in(manifest) if manifest.exists() else []
    manifest.unlink(missing_ok=True)
    for path in paths:
        if path.suffix == ".npy" and not path.is_absolute() and ".." not in path.parts:
            (out / path).unlink(missing_ok=True)


def _named_in(manifest: Path) -> list[Path]:
    try:
        return [Path(json.loads(line)["path"]) for line in manifest.read_text("utf-8").splitlines()]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{manifest} is not a manifest that speechconv wrote; choose another folder.") from None
