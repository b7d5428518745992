"""A file that gets its name only when all of it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from speechconv.stores.feature_file import SUFFIX
from speechconv.stores.ids import TEMPORARY


@contextmanager
def whole_path(path: Path, *, to_disk: bool = True) -> Iterator[Path]:
    """Where to write what shall be `path`: it gets the name when the block ends well; else nothing stays.

    A path that is there and is no file, such as /dev/stdout, comes as it is.

    Args:
        path: of a file in a folder that is there.
        to_disk: the bytes are forced to disk first, so that not even a power failure makes the name a lie.
    """
    if path.exists() and not path.is_file():  # a pipe or a device, such as /dev/stdout, is written to and not replaced
        yield path
        return
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{path.name}{SUFFIX}"
    try:
        yield temporary
        if to_disk:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A new file, open for writing; it takes the place of `path` at the end, or is forgotten where that is an error.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder, "x.txt")) as file:
    ...         size = file.write(b"all of it")
    ...     Path(folder, "x.txt").read_text()
    'all of it'
    """
    with whole_path(path, to_disk=False) as temporary, open(temporary, "wb") as file:
        yield file
        file.flush()


@contextmanager
def whole_text(path: Path) -> Iterator[TextIO]:
    """A text file that is there when all of it is written; UTF-8."""
    with whole_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        yield file
        file.flush()
