"""The engine over any executor of `concurrent.futures`: processes, threads, Dask's cluster.

Each call does a handful of inputs and gives back their lines; the features are written where the call runs, so the
output folder must be the same everywhere. A process builds the pipeline once and keeps it. A call that another worker
repeats gives the same bytes.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import islice
from typing import Any

from speechconv.extraction.in_process import InProcess
from speechconv.extraction.inputs import Input
from speechconv.extraction.pipelines import one_torch_thread
from speechconv.extraction.recipe import Facts, Recipe
from speechconv.extraction.task import Results, Stop, Task
from speechconv.extraction.worker import Extractor
from speechconv.stores.manifest import ErrorLine, Line

HANDFUL = 8
"""Inputs of one call."""
CALLS = 64
"""Calls that wait or run at a time, so that a corpus of any size fits."""
TICK = 0.2
"""Seconds between two looks at Ctrl-C."""

_own = threading.local()
"""Each thread's extractor; threads share a process's memory, not the state of a stream."""


class OnExecutor:
    """Hands out inputs to an executor; it stays its owner's, who shuts it down.

    Args:
        recipe: what to make of every input.
        executor: that runs the calls.
    """

    def __init__(self, recipe: Recipe, executor: Executor) -> None:
        self._here = InProcess(recipe)
        self._packed = pickle.dumps(recipe)
        self._executor = executor

    def facts(self) -> Facts:
        """What the recipe came to."""
        return self._here.facts()

    def run(self, tasks: Iterable[Task], stop: Stop) -> Results:
        """(index, line) of each task, in the order in which they get done.

        Raises:
            OSError: the disk is full.
            RuntimeError: the executor broke, as one of processes does when one of them dies.
        """
        coming = iter(tasks)
        calls: dict[Future[list[tuple[int, Line]]], list[Task]] = {}
        try:
            while True:
                while len(calls) < CALLS and not stop.requested and (handful := list(islice(coming, HANDFUL))):
                    calls[self._call(handful)] = handful
                if not calls:
                    return
                for call in wait(calls, TICK, FIRST_COMPLETED).done:
                    yield from self._outcome(call, calls.pop(call))
                if stop.requested:
                    calls = {call: handful for call, handful in calls.items() if not call.cancel()}
        finally:
            for call in calls:
                call.cancel()

    def kill(self) -> None:
        """Calls that run already end by themselves."""

    def _call(self, handful: list[Task]) -> Future[list[tuple[int, Line]]]:
        try:
            return self._executor.submit(work_through, self._packed, [(task.index, task.item) for task in handful])
        except RuntimeError as error:
            raise _broken(error) from error

    def _outcome(self, call: Future[list[tuple[int, Line]]], handful: list[Task]) -> Iterator[tuple[int, Line]]:
        error = call.exception()
        if error is None:
            yield from call.result()
        elif isinstance(error, OSError):
            raise error
        elif isinstance(error, RuntimeError):  # BrokenExecutor among them
            raise _broken(error) from error
        else:
            for task in handful:
                message = f"the executor lost this input: {error}"
                yield task.index, ErrorLine(task.item.id, task.item.audio, "worker", type(error).__name__, message)


def work_through(packed: bytes, handful: list[tuple[int, Input]]) -> list[tuple[int, Line]]:
    """(index, line) of each input of a handful, in whatever process or thread this is."""
    if getattr(_own, "packed", None) != packed:
        with one_torch_thread():
            _own.extractor = Extractor(pickle.loads(packed))
        _own.packed = packed
    extractor: Any = _own.extractor
    with one_torch_thread():
        return list(extractor.lines(Task(index, item) for index, item in handful))


def _broken(error: BaseException) -> RuntimeError:
    return RuntimeError(f"the executor broke ({error or type(error).__name__}); the same call again goes on from here.")
