"""A file that gets its name only when all of it is there."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from speechconv.stores.ids import TEMPORARY

_numbers = itertools.count()


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
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{next(_numbers)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
