"""How many lines of each kind, and what is in them."""

from __future__ import annotations

from dataclasses import dataclass

from speechconv.stores.manifest import ErrorLine, Line, SkippedLine


@dataclass(kw_only=True)
class Counts:
    """Of a run's lines.

    Attributes:
        files_ok, files_failed, files_skipped: lines of manifest.jsonl, errors.jsonl and skipped.jsonl.
        frames: of all features.
        audio_seconds: of what the features were made of.
    """

    files_ok: int = 0
    files_failed: int = 0
    files_skipped: int = 0
    frames: int = 0
    audio_seconds: float = 0.0

    def add(self, line: Line) -> None:
        """Count one line."""
        if isinstance(line, ErrorLine):
            self.files_failed += 1
        elif isinstance(line, SkippedLine):
            self.files_skipped += 1
        else:
            self.files_ok += 1
            self.frames += line.frames
            self.audio_seconds += line.num_samples / line.sample_rate
