"""The npy store: a file for each id, mirroring the ids' folders; read by numpy, and by lhotse's numpy_files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from speechconv.stores.item import Item, Rows, npy_header, read_npy_header, read_rows, write_rows
from speechconv.stores.store import Store


def write(path: Path, items: Sequence[Item]) -> list[None]:
    (item,) = items
    with open(path, "wb") as file:
        file.write(npy_header(item.shape, item.dtype))
        write_rows(file, item)
    return [None]


class NpyFile:
    """A .npy; the only thing in it has no key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, key: str) -> Rows:
        with open(self._path, "rb") as file:
            shape, dtype = read_npy_header(file)
            if len(shape) != 2:
                raise ValueError(f"an array of shape {shape}; expected (frames, channels).")
            rows = read_rows(file, shape, dtype)
            if file.read(1):
                raise ValueError("there is more in the file than its header tells.")
            return rows

    def keys(self) -> Iterator[str]:
        return iter([""])

    def close(self) -> None:
        """Nothing stays open."""


NPY = Store("npy", ".npy", write, NpyFile, one_each=True)
