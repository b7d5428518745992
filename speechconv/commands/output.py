"""Results to stdout, talk to stderr; whoever goes away does no harm."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class ReaderGone(Exception):
    """Whoever read stdout has gone away; other pipes that break are faults."""


def print_result(result: str | bytes) -> None:
    """A result to stdout, at once."""
    if sys.stdout is None:
        raise ValueError("stdout is closed; expected somewhere to write the result to.")
    with reader_may_go():
        if isinstance(result, bytes):
            sys.stdout.buffer.write(result)
        else:
            sys.stdout.write(result)
        sys.stdout.flush()


@contextmanager
def reader_may_go() -> Iterator[None]:
    """What is written to stdout inside ends in ReaderGone when nobody reads it any more."""
    try:
        yield
    except BrokenPipeError:
        _lead_nowhere(sys.stdout)
        raise ReaderGone from None


def say(line: str) -> None:
    """Talk to stderr; that nobody listens changes nothing."""
    if sys.stderr is None:
        return
    try:
        print(line, file=sys.stderr)
    except OSError:
        _lead_nowhere(sys.stderr)


def _lead_nowhere(stream: TextIO) -> None:
    """Python flushes once more at exit, and would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
