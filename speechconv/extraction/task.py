"""What an engine works on, and what comes back."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from speechconv.extraction.inputs import Input
from speechconv.extraction.recipe import Facts
from speechconv.stores.manifest import Line

HANDFUL = 32
"""Inputs that are worked on together at most."""


@dataclass(slots=True)
class Task:
    """An input and its place in the order of all.

    Attributes:
        index: its place.
        item: the input.
        deaths: workers that have died with it in hand.
    """

    index: int
    item: Input
    deaths: int = 0


Results = Generator[tuple[int, Line], None, None]
"""(index, line) of each task, in the order in which they get done."""


@dataclass
class Stop:
    """A wish to end early: what is in hand gets done, nothing else is begun."""

    requested: bool = False


class Engine(Protocol):
    """Does tasks: in this process, in workers, on a cluster."""

    def facts(self) -> Facts:
        """What the recipe came to.

        Raises:
            ValueError, TypeError, FileNotFoundError: it cannot be made.
        """
        ...

    def run(self, tasks: Iterable[Task], stop: Stop) -> Results:
        """(index, line) of each task, in the order in which they get done; closing it ends all work.

        Args:
            tasks: what to do; taken from as there is room.
            stop: asks to end early; tasks that were not begun then give no line.

        Raises:
            OSError: the disk is full.
            RuntimeError: it cannot go on.
        """
        ...

    def kill(self) -> None:
        """End all work now; harmless when it has ended."""
        ...
