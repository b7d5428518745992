"""What a run came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from speechconv.runs.counts import Counts

Status = Literal["running", "finished", "interrupted", "disk full", "failed"]


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
        out: the output folder.
        status: "finished", "interrupted" (Ctrl-C), "disk full", or "failed" (by a fault that was raised).
        files_ok: inputs whose features are stored; `files_reused` of them were there before.
        files_failed, files_skipped: lines of errors.jsonl and of skipped.jsonl.
        files_left: inputs that the run did not come to.
        frames: of all features.
        audio_seconds: of what this run computed.
        wall_seconds: that the run took, start-up included.
    """

    out: str
    status: Status
    files_ok: int
    files_reused: int
    files_failed: int
    files_skipped: int
    files_left: int
    frames: int
    audio_seconds: float
    wall_seconds: float

    @property
    def real_time_factor(self) -> float | None:
        """Wall seconds for one second of audio; below 1 is faster than real time. None without audio."""
        return self.wall_seconds / self.audio_seconds if self.audio_seconds else None

    @property
    def exit_status(self) -> int:
        """0 all good, 3 some inputs failed, 4 disk full, 130 Ctrl-C."""
        stopped = {"disk full": 4, "interrupted": 130}
        return stopped.get(self.status, 3 if self.files_failed else 0)

    def __str__(self) -> str:
        text = f"{self.files_ok} files, {self.frames} frames"
        if self.files_reused:
            text += f" ({self.files_reused} files were there before)"
        text += f"; {self.audio_seconds:.1f} s of audio in {self.wall_seconds:.1f} s"
        if self.real_time_factor:
            text += f" ({1 / self.real_time_factor:.0f} times real time)"
        if self.files_skipped:
            text += f"; {self.files_skipped} left out by their duration, see {self.out}/skipped.jsonl"
        if self.files_failed:
            text += f"; {self.files_failed} failed, see {self.out}/errors.jsonl"
        if self.status != "finished":
            left = f", {self.files_left} left undone" if self.files_left else ""
            text += f"; {self.status}{left}: the same command again goes on from here"
        return text


@dataclass(kw_only=True)
class Tally(Counts):
    """Counts lines while a run goes on."""

    files_reused: int = 0

    @property
    def files(self) -> int:
        """Inputs that have got their line."""
        return self.files_ok + self.files_failed + self.files_skipped

    def reuse(self, files: int, frames: int) -> None:
        """Count what was there before."""
        self.files_ok += files
        self.files_reused += files
        self.frames += frames

    def summary(self, out: Path, status: Status, *, files: int, wall_seconds: float) -> Summary:
        """These counts as the result of a run over `files` inputs."""
        return Summary(str(out), status, files_left=files - self.files, wall_seconds=wall_seconds, **asdict(self))
