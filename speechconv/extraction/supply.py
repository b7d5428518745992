"""Tasks in handfuls of about equal work: many short sounds, or one long one, behind which none has to wait."""

from __future__ import annotations

import os
from collections.abc import Iterable

from speechconv.extraction.inputs import Input
from speechconv.extraction.task import Task

LONG = 1 << 20
"""Bytes of a sound that is a handful of its own, and of all in a handful: half a minute of 16 bits at 16 kHz."""
BYTES_A_SECOND = 1 << 15
"""Taken for the part of a file that a segment is."""


class Supply:
    """Gives out tasks, handful by handful.

    Args:
        tasks: taken from as handfuls are asked for.

    Attributes:
        is_long: the next handful is one long sound.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._next: Task | None = None
        self._bytes = 0
        self._advance()

    def __bool__(self) -> bool:
        """Whether any are left."""
        return self._next is not None

    @property
    def is_long(self) -> bool:
        return self._bytes >= LONG

    def handful(self, most: int) -> list[Task]:
        """The next tasks, at most so many; none when there are no more."""
        handful: list[Task] = []
        total = 0
        while self._next is not None and len(handful) < most and (not handful or total + self._bytes < LONG):
            handful.append(self._next)
            total += self._bytes
            self._advance()
        return handful

    def _advance(self) -> None:
        self._next = next(self._tasks, None)
        self._bytes = 0 if self._next is None else _bytes(self._next.item)


def _bytes(item: Input) -> int:
    """About how much there is to read; what cannot be asked is short, and fails soon."""
    if item.duration is not None:
        return int(item.duration * BYTES_A_SECOND)
    if item.is_command:
        return LONG
    try:
        return os.stat(item.audio).st_size
    except OSError:
        return 0
