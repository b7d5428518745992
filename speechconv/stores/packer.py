"""From features one by one to rolling shards, features-000000.ark and so on, beside the work that makes them.

    take: line -> [pending lines] --a shard's worth--> [one in flight, in a thread] -> lines in their place

A line comes back only when the shard that holds its features has its name. Until then they lie in the spool, and a
killed run loses none of them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from speechconv.checks import check_count
from speechconv.stores.feature_file import SUFFIX
from speechconv.stores.ids import TEMPORARY, file_name
from speechconv.stores.item import Item, Rows, npy_item
from speechconv.stores.manifest import ManifestLine
from speechconv.stores.registry import STORES
from speechconv.stores.store import Store
from speechconv.stores.whole_file import whole_path

SHARD_BYTES = 256 << 20
SHARD_ITEMS = 10_000
"""No shard holds more, however small they are: who opens one may have to find them all."""

SHARD_NAME = re.compile(r"features-(\d{6,})(\.\w+)")


class Packer:
    """Packs features into shards as they come; a shard is written by a thread of its own, one at a time.

    Args:
        out: folder of the manifest.
        store: npy gives a file to each item, under its id.
        shard_bytes: of features in a shard, at most, unless one item alone has more.
        first: number of the first shard; `next_number` gives it.
        item: gives the features of a line; by default those of the .npy that its `path` names below `out`.
    """

    def __init__(
        self,
        out: Path,
        store: Store,
        *,
        shard_bytes: int = SHARD_BYTES,
        first: int = 0,
        item: Callable[[ManifestLine], Item] | None = None,
    ) -> None:
        self._out = out
        self._store = store
        self._shard_bytes = check_count("shard_bytes", shard_bytes)
        self._number = first
        self._item = item or self._spooled_item
        self._groups: deque[list[ManifestLine]] = deque([[]])  # a shard each; the first in flight, the last open
        self._open_bytes = 0
        self._flight: Future[list[ManifestLine]] | None = None
        self._placed: list[ManifestLine] = []
        self._spooled: dict[str, str] = {}
        self._thread = ThreadPoolExecutor(1, "speechconv-packer")

    def take(self, line: ManifestLine) -> list[ManifestLine]:
        """One more line, its features in the spool.

        Returns:
            Lines whose features are in their place by now, with their new path and key, in the order they were taken.

        Raises:
            OSError: a shard could not be written, as on a full disk. Nothing is forgotten, this line neither: `close`
                tries again, `discard` gives up.
        """
        size = line.frames * line.channels * np.dtype(line.dtype).itemsize
        if self._is_full_for(line, size):
            self._groups.append([])
            self._open_bytes = 0
        self._groups[-1].append(line)
        self._open_bytes += size
        while len(self._groups) > 1:
            flight = self._flight or self._start()
            if len(self._groups) == 2 and not flight.done():
                break
            self._land(flight)
        return self._handed_over()

    def close(self) -> list[ManifestLine]:
        """Pack the rest; returns and raises as `take`. A packer that is closed takes no more."""
        while self._groups and self._groups[0]:
            self._land(self._flight or self._start())
        self._thread.shutdown()
        return self._handed_over()

    def discard(self) -> list[ManifestLine]:
        """Pack nothing more, but for the shard that is being written; what is not packed stays in the spool.

        Returns:
            Lines whose features are in their place, as of `take`.
        """
        if self._flight is not None and self._flight.exception() is None:
            self._land(self._flight)
        self._groups.clear()
        self._thread.shutdown()
        return self._handed_over()

    def forget_spooled(self, lines: Iterable[ManifestLine]) -> None:
        """Delete the spooled features of lines that came back, once these stand in the manifest."""
        for line in lines:
            (self._out / self._spooled.pop(line.id)).unlink(missing_ok=True)

    def _is_full_for(self, line: ManifestLine, size: int) -> bool:
        """True where `line` belongs in another shard than the open one; a shard holds one dtype."""
        group = self._groups[-1]
        most = 1 if self._store.one_each else SHARD_ITEMS
        return bool(group) and (
            self._open_bytes + size > self._shard_bytes or len(group) >= most or line.dtype != group[0].dtype
        )

    def _start(self) -> Future[list[ManifestLine]]:
        self._flight = self._thread.submit(self._write, self._number, self._groups[0])
        return self._flight

    def _land(self, flight: Future[list[ManifestLine]]) -> None:
        """Wait for the shard in flight."""
        try:
            placed = flight.result()
        except Exception:
            self._flight = None
            raise
        self._flight = None
        self._spooled |= {line.id: line.path for line in self._groups.popleft()}
        self._placed += placed
        self._number += 1

    def _handed_over(self) -> list[ManifestLine]:
        placed, self._placed = self._placed, []
        return placed

    def _write(self, number: int, lines: list[ManifestLine]) -> list[ManifestLine]:
        """In the thread: one shard."""
        items = [self._item(line) for line in lines]
        one_each = self._store.one_each
        name = file_name(lines[0].id, self._store.suffix) if one_each else f"features-{number:06d}{self._store.suffix}"
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_path(path, to_disk=not one_each) as temporary:
            keys = self._store.write(temporary, items)
        return [replace(line, path=name, key=key) for line, key in zip(lines, keys, strict=True)]

    def _spooled_item(self, line: ManifestLine) -> Item:
        return Item(line.id, (line.frames, line.channels), np.dtype(line.dtype), lambda: self._spooled_blocks(line))

    def _spooled_blocks(self, line: ManifestLine) -> Iterator[Rows]:
        item = npy_item(line.id, self._out / line.path)
        if (item.shape, item.dtype.name) != ((line.frames, line.channels), line.dtype):
            raise ValueError(
                f"{self._out / line.path} holds {item.shape} {item.dtype.name}, expected "
                f"{(line.frames, line.channels)} {line.dtype}; another run writes to {self._out}: let one finish first."
            )
        yield from item.blocks()


def next_number(named: Iterable[str]) -> int:
    """Number of the shard after those that a manifest's paths name.

    >>> next_number(["features-000001.ark", "features-000000.ark"]), next_number(["a.npy"])
    (2, 0)
    """
    shards = filter(None, map(SHARD_NAME.fullmatch, named))
    return max((int(shard[1]) + 1 for shard in shards), default=0)


def remove_orphans(out: Path, named: set[str]) -> None:
    """Delete what a killed packer left in `out`: shards that no line of the manifest names, and half shards.

    Args:
        out: folder of the manifest; its subfolders are left alone.
        named: every `path` in the manifest.
    """
    suffixes = {store.suffix for store in STORES.values() if not store.one_each}
    for path in list(out.iterdir()):
        shard = SHARD_NAME.fullmatch(path.name)
        orphan = shard is not None and shard[2] in suffixes and path.name not in named
        if orphan or path.match(f"{TEMPORARY}*{SUFFIX}"):
            path.unlink(missing_ok=True)
