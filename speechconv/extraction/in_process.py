"""The engine for one job: everything in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from speechconv.extraction.pipelines import one_torch_thread
from speechconv.extraction.recipe import Facts, Recipe
from speechconv.extraction.task import Results, Stop, Task
from speechconv.extraction.worker import Extractor


class InProcess:
    """Does one task after the other.

    Args:
        recipe: what to make of every input.

    Raises:
        ValueError, TypeError, FileNotFoundError: the recipe cannot be made.
    """

    def __init__(self, recipe: Recipe) -> None:
        with one_torch_thread():
            self._extractor = Extractor(recipe)

    def facts(self) -> Facts:
        """What the recipe came to."""
        return self._extractor.facts

    def run(self, tasks: Iterable[Task], stop: Stop) -> Results:
        """(index, line) of every task as it gets done.

        Raises:
            OSError: the disk is full.
        """
        lines = self._extractor.lines(_until(stop, tasks))
        while True:
            with one_torch_thread():
                done = next(lines, None)
            if done is None:
                return
            yield done

    def kill(self) -> None:
        """Nothing goes on behind us."""


def _until(stop: Stop, tasks: Iterable[Task]) -> Iterator[Task]:
    for task in tasks:
        if stop.requested:
            return
        yield task
