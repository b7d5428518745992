"""The hdf5 store: a dataset of (frames, channels) for each id, all in the root group; read by h5py, ESPnet, MATLAB.

A slash would make groups, and an id "a" beside "a/b" impossible: it is percent-encoded, so `for key in file` is all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from speechconv.stores.ids import encode, is_text
from speechconv.stores.item import Item, Rows
from speechconv.stores.store import Store, library

OVERHEAD = 4096
"""Bytes that HDF5 needs beside a dataset's rows and its name; 3 KB for the first, 0.4 KB for many."""


def dataset_name(id: str) -> str:
    """The id as the name of a dataset.

    >>> dataset_name("spk/utt.2"), dataset_name(".")
    ('spk%2Futt.2', '%2E')
    """
    name = encode(id, lambda char: char not in "/\0" and is_text(char))
    return name if name.strip(".") else encode(id, lambda char: False)


def write(path: Path, items: Sequence[Item]) -> list[str]:
    h5py = library("h5py", "hdf5")
    keys = [dataset_name(item.id) for item in items]
    h5py.File(path, "w").close()
    _reserve(path, sum(item.nbytes + OVERHEAD + 4 * len(key.encode()) for key, item in zip(keys, items, strict=True)))
    try:
        with h5py.File(path, "r+") as file:
            for key, item in zip(keys, items, strict=True):
                _write_dataset(file.create_dataset(key, item.shape, item.dtype), item)
    except (OSError, RuntimeError) as error:
        if told := re.search(r"errno = (\d+)", str(error)):
            raise OSError(int(told[1]), os.strerror(int(told[1])), str(path)) from error
        raise
    return keys


def _reserve(path: Path, size: int) -> None:
    """Take the room from the disk before HDF5 needs it: one that gets none in the middle of a file ends the process.
    What is too much of it goes back when the file is closed."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "rb+") as file:
            os.posix_fallocate(file.fileno(), 0, OVERHEAD + path.stat().st_size + size)


def _write_dataset(dataset: Any, item: Item) -> None:
    start = 0
    for block in item.blocks():
        dataset[start : start + len(block)] = block
        start += len(block)


class Hdf5:
    """A shard; an id is a name away."""

    def __init__(self, path: Path) -> None:
        self._file = library("h5py", "hdf5").File(path, "r")

    def read(self, key: str) -> Rows:
        return self._file[key][()]

    def keys(self) -> Iterator[str]:
        return iter(self._file)

    def close(self) -> None:
        self._file.close()


HDF5 = Store("hdf5", ".h5", write, Hdf5, library="h5py", extra="hdf5")
