"""Lines come in as inputs get done; each is written when its features are where they stay, and counted.

At the end the reports are put in the order of the inputs.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from speechconv.extraction.resume import SPOOL
from speechconv.extraction.summary import Tally
from speechconv.stores.manifest import (
    REPORTS,
    JsonLines,
    Line,
    ManifestLine,
    sort_lines,
)
from speechconv.stores.packer import Packer


class Ledger:
    """The reports of a run, which go on from those that are there; a context manager.

    Args:
        out: the output folder.
        places: of the inputs, by id.
        packer: takes features from the spool into shards; None where workers write them to their place.

    Attributes:
        tally: of the lines taken so far.
    """

    def __init__(self, out: Path, places: Mapping[str, int], packer: Packer | None) -> None:
        self.tally = Tally()
        self._out = out
        self._places = places
        self._packer = packer
        self._files = ExitStack()
        self._reports = {kind: self._files.enter_context(JsonLines(out / name)) for kind, name in REPORTS.items()}
        if packer is not None:
            (out / SPOOL).mkdir(exist_ok=True)
            self._spooled = self._files.enter_context(JsonLines(out / SPOOL / REPORTS[ManifestLine]))

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def take(self, line: Line) -> None:
        """Write a line, now or when its features are packed, and count it."""
        if self._packer is None or not isinstance(line, ManifestLine):
            self._reports[type(line)].append(line)
            self.tally.add(line)
        else:
            self._spooled.append(line)
            self.tally.add(line)
            self.pack(line)

    def pack(self, line: ManifestLine) -> None:
        """Have features packed that are in the spool."""
        assert self._packer is not None
        self._place(self._packer.take(replace(line, path=f"{SPOOL}/{line.path}")))

    def finish(self) -> None:
        """No more lines come: pack what is left, and put all reports in the order of the inputs.

        Raises:
            OSError: the disk is full; what could not be packed stays in the spool, for the next run.
        """
        if self._packer is not None:
            self._place(self._packer.close())
            shutil.rmtree(self._out / SPOOL)
        self._sort()

    def give_up(self) -> None:
        """Pack no more: what is in the spool stays there for the next run."""
        if self._packer is not None:
            self._place(self._packer.discard())
        self._sort()

    def _sort(self) -> None:
        for kind in REPORTS:
            sort_lines(self._out, kind, lambda id: self._places.get(id, -1))

    def _place(self, placed: list[ManifestLine]) -> None:
        """Write lines whose features are where they stay, those of a shard at once, so that none of its features is
        packed again; only then does the spool forget them."""
        assert self._packer is not None
        self._reports[ManifestLine].append(*placed)
        self._packer.forget_spooled(placed)
