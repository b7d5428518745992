"""What a run came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from speechconv.stores.manifest import ErrorLine, Line

Status = Literal["running", "finished", "interrupted", "disk full", "failed"]


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
        out: the output folder.
        status: "finished", "interrupted" (Ctrl-C), "disk full", or "failed" (by a fault that was raised).
        files_ok, files_failed: lines of manifest.jsonl and of errors.jsonl.
        files_left: inputs that the run did not come to.
        frames: of all features.
        audio_seconds: of what the features were made of.
        wall_seconds: that the run took, start-up included.
    """

    out: str
    status: Status
    files_ok: int
    files_failed: int
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
        parts = [f"{self.files_ok} files", f"{self.frames} frames", f"{self.audio_seconds:.1f} s of audio"]
        text = f"{', '.join(parts)} in {self.wall_seconds:.1f} s"
        if self.real_time_factor:
            text += f" ({1 / self.real_time_factor:.0f} times real time)"
        if self.files_failed:
            text += f"; {self.files_failed} failed, see {self.out}/errors.jsonl"
        if self.files_left:
            text += f"; {self.status}, {self.files_left} left undone"
        return text


@dataclass
class Tally:
    """Counts lines while a run goes on."""

    files_ok: int = 0
    files_failed: int = 0
    frames: int = 0
    audio_seconds: float = 0.0

    def add(self, line: Line) -> None:
        """Count one line."""
        if isinstance(line, ErrorLine):
            self.files_failed += 1
            return
        self.files_ok += 1
        self.frames += line.frames
        self.audio_seconds += line.num_samples / line.sample_rate

    def summary(self, out: Path, status: Status, *, files: int, wall_seconds: float) -> Summary:
        """These counts as the result of a run over `files` inputs."""
        left = files - self.files_ok - self.files_failed
        return Summary(str(out), status, files_left=left, wall_seconds=wall_seconds, **asdict(self))
