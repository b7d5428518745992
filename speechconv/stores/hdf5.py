"""The hdf5 store: a dataset of (frames, channels) for each id, all in the root group; read by h5py, ESPnet, MATLAB.

A slash would make groups, and an id "a" beside "a/b" impossible: it is percent-encoded, so `for key in file` is all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speechconv.stores.ids import encode, is_text
from speechconv.stores.item import Item, Rows
from speechconv.stores.store import Store, library


def dataset_name(id: str) -> str:
    """The id as the name of a dataset.

    >>> dataset_name("spk/utt.2"), dataset_name(".")
    ('spk%2Futt.2', '%2E')
    """
    name = encode(id, lambda char: char not in "/\0" and is_text(char))
    return name if name.strip(".") else encode(id, lambda char: False)


def write(path: Path, items: Sequence[Item]) -> list[str]:
    keys = [dataset_name(item.id) for item in items]
    with library("h5py", "hdf5").File(path, "w") as file:
        for key, item in zip(keys, items, strict=True):
            dataset = file.create_dataset(key, item.shape, item.dtype)
            start = 0
            for block in item.blocks():
                dataset[start : start + len(block)] = block
                start += len(block)
    return keys


class Hdf5:
    """A shard; an id is a name away."""

    def __init__(self, path: Path) -> None:
        self._file = library("h5py", "hdf5").File(path, "r")

    def read(self, key: str) -> Rows:
        return self._file[key][()]

    def close(self) -> None:
        self._file.close()


HDF5 = Store("hdf5", ".h5", write, Hdf5, library="h5py", extra="hdf5")
