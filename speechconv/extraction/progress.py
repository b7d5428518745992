"""How far a run is, on stderr: a bar on a terminal, or JSON lines for machines.

{"files": 120, "total": 2000, "failed": 1, "audio_hours": 0.21, "real_time_factor": 0.004, "seconds": 3.1,
 "seconds_left": 48.5}
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

from tqdm import tqdm

from speechconv.extraction.summary import Tally

ProgressMode = Literal["auto", "off", "json"]
BAR_EVERY, JSON_EVERY = 0.1, 1.0
"""Seconds."""


def announce(statements: Sequence[str], mode: ProgressMode) -> None:
    """Say how each input was read, before the work begins."""
    for statement in statements if mode != "off" else ():
        _say(json.dumps({"input": statement}) if mode == "json" else f"speechconv extract: {statement}")


class Progress:
    """Shows a tally as it grows; what cannot be shown does no harm.

    Args:
        total: inputs in all.
        tally: of those that are done.
        mode: "auto" shows a bar if stderr is a terminal, "json" a line a second.
    """

    def __init__(self, total: int, tally: Tally, mode: ProgressMode) -> None:
        self._total, self._tally, self._mode = total, tally, mode
        self._begun = self._shown = time.monotonic()
        self._before = tally.files
        terminal = mode == "auto" and sys.stderr is not None and sys.stderr.isatty()
        self._bar = (
            tqdm(total=total, initial=tally.files, unit=" files", file=sys.stderr, dynamic_ncols=True)
            if terminal
            else None
        )
        self._every = JSON_EVERY if mode == "json" else BAR_EVERY if terminal else float("inf")

    def look(self) -> None:
        """Show the tally if it is time to."""
        now = time.monotonic()
        if now - self._shown >= self._every:
            self._shown = now
            self._show(now)

    def close(self) -> None:
        """Show the last of it."""
        self._show(time.monotonic())
        if self._bar is not None:
            self._bar.close()

    def _show(self, now: float) -> None:
        facts = self._facts(now - self._begun)
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"{facts['audio_hours']:.2f} h of audio, {_times(facts['real_time_factor'])}{facts['failed']} failed",
                refresh=False,
            )
            self._bar.update(self._tally.files - self._bar.n)
        elif self._mode == "json":
            _say(json.dumps(facts))

    def _facts(self, seconds: float) -> dict[str, Any]:
        tally = self._tally
        done = tally.files - self._before
        left = (self._total - tally.files) * seconds / done if done else None
        return {
            "files": tally.files,
            "total": self._total,
            "failed": tally.files_failed,
            "audio_hours": round(tally.audio_seconds / 3600, 6),
            "real_time_factor": round(seconds / tally.audio_seconds, 6) if tally.audio_seconds else None,
            "seconds": round(seconds, 3),
            "seconds_left": None if left is None else round(left, 3),
        }


def _times(factor: float | None) -> str:
    return f"{1 / factor:.0f} x real time, " if factor else ""


def _say(line: str) -> None:
    """To stderr; that nobody listens changes nothing."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
