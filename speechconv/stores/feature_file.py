"""One .npy of float32 or float16 rows that grows row by row and is visible only when it is whole.

    .speechconv-HOST-ID.tmp     a header of fixed size that still says 0 frames, then rows
    commit                      the header gets the number of frames, the file gets its name

Rows that come all at once go out in one call, header included. A thread writes one file at a time, so its number names
the temporary file; a later run finds what a killed one left.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from speechconv.checks import check_choice
from speechconv.stores.ids import TEMPORARY
from speechconv.stores.manifest import ManifestLine

Dtype = Literal["float32", "float16"]
SUFFIX = ".tmp"


class FeatureFile:
    """Rows of features on their way to `path`; a context manager that leaves nothing behind unless committed.

    Args:
        path: ends in .npy; its folder is made.
        channels: of each row.
        dtype: that is stored.

    Attributes:
        frames: rows written so far.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, FeatureFile(Path(folder, "a", "x.npy"), 80) as features:
        ...     features.append(np.ones((3, 80), np.float32))
        ...     digest = features.commit()
        ...     np.load(Path(folder, "a", "x.npy")).shape, len(digest)
        ((3, 80), 64)
    """

    def __init__(self, path: Path, channels: int, dtype: Dtype = "float32") -> None:
        check_choice("dtype", dtype, get_args(Dtype))
        self.path = path
        self.channels = channels
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.frames = 0
        self._digest = hashlib.sha256()
        self._temporary = temporary_name(path.parent, threading.get_native_id())
        self._descriptor: int | None = None
        self._is_half = False
        self._first: memoryview | None = None

    def __enter__(self) -> FeatureFile:
        return self

    def __exit__(self, *_: object) -> None:
        """Close; unless it was committed, forget all of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        if self._is_half:
            self._temporary.unlink(missing_ok=True)

    def append(self, rows: NDArray) -> None:
        """Add (n, channels) rows, n >= 0."""
        if rows.shape[1:] != (self.channels,):
            raise ValueError(f"expected rows of shape (n, {self.channels}), got {rows.shape}.")
        if not len(rows):
            return
        data = np.ascontiguousarray(rows, self.dtype).data.cast("B")
        self._digest.update(data)
        if self._descriptor is None and self._first is None:
            self._first = data
        else:
            _write(self._begin(), data)
        self.frames += len(rows)

    def commit(self) -> str:
        """Give the file its name: from now on it is there, whole, whatever becomes of this process.

        Returns:
            sha256 of the rows, hexadecimal; the header is not in it.

        Nothing is forced to disk, which would take longer than the features of a short file: a power failure may cost
        the last seconds of a run, and the manifest's sha256 tells which files.
        """
        if self._descriptor is None:
            descriptor = self._begin()
        else:
            descriptor = self._descriptor
            os.lseek(descriptor, 0, os.SEEK_SET)
            _write(descriptor, self._header())
        os.close(descriptor)
        self._descriptor = None
        os.replace(self._temporary, self.path)
        self._is_half = False
        return self._digest.hexdigest()

    def _begin(self) -> int:
        """The file's descriptor; a new file gets the rows that are there so far."""
        if self._descriptor is None:
            self._descriptor = _created(self._temporary)
            self._is_half = True
            _write(self._descriptor, self._header() + (self._first or b""))
            self._first = None
        return self._descriptor

    def _header(self) -> bytes:
        return _header(self.dtype.str, self.frames, self.channels)


@lru_cache(maxsize=4096)
def _header(dtype: str, frames: int, channels: int) -> bytes:
    """numpy leaves room in it for any number of rows, so its size never changes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": (frames, channels)})
    return file.getvalue()


def _write(descriptor: int, data: bytes | memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def is_whole(out: Path, line: ManifestLine) -> bool:
    """Whether the .npy that `line` names below `out` is there and as long as it says; a power failure may cut one."""
    data = line.frames * line.channels * np.dtype(line.dtype).itemsize
    header = len(_header(np.dtype(line.dtype).newbyteorder("<").str, line.frames, line.channels))
    try:
        return os.path.getsize(out / line.path) == header + data
    except OSError:
        return False


def _created(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)


def temporary_name(folder: Path, thread: int) -> Path:
    """Where a thread of this machine writes the file that it is about to finish in `folder`; a process's first thread
    has the process's number."""
    return folder / f"{TEMPORARY}{os.uname().nodename}-{thread}{SUFFIX}"


def remove_temporaries(folder: Path) -> None:
    """Delete what a killed run left anywhere below `folder`."""
    for left_over in folder.rglob(f"{TEMPORARY}*{SUFFIX}"):
        left_over.unlink(missing_ok=True)
