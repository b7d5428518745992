"""Many worker processes, any of which may die or hang.

    parent -> worker    [Task, ...]: a handful, while the last one is worked on;  []: forget those you have not begun
    worker -> parent    Facts: ready;  [(index, Line), ...]: done;  Forgotten;  an Exception: it cannot go on

A worker whose pipe ends has died. What it had been given goes to others one by one, each alone, so that none can take
others with it; what is with a worker that dies a second time becomes an error line. The other end of the pipe is
`worker_process`.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import pickle
import signal
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from speechconv.extraction.recipe import Facts, Recipe
from speechconv.extraction.supply import Supply
from speechconv.extraction.task import HANDFUL, Results, Stop, Task
from speechconv.extraction.worker_process import Forgotten, work
from speechconv.stores.feature_file import temporary_name
from speechconv.stores.ids import file_name
from speechconv.stores.manifest import ErrorLine, Line, ManifestLine

TICK = 0.2
"""Seconds between two looks at timeouts and at Ctrl-C."""
MOMENT = 0.2
"""Seconds that a handful shall take."""
DEATHS = 2
"""Workers that an input may take down before it is given up."""
STILLBORN = 5
"""Workers in a row that may be killed before they are ready."""


@dataclass
class _Worker:
    """A process, and what it was given: the first task is in hand."""

    process: SpawnProcess
    tasks: deque[Task] = field(default_factory=deque)
    ready: bool = False
    since: float = 0.0
    alone: bool = False
    recalled: bool = False
    handful: int = 1

    def keep_pace(self, lines: list[tuple[int, Line]]) -> None:
        """The next handful shall keep it busy for a moment."""
        self.since = time.monotonic()
        seconds = [line.seconds for _, line in lines if isinstance(line, ManifestLine)]
        if seconds:
            self.handful = max(1, min(HANDFUL, int(MOMENT * len(seconds) / max(sum(seconds), 1e-6))))

    def drop(self, indices: Collection[int]) -> None:
        self.tasks = deque(task for task in self.tasks if task.index not in indices)


class Supervisor:
    """Hands out inputs to worker processes and collects their lines. The workers start at once.

    Args:
        recipe: what to make of every input.
        workers: processes at the same time, >= 1.
        timeout: seconds after which an input is given up; None: never.
    """

    def __init__(self, recipe: Recipe, workers: int, *, timeout: float | None = None) -> None:
        self._recipe = recipe
        self._packed = pickle.dumps(recipe)
        self._timeout = timeout
        self._handful = HANDFUL if timeout is None else 1  # whose time it is must be known
        self._workers: dict[Connection, _Worker] = {}
        self._waiting: deque[Task] = deque()
        self._stillborn = 0
        atexit.register(self.kill)  # multiprocessing waits for workers at exit, and these do not hear its SIGTERM
        for _ in range(workers):
            self._start()

    def facts(self) -> Facts:
        """What the recipe came to in the first worker that is ready.

        Raises:
            ValueError, TypeError, FileNotFoundError: the recipe cannot be made.
            RuntimeError: a worker could not start.
        """
        try:
            for connection in self._heard_of():
                message = self._received(connection)
                if isinstance(message, Facts):
                    self._workers[connection].ready = True
                    return message
                if message is not None:
                    raise message
                self._replace(connection)
        except BaseException:
            self.kill()
            raise
        raise AssertionError("workers are heard of until one is ready or dies")

    def run(self, tasks: Iterable[Task], stop: Stop) -> Results:
        """(index, line) of every task, in the order in which they are done. Closing the iterator ends all workers.

        Args:
            tasks: what to do.
            stop: asks to end early; tasks that were not begun then give no line.

        Raises:
            OSError: the disk is full.
            RuntimeError: a worker could not start.
        """
        coming = Supply(tasks)
        try:
            self._feed_all(coming, stop)
            while not self._is_over(coming, stop):
                for connection in wait(list(self._workers), TICK):
                    yield from self._hear(connection, stop)  # pyright: ignore[reportArgumentType] - wait gives back what it got
                if stop.requested:
                    self._recall()
                yield from self._give_up_late_ones(stop)
                self._feed_all(coming, stop)
        finally:
            self.kill()

    def kill(self) -> None:
        """End all workers now, and what they were writing."""
        for connection, worker in self._workers.items():
            worker.process.kill()
            worker.process.join()
            connection.close()
            self._clean_up(worker)
        self._workers.clear()
        atexit.unregister(self.kill)

    def _is_over(self, coming: Supply, stop: Stop) -> bool:
        if any(worker.tasks for worker in self._workers.values()):
            return False
        return stop.requested or not (self._waiting or coming)

    def _heard_of(self) -> Iterator[Connection]:
        while True:
            yield from wait(list(self._workers))  # pyright: ignore[reportReturnType] - wait gives back what it got

    def _received(self, connection: Connection) -> Any:
        """The worker's message; None where it has died."""
        try:
            return connection.recv()
        except (EOFError, OSError):  # also "got end of file during message"
            return None

    def _hear(self, connection: Connection, stop: Stop) -> Iterator[tuple[int, Line]]:
        worker = self._workers[connection]
        match self._received(connection):
            case None:
                yield from self._bury(connection, stop)
            case Facts():
                worker.ready = True
                self._stillborn = 0
            case list(lines):
                worker.drop({index for index, _ in lines})
                worker.keep_pace(lines)
                yield from lines
            case Forgotten(indices):
                worker.drop(indices)
            case error:
                raise error

    def _feed_all(self, coming: Supply, stop: Stop) -> None:
        if stop.requested:
            return
        for connection, worker in list(self._workers.items()):
            if worker.ready:
                self._feed(connection, worker, coming)

    def _feed(self, connection: Connection, worker: _Worker, coming: Supply) -> None:
        """One more handful for a worker that has at most one; what has killed a worker and what is long goes alone."""
        most = min(self._handful, worker.handful)
        if len(worker.tasks) > most or (worker.alone and worker.tasks):
            return
        alone = bool(self._waiting) or coming.is_long
        if alone and worker.tasks:
            return
        handful = [self._waiting.popleft()] if self._waiting else coming.handful(most)
        if not handful:
            return
        worker.alone = alone
        if not worker.tasks:
            worker.since = time.monotonic()
        worker.tasks.extend(handful)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its death is heard of next
            connection.send(handful)

    def _bury(self, connection: Connection, stop: Stop) -> Iterator[tuple[int, Line]]:
        """A dead worker's tasks go to others, and so does its place."""
        worker, cause = self._replace(connection, stop)
        for task in worker.tasks:
            task.deaths += 1
            if task.deaths < DEATHS:
                self._waiting.append(task)
                continue
            message = f"the worker process {cause} while it worked on this input, {DEATHS} times; the others went on."
            yield task.index, _error(task, "ChildProcessError", message)

    def _give_up_late_ones(self, stop: Stop) -> Iterator[tuple[int, Line]]:
        """A worker that has been at one input for too long is ended, and its input with it."""
        if self._timeout is None:
            return
        for connection, worker in list(self._workers.items()):
            if worker.tasks and time.monotonic() - worker.since > self._timeout:
                worker.process.kill()
                self._replace(connection, stop)
                late = worker.tasks.popleft()
                self._waiting.extendleft(reversed(worker.tasks))
                message = f"took longer than {self._timeout:g} s and was stopped; the others went on."
                yield late.index, _error(late, "TimeoutError", message)

    def _replace(self, connection: Connection, stop: Stop | None = None) -> tuple[_Worker, str]:
        """Another worker in the place of a dead one, which is given back with the cause of its death.

        Raises:
            RuntimeError: workers die before they are ready.
        """
        worker = self._workers.pop(connection)
        connection.close()
        worker.process.join()
        exit_code = worker.process.exitcode or 0
        cause = f"was ended by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with status {exit_code}"
        self._stillborn += not worker.ready
        if not worker.ready and (exit_code >= 0 or self._stillborn == STILLBORN):
            raise RuntimeError(
                f"a worker process {cause} before it could begin; what it said is above. A script that calls extract "
                "with jobs > 1 must do so under `if __name__ == '__main__':`."
            )
        self._clean_up(worker)
        if stop is None or not stop.requested:
            self._start()
        return worker, cause

    def _recall(self) -> None:
        """Nothing is begun any more: what waits in the pipes is forgotten, what is in hand gets done."""
        for connection, worker in self._workers.items():
            if not worker.recalled:
                worker.recalled = True
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.send([])

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self._packed, self._handful), daemon=True)
        with _interrupts_held_back():
            process.start()
        theirs.close()
        self._workers[ours] = _Worker(process)

    def _clean_up(self, worker: _Worker) -> None:
        """Take away what a dead worker was writing."""
        if worker.process.pid is not None:
            for folder in {(self._recipe.folder / file_name(task.item.id, ".npy")).parent for task in worker.tasks}:
                temporary_name(folder, worker.process.pid).unlink(missing_ok=True)


def _error(task: Task, error: str, message: str) -> ErrorLine:
    return ErrorLine(task.item.id, task.item.audio, "worker", error, message)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """A process started inside is deaf to Ctrl-C from its first moment; ours only hears it later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
