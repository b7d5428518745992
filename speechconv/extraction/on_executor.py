"""The engine over any executor of `concurrent.futures`: processes, threads, Dask's cluster.

Each call does a handful of inputs and gives back their lines; the features are written where the call runs, so the
output folder must be the same everywhere. A call that another worker repeats gives the same bytes. Where an executor
gives a call up, as Dask does with what waited beside others that killed workers, its inputs are tried again at the end,
one at a time with nothing beside them; one that is lost again becomes an error line.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from itertools import islice
from typing import Any

from speechconv.disk import is_disk_full
from speechconv.extraction.order import (
    Order,
    anywhere,
    as_found,
    facts_of,
    lost_line,
    pack_recipe,
    pack_tasks,
    placed,
    work_through,
)
from speechconv.extraction.recipe import Facts, Recipe
from speechconv.extraction.task import Results, Stop, Task
from speechconv.stores.manifest import Line

HANDFUL = 8
"""Inputs of one call, times the sounds that go through the pipeline together."""
CALLS = 256
"""Calls that wait or run at a time, so that a corpus of any size fits."""
TICK = 0.2
"""Seconds between two looks at Ctrl-C."""
GRACE = 1.0
"""Seconds that calls in hand have to finish when their results are not wanted any more."""

Call = Future[list[tuple[int, Line]]]


class OnExecutor:
    """Hands out inputs to an executor; it stays its owner's, who shuts it down.

    Args:
        recipe: what to make of every input.
        executor: that runs the calls.

    Raises:
        TypeError: a pipeline that cannot be sent to another process.
        RuntimeError: the executor takes no calls.
    """

    def __init__(self, recipe: Recipe, executor: Executor) -> None:
        self._recipe = anywhere(recipe)
        self._packed = pack_recipe(self._recipe, _dumps())
        self._executor = executor
        self._first = self._call(facts_of, self._packed)

    def facts(self) -> Facts:
        """What the recipe came to where the executor works.

        Raises:
            ValueError, TypeError, FileNotFoundError: it cannot be made.
            RuntimeError: the executor broke.
        """
        try:
            return self._first.result()
        except (ValueError, TypeError, FileNotFoundError):
            raise
        except Exception as error:
            raise _broken(error) from error

    def run(self, tasks: Iterable[Task], stop: Stop) -> Results:
        """(index, line) of each task, in the order in which they get done.

        Raises:
            OSError: the disk is full.
            RuntimeError: the executor broke, as one of processes does when one of them dies.
        """
        size = HANDFUL * (self._recipe.batch or 1)
        coming = iter(tasks)
        with placed(self._recipe, self._packed, self.facts()) as order:
            lost: list[Task] = []
            yield from self._work(order, iter(lambda: list(islice(coming, size)), []), CALLS, stop, lost)
            again: list[Task] = []
            yield from self._work(order, iter([[task] for task in lost]), 1, stop, again)
            for task in again:
                yield task.index, lost_line(task)

    def kill(self) -> None:
        """Calls in hand end by themselves: their order is withdrawn."""

    def _work(
        self,
        order: Order,
        handfuls: Iterator[list[Task]],
        at_a_time: int,
        stop: Stop,
        lost: list[Task],
    ) -> Results:
        """Work through handfuls; `lost` gets the tasks of calls that were given up."""
        calls: dict[Call, list[Task]] = {}
        try:
            while True:
                while len(calls) < at_a_time and not stop.requested and (handful := next(handfuls, None)):
                    calls[self._call(work_through, order, pack_tasks(handful))] = handful
                if not calls:
                    return
                for call in wait(calls, TICK, FIRST_COMPLETED).done:
                    handful = calls.pop(call)
                    if _given_up(call):
                        lost += [Task(task.index, task.item, task.deaths + 1) for task in handful]
                    else:
                        yield from self._lines(call, handful, stop)
                if stop.requested:  # not cancel(): Dask's futures do not know whether they run, and all would go
                    order.withdraw()
        finally:
            if calls:
                order.withdraw()
                wait([call for call in calls if not call.cancel()], GRACE)

    def _lines(self, call: Call, handful: list[Task], stop: Stop) -> Results:
        lines = dict(call.result())
        if len(lines) < len(handful) and not stop.requested:
            raise RuntimeError(
                f"a worker does not see {self._recipe.folder} as it is here; all machines must have it under this path."
            )
        for task in handful:
            if task.index in lines:
                yield task.index, as_found(task, lines[task.index])

    def _call(self, function: Any, *arguments: Any) -> Future[Any]:
        try:
            return self._executor.submit(function, *arguments)
        except RuntimeError as error:
            raise _broken(error) from error


def _given_up(call: Call) -> bool:
    """Whether the executor gave the call up, but not more.

    Raises:
        OSError: the disk is full.
        RuntimeError: the executor broke, or no call can succeed.
    """
    try:
        error = call.exception()
    except CancelledError as cancelled:  # by another hand: the cluster was closed
        raise _broken(cancelled) from cancelled
    if isinstance(error, OSError) and is_disk_full(error):
        raise error
    if isinstance(error, RuntimeError | OSError | ImportError):  # BrokenExecutor is a RuntimeError
        raise _broken(error) from error
    return error is not None


def _broken(error: BaseException) -> RuntimeError:
    words = str(error) or type(error).__name__
    return RuntimeError(f"the executor broke ({words.rstrip('.')}); the same call again goes on from here.")


def _dumps() -> Any:
    """Dask's pickle, where it is installed, also takes layers that a script or notebook defines."""
    try:
        from cloudpickle import dumps
    except ImportError:
        return pickle.dumps
    return dumps
