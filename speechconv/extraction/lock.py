"""One run at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from speechconv.stores.ids import TEMPORARY

LOCK = f"{TEMPORARY}lock"


@contextmanager
def only_run_in(
    out: Path, *, run: str = "extract", instead: str = "choose another folder, or give each a --shard"
) -> Iterator[None]:
    """Make the folder, and keep other runs out of it until the end, however it comes.

    Args:
        out: the folder.
        run: what is at work in it, for the error.
        instead: what to do but wait, for the error.

    Raises:
        ValueError: another run is at work in it.
    """
    out.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(out)
    if descriptor is None:
        raise ValueError(f"another {run} is at work in {out}; wait for it, {instead}.")
    try:
        yield
    finally:
        (out / LOCK).unlink(missing_ok=True)
        os.close(descriptor)


def _locked(out: Path) -> int | None:
    """The lock's descriptor, or None where another has it; a lock that its owner has deleted meanwhile keeps nobody
    out, and is taken anew."""
    while True:
        descriptor = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(out / LOCK)):
                return descriptor
        os.close(descriptor)
