"""Features by their line of the manifest, whatever the store: the shards that were read last stay open."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from speechconv.stores.item import Rows, byte_view
from speechconv.stores.manifest import ManifestLine
from speechconv.stores.registry import store_of
from speechconv.stores.store import Shard

LIMIT = 64
"""Open shards; a process may have some hundreds of files."""

BROKEN = (OSError, ValueError, TypeError, RuntimeError, AttributeError, EOFError)
"""What the stores' libraries raise about a damaged file."""


class DamagedFeatures(ValueError):
    """The features of one id are missing, or not what the manifest says."""


class MissingFeatures(DamagedFeatures, FileNotFoundError):
    """The features of one id are not there."""


class OpenShards:
    """The shards of one folder; a context manager.

    Args:
        folder: that holds the manifest whose lines will be asked for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[str, Shard] = OrderedDict()

    def __enter__(self) -> OpenShards:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close them all; a later read opens its shard again."""
        while self._open:
            self._open.popitem()[1].close()

    def read(self, line: ManifestLine) -> Rows:
        """Features of the shape and dtype that the line tells; their bytes are not compared.

        Raises:
            DamagedFeatures: they are not there, or not so.
            ImportError: the store's library is not installed.
        """
        try:
            rows = self._shard(line.path).read(line.key or "")
        except FileNotFoundError:
            raise MissingFeatures(f"{line.path} is missing") from None
        except KeyError:
            raise MissingFeatures(f"{line.path} holds nothing named {line.key!r}") from None
        except BROKEN as error:
            raise DamagedFeatures(f"{line.path} is damaged: {str(error).rstrip('.')}") from error
        if rows.size == 0 == line.frames:
            rows = rows.reshape(0, line.channels)
        if (rows.shape, rows.dtype.name) != ((line.frames, line.channels), line.dtype):
            raise DamagedFeatures(
                f"{line.path} holds {_described(rows.shape, rows.dtype)}, "
                f"the manifest says {_described((line.frames, line.channels), np.dtype(line.dtype))}"
            )
        return rows

    def keys(self, path: str) -> Iterator[str]:
        """Keys of all features in the file of that path; raises as `read`."""
        try:
            yield from self._shard(path).keys()
        except FileNotFoundError:
            raise MissingFeatures(f"{path} is missing") from None
        except BROKEN as error:
            raise DamagedFeatures(f"{path} is damaged: {str(error).rstrip('.')}") from error

    def _shard(self, path: str) -> Shard:
        shard = self._open.get(path)
        if shard is None:
            while len(self._open) >= LIMIT:
                self._open.popitem(last=False)[1].close()
            shard = self._open[path] = store_of(path).open(self._folder / path)
        self._open.move_to_end(path)
        return shard


def explained(error: DamagedFeatures, folder: Path, line: ManifestLine) -> DamagedFeatures:
    """The same about the features of `line` in `folder`, with what to do."""
    first = f"delete {line.path}, and " if (folder / line.path).exists() else ""
    return type(error)(
        f"no features of {line.id!r}: in {folder}, {error}; `speechconv check {folder}` says what else is wrong; "
        f"{first}the same `extract` command makes them again."
    )


def digest(rows: Rows) -> str:
    """sha256 of the features as the manifest has it."""
    return hashlib.sha256(byte_view(rows)).hexdigest()


def _described(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{' x '.join(map(str, shape))} {dtype.name}"
