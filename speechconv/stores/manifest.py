"""manifest.jsonl, errors.jsonl, skipped.jsonl: one JSON object a line; their keys are stable.

A line is written whole, by one call, after the features that it describes are in place: at any moment, also when the
run is killed, the manifest tells the truth. A kill may tear the last line; `read_lines` leaves it out.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from speechconv.stores.ids import TEMPORARY

if TYPE_CHECKING:
    from speechconv.audio.waveform import Channel

MANIFEST, ERRORS, SKIPPED = "manifest.jsonl", "errors.jsonl", "skipped.jsonl"


@dataclass(frozen=True, kw_only=True)
class ManifestLine:
    """A line of manifest.jsonl: one sound, or a segment of one, and its features.

    Attributes:
        id: the utterance's name, as the input told it; else its path under the input folder without the extension.
        audio: path of the sound as it was found, or the command that gives it.
        start, duration: of the segment in the sound, in seconds; duration is null where it goes to the sound's end.
        channel: "mix", or the number of the channel.
        sample_rate: Hz, of the pipeline.
        num_samples: at that rate; `frames` follows from it: frames == pipeline.output_lengths(num_samples).
        audio_sample_rate, audio_num_samples, audio_channels: of the sound itself; the samples that were read.
        audio_bytes, audio_mtime_ns: size and time of the sound's file; null for a command.
        audio_sha256: of the sound's file, where `identity="sha256"` asked for it; else null.
        peak, rms: largest and root mean square absolute sample, of the chosen channel at the pipeline's rate; 1.0 is
            full scale. 0 for a sound without samples.
        clipped: its samples at full scale (0.999 or more).
        path: of the file that holds the features, under the output folder.
        key: name of the features in that file; null where it holds nothing else.
        frames, channels: shape of the features; 0 frames for a sound too short for one.
        dtype: "float32" or "float16".
        hop_length: samples between two frames, at `sample_rate`.
        sha256: of the features' bytes, hexadecimal: rows one after the other, little-endian; the same in every store.
        recipe: names everything that changes bytes: pipeline, weights, options; equal recipes give equal bytes.
        seconds: that it took to make them.
    """

    id: str
    audio: str
    start: float = 0.0
    duration: float | None = None
    channel: Channel = "mix"
    sample_rate: int
    num_samples: int
    audio_sample_rate: int
    audio_num_samples: int
    audio_channels: int
    audio_bytes: int | None = None
    audio_mtime_ns: int | None = None
    audio_sha256: str | None = None
    peak: float = 0.0
    rms: float = 0.0
    clipped: int = 0
    path: str
    key: str | None = None
    frames: int
    channels: int
    dtype: str
    hop_length: int
    sha256: str
    recipe: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class ErrorLine:
    """A line of errors.jsonl: one sound that has no features.

    Attributes:
        id, audio: as in the manifest.
        stage: where it failed: "input" (not there, named twice, same id as another), "open", "decode", "channel",
            "resample", "features", "write", or "worker" (the process died, or took too long).
        error: class of the error.
        message: what was expected, what came.
    """

    id: str
    audio: str
    stage: str
    error: str
    message: str


@dataclass(frozen=True)
class SkippedLine:
    """A line of skipped.jsonl: one sound that was left out on purpose.

    Attributes:
        id, audio: as in the manifest.
        duration: of the sound or segment, in seconds.
        reason: "shorter than 0.5 s" or "longer than 30 s".
    """

    id: str
    audio: str
    duration: float
    reason: str


Line = ManifestLine | ErrorLine | SkippedLine
REPORTS: dict[type[Line], str] = {ManifestLine: MANIFEST, ErrorLine: ERRORS, SkippedLine: SKIPPED}
"""Which file holds which lines."""
AnyLine = TypeVar("AnyLine", ManifestLine, ErrorLine, SkippedLine)


def encode_line(line: Line) -> bytes:
    """The line as it stands in its file; ASCII, whatever the names."""
    return json.dumps(vars(line)).encode() + b"\n"  # vars: asdict takes longer than all else that is done for a line


def read_lines(out: Path, kind: type[AnyLine]) -> Iterator[AnyLine]:
    """Lines of one kind, in the order of the file; none where there is no file. A torn last line is left out.

    Args:
        out: the folder that `extract` wrote.
        kind: `ManifestLine`, `ErrorLine` or `SkippedLine`.

    Raises:
        ValueError: a line that speechconv did not write.
    """
    path = out / REPORTS[kind]
    if not path.exists():
        return
    with open(path, "rb") as file:
        for number, data in enumerate(file, 1):
            if data.endswith(b"\n"):
                yield decode_line(data, kind, f"{path}, line {number}")


def decode_line(data: bytes, kind: type[AnyLine], where: str) -> AnyLine:
    """What `encode_line` was given.

    Raises:
        ValueError: no line of that kind; the message begins with `where` it stands.
    """
    try:
        fields: dict[str, Any] = json.loads(data)
        return kind(**fields)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where} is not a line that speechconv wrote ({error}); choose another folder.") from None


def rewrite_lines(out: Path, kind: type[AnyLine], revise: Callable[[AnyLine], AnyLine | None]) -> None:
    """Leave lines as `revise` gives them back, without those that it gives None for, and of an id in the manifest only
    the first; all at once, or not at all.

    Raises:
        ValueError: a line that speechconv did not write; and whatever `revise` raises. The file is as it was then.
    """
    path, temporary = out / REPORTS[kind], out / f"{TEMPORARY}{REPORTS[kind]}.tmp"
    seen: set[str] = set()
    changed = False
    try:
        with open(temporary, "wb") as file:
            for line in read_lines(out, kind):
                revised = None if kind is ManifestLine and line.id in seen else revise(line)
                changed = changed or revised is not line
                if revised is not None:
                    seen.add(line.id)
                    file.write(encode_line(revised))
        if changed:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sort_lines(out: Path, kind: type[Line], place: Callable[[str], int]) -> None:
    """Put the lines in the order of their ids' places, all at once; those of one place stay in their order."""
    path, temporary = out / REPORTS[kind], out / f"{TEMPORARY}{REPORTS[kind]}.tmp"
    places, starts = array("q"), array("q", [0])
    with open(path, "rb") as file:
        for data in file:
            places.append(place(json.loads(data)["id"]))
            starts.append(starts[-1] + len(data))
        if all(a <= b for a, b in pairwise(places)):
            return
        try:
            with open(temporary, "wb") as ordered:
                for number in sorted(range(len(places)), key=places.__getitem__):
                    file.seek(starts[number])
                    ordered.write(file.read(starts[number + 1] - starts[number]))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def manifest_of(folder: Path) -> Path:
    """Where the manifest of a run is.

    Raises:
        FileNotFoundError: there is none; says where one comes from.
    """
    path = folder / MANIFEST
    if not path.is_file():
        hint = "expected a folder that speechconv extract, merge or convert wrote."
        if any(folder.glob("shard-*-of-*")):
            hint = f"`speechconv merge {folder}` makes it from the shards."
        raise FileNotFoundError(f"{folder} holds no {MANIFEST}; {hint}")
    return path


class JsonLines:
    """A file of JSON lines that only ever holds whole ones; a context manager.

    Args:
        path: is made, or gets more lines; a torn last line is cut off first.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self._size = _cut_torn_line(self._descriptor)

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def append(self, *lines: Line) -> None:
        """Write lines by one call; where the disk takes only a part of them, none of them stays."""
        data = b"".join(map(encode_line, lines))
        rest = data
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except BaseException:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)


def _cut_torn_line(descriptor: int) -> int:
    """Bytes of whole lines; what a kill left behind them is gone."""
    size = os.fstat(descriptor).st_size
    while size and os.pread(descriptor, 1, size - 1) != b"\n":
        step = min(size, 1 << 16)
        found = os.pread(descriptor, step, size - step).rfind(b"\n")
        size = size - step + found + 1
    os.ftruncate(descriptor, size)
    return size
