"""One run at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speechconv.stores.ids import TEMPORARY

LOCK = f"{TEMPORARY}lock"


@contextmanager
def only_run_in(out: Path) -> Iterator[None]:
    """Make the folder, and keep other runs out of it until the end, however it comes.

    Raises:
        ValueError: another run is at work in it.
    """
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another extract is at work in {out}; wait for it, choose another folder, or give each a --shard."
            ) from None
        yield
        (out / LOCK).unlink(missing_ok=True)
    finally:
        os.close(descriptor)
