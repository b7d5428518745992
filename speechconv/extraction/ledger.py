"""Lines come in as inputs get done; they are written in the order of the inputs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tqdm import tqdm

from speechconv.extraction.inputs import Input
from speechconv.stores.manifest import ErrorLine, Line, Reports
from speechconv.extraction.summary import Tally


class Ledger:
    """Puts lines in order, writes them, counts them.

    Args:
        items: all inputs; those with a problem are error lines from the start.
        reports: where the lines go.
        progress: show a bar on stderr if that is a terminal.

    Attributes:
        tally: of the lines written so far.
    """

    def __init__(self, items: Sequence[Input], reports: Reports, progress: bool) -> None:
        self.tally = Tally()
        self._reports = reports
        self._next = 0
        self._waiting: dict[int, Line] = {
            index: ErrorLine(item.id, item.audio, item.stage, item.error, item.problem)
            for index, item in enumerate(items)
            if item.problem is not None
        }
        hidden = not (progress and sys.stderr is not None and sys.stderr.isatty())
        self._bar = tqdm(total=len(items), unit=" files", file=sys.stderr, disable=hidden)

    def take(self, index: int, line: Line) -> None:
        """The line of input `index`; it is written as soon as all before it are."""
        self._waiting[index] = line
        while self._next in self._waiting:
            self._write(self._next)
            self._next += 1

    def close(self) -> None:
        """No more lines come: write those that waited for one before them."""
        self._bar.close()
        for index in sorted(self._waiting):
            self._write(index)

    def _write(self, index: int) -> None:
        line = self._waiting.pop(index)
        self._reports.add(line)
        self.tally.add(line)
        self._bar.update()
