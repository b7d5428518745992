"""What a store is: one way to put the features of many ids into files, that its own ecosystem can read.

write(path, items) -> keys     a whole shard, by the name of each item in it
open(path)         -> Shard    read(key): random access; keys(): of all that is in it
index(out, lines)              files for the ecosystem's own tools, over all shards of a folder
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from speechconv.stores.item import Item, Rows
from speechconv.stores.manifest import ManifestLine


class Shard(Protocol):
    """A shard that is open for reading."""

    def read(self, key: str) -> Rows:
        """Features by their key; those without frames may come without channels too.

        Raises:
            KeyError, ValueError, OSError: not there, or damaged.
        """
        ...

    def keys(self) -> Iterator[str]:
        """Keys of all features in it, whether a manifest names them or not.

        Raises:
            ValueError, OSError: damaged.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Store:
    """One kind of files.

    Attributes:
        name: as `--store` takes it.
        suffix: of its shards.
        write: writes a shard, and gives the keys of the items in it.
        open: a shard, to read from.
        dtypes: that it can hold.
        index: writes the files named by `index_files` into a folder whose manifest has these lines.
        index_files: beside the shards.
        library: that it needs.
        extra: of speechconv, that brings the library.
        one_each: each item is a file of its own, named by its id.
    """

    name: str
    suffix: str
    write: Callable[[Path, Sequence[Item]], Sequence[str | None]]
    open: Callable[[Path], Shard]
    dtypes: tuple[str, ...] = ("float32", "float16")
    index: Callable[[Path, Iterable[ManifestLine]], None] = lambda out, lines: None
    index_files: tuple[str, ...] = ()
    library: str | None = None
    extra: str | None = None
    one_each: bool = False

    def check(self, dtype: str) -> None:
        """Before any work: can this store hold such features, here?

        Raises:
            ValueError: no, it cannot hold `dtype`.
            ImportError: its library is not installed.
        """
        if dtype not in self.dtypes:
            raise ValueError(
                f"dtype (={dtype!r}) must be {' or '.join(self.dtypes)} for the store {self.name!r}: choose that "
                "(--dtype), or another store (--store)."
            )
        if self.library is not None and self.extra is not None:
            library(self.library, self.extra)


def library(name: str, extra: str) -> Any:
    """A module that not everyone has.

    Raises:
        ImportError: says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"this store needs {name} ({error}): pip install 'speechconv[{extra}]'") from error
