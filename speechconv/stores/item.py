"""Features on their way into a store, block by block, so that an hour of them needs no more memory than a second."""

from __future__ import annotations

import io
import math
import os
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
"""Bytes of a block, about."""

Rows = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Item:
    """The features of one id.

    Attributes:
        id: as in the manifest.
        shape: (frames, channels).
        dtype: float32 or float16, little-endian.
        blocks: gives the rows, some at a time and in order, each time it is called.
    """

    id: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    blocks: Callable[[], Iterable[Rows]]

    @property
    def nbytes(self) -> int:
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


def array_item(id: str, rows: Rows) -> Item:
    """`rows` (frames, channels) as an item."""
    if rows.ndim != 2:
        raise ValueError(f"expected features of shape (frames, channels), got {rows.shape}.")
    data = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
    return Item(id, data.shape, data.dtype, lambda: (data,))


def npy_item(id: str, path: Path) -> Item:
    """A .npy of (frames, channels) as an item; it is read when the blocks are asked for.

    Raises:
        ValueError, OSError: it is none.
    """
    with open(path, "rb") as file:
        shape, dtype = read_npy_header(file)
        start = file.tell()
    if len(shape) != 2:
        raise ValueError(f"{path} holds an array of shape {shape}; expected (frames, channels).")
    return Item(id, shape, dtype, lambda: _file_blocks(path, start, shape, dtype))


def read_npy_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of a .npy, whose rows begin where `file` stands then.

    Raises:
        ValueError: no .npy of rows, or of Python objects.
    """
    major, _ = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except tokenize.TokenError as error:  # numpy parses anew what may be a header of Python 2
        raise ValueError(f"no header of a .npy ({error}).") from None
    if fortran or dtype.hasobject:
        raise ValueError(f"a .npy of {dtype} in {'column' if fortran else 'row'} order; expected rows of numbers.")
    return shape, dtype


def npy_header(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    """What stands before the rows in a .npy."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": dtype.str, "fortran_order": False, "shape": (int(shape[0]), int(shape[1]))}
    )
    return header.getvalue()


def read_rows(file: BinaryIO, shape: tuple[int, int], dtype: np.dtype[Any]) -> Rows:
    """Rows from where `file` stands.

    Raises:
        ValueError: the file ends before them.
    """
    size = math.prod(shape) * dtype.itemsize
    there = os.fstat(file.fileno()).st_size - file.tell()
    if there < size:  # asked first: a damaged header may ask for more memory than there is
        raise ValueError(f"the file ends after {max(0, there)} of the {size} bytes of these features.")
    rows = np.empty(shape, dtype)
    if (count := file.readinto(byte_view(rows))) != size:  # pyright: ignore[reportAttributeAccessIssue] - a file has it
        raise ValueError(f"the file ends after {count} of the {size} bytes of these features.")
    return rows


def write_rows(file: BinaryIO, item: Item) -> None:
    """An item's bytes, row by row."""
    for block in item.blocks():
        file.write(byte_view(block))


def byte_view(rows: Rows) -> memoryview:
    """The bytes of rows, one after the other, as the manifest's sha256 takes them; no copy of what lies so already."""
    return np.ascontiguousarray(rows, rows.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data


def _file_blocks(path: Path, start: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> Iterator[Rows]:
    rows = max(1, BLOCK // max(1, shape[1] * dtype.itemsize))
    with open(path, "rb") as file:
        file.seek(start)
        for first in range(0, shape[0], rows):
            yield read_rows(file, (min(rows, shape[0] - first), shape[1]), dtype)
