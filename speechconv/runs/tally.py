"""One pass over the lines of a run in bounded memory: counts, histograms, and the worst of each kind."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from speechconv.stores.manifest import ErrorLine, ManifestLine, SkippedLine, read_lines

SILENT_DBFS = -70.0
"""Root mean square below which a sound counts as silent."""
PER_DECADE = 20
"""Bars of a histogram of durations between one duration and ten times that."""
LOUDNESS_STEP = 2.0
"""Width of a bar of the histogram of loudness, in dB."""
LISTED, EXAMPLES, REASONS, EXCERPTS = 20, 3, 50, 4
"""Lines of a table, examples of a reason, reasons that are kept apart, sounds that can be heard."""

Item = TypeVar("Item")


@dataclass
class Most(Generic[Item]):
    """Of many items, the few whose value is largest, and how many there were; of equals, the first ones."""

    size: int
    count: int = 0
    _heap: list[tuple[float, int, Item]] = field(default_factory=list)

    def add(self, value: float, item: Item) -> None:
        entry = (value, -self.count, item)
        self.count += 1
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    @property
    def items(self) -> list[Item]:
        """The largest first."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


@dataclass
class Reason:
    """Why inputs failed, or were left out.

    Attributes:
        stage, error: as in the lines; empty for inputs that were left out.
        message: what the lines' messages have in common.
        first: message of the first one.
        count: of lines; a few of them are `examples`.
    """

    stage: str
    error: str
    message: str
    first: str
    count: int = 0
    examples: list[ErrorLine | SkippedLine] = field(default_factory=list)


class Reasons:
    """Lines by their reason: messages that differ in numbers and quoted names alone have the same one."""

    def __init__(self) -> None:
        self.count = 0
        self._found: dict[tuple[str, str, str], Reason] = {}

    def add(self, line: ErrorLine | SkippedLine) -> None:
        stage, error, message = _reason(line)
        self.count += 1
        key = (stage, error, message)
        if key not in self._found and len(self._found) >= REASONS:
            key = ("", "", "other reasons")
        first = line.reason if isinstance(line, SkippedLine) else line.message
        reason = self._found.setdefault(key, Reason(*key, first))
        reason.count += 1
        if len(reason.examples) < EXAMPLES:
            reason.examples.append(line)

    @property
    def items(self) -> list[Reason]:
        """The most frequent first."""
        return sorted(self._found.values(), key=lambda reason: -reason.count)


def _reason(line: ErrorLine | SkippedLine) -> tuple[str, str, str]:
    if isinstance(line, SkippedLine):
        return "", "", line.reason
    return line.stage, line.error, pattern(line.message)


def pattern(message: str) -> str:
    """What messages of one reason have in common.

    >>> pattern("holds NaN at 0.123 s (sample 1968) in 'a b'.")
    'holds NaN at N s (sample N) in N.'
    """
    return re.sub(r"'[^']*'|\d+(\.\d+)?(e[+-]?\d+)?", "N", message[:300])


@dataclass
class Tally:
    """What a run's lines say.

    Attributes:
        files, frames, audio_seconds, work_seconds: of the manifest; the last of all workers together.
        durations: files by floor(PER_DECADE log10(seconds)).
        loudness: files that are not silent by floor(dBFS / LOUDNESS_STEP).
        silent: by their duration.
        clipped: by the share of their samples at full scale.
        slowest: by the seconds that they took.
        excerpts: a few lines with frames that are not silent, drawn by their checksums: the same ones whatever their
            order.
        failures, skipped: by reason.
    """

    files: int = 0
    frames: int = 0
    audio_seconds: float = 0.0
    work_seconds: float = 0.0
    durations: Counter[int] = field(default_factory=Counter)
    loudness: Counter[int] = field(default_factory=Counter)
    silent: Most[ManifestLine] = field(default_factory=lambda: Most(LISTED))
    clipped: Most[ManifestLine] = field(default_factory=lambda: Most(LISTED))
    slowest: Most[ManifestLine] = field(default_factory=lambda: Most(LISTED // 2))
    excerpts: Most[ManifestLine] = field(default_factory=lambda: Most(EXCERPTS))
    failures: Reasons = field(default_factory=Reasons)
    skipped: Reasons = field(default_factory=Reasons)

    def add(self, line: ManifestLine) -> None:
        seconds = seconds_of(line)
        self.files += 1
        self.frames += line.frames
        self.audio_seconds += seconds
        self.work_seconds += line.seconds
        if seconds > 0:
            self.durations[math.floor(PER_DECADE * math.log10(seconds))] += 1
        level = dbfs(line.rms)
        if level < SILENT_DBFS:
            self.silent.add(seconds, line)
        else:
            self.loudness[math.floor(level / LOUDNESS_STEP)] += 1
        if line.clipped:
            self.clipped.add(line.clipped / max(1, line.num_samples), line)
        self.slowest.add(line.seconds, line)
        if line.frames and level >= SILENT_DBFS:
            self.excerpts.add(-int(line.sha256[:12] or "0", 16), line)


def tally_of(folder: Path) -> Tally:
    """Of all lines in a folder that `extract` wrote."""
    tally = Tally()
    for line in read_lines(folder, ManifestLine):
        tally.add(line)
    for failed in read_lines(folder, ErrorLine):
        tally.failures.add(failed)
    for skipped in read_lines(folder, SkippedLine):
        tally.skipped.add(skipped)
    return tally


def seconds_of(line: ManifestLine) -> float:
    """Duration of the sound that the features were made of."""
    return line.num_samples / line.sample_rate


def dbfs(amplitude: float) -> float:
    """In dB of full scale; minus infinity for silence.

    >>> dbfs(0.1), dbfs(0)
    (-20.0, -inf)
    """
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
