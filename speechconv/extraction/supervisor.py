"""Many worker processes, any of which may die or hang.

    parent -> worker    a Task, up to AHEAD of them waiting in the pipe;  None: forget those you have not begun
    worker -> parent    Facts: ready;  (index, Line): done;  Forgotten;  an Exception: it cannot go on

A worker whose pipe ends has died. What it had in hand goes to another one, alone, so that it cannot take others with
it; what dies a second time becomes an error line. What merely waited goes back to the others. A worker whose parent has
died ends at once.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import pickle
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from speechconv.extraction.inputs import Input
from speechconv.extraction.recipe import Facts, Recipe
from speechconv.extraction.task import Results, Stop, Task
from speechconv.stores.feature_file import temporary_name
from speechconv.stores.ids import file_name
from speechconv.stores.manifest import ErrorLine, Line

AHEAD = 16
"""Tasks that a worker has in hand and in its pipe: enough that it never waits for us."""
TICK = 0.2
"""Seconds between two looks at timeouts and at Ctrl-C."""
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

    def drop(self, indices: Collection[int]) -> None:
        self.tasks = deque(task for task in self.tasks if task.index not in indices)


@dataclass(frozen=True)
class Forgotten:
    """Tasks that a worker was told not to begin."""

    indices: frozenset[int]


class Supervisor:
    """Hands out inputs to worker processes and collects their lines. The workers start at once.

    Args:
        recipe: what to make of every input.
        workers: processes at the same time, >= 1.
        timeout: seconds after which an input is given up; None: never.
        ahead: tasks that each worker is given at a time.
    """

    def __init__(self, recipe: Recipe, workers: int, *, timeout: float | None = None, ahead: int = AHEAD) -> None:
        self._recipe = recipe
        self._packed = pickle.dumps(recipe)
        self._timeout = timeout
        self._ahead = ahead
        self._workers: dict[Connection, _Worker] = {}
        self._waiting: deque[Task] = deque()
        self._more = True
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
        coming = iter(tasks)
        try:
            self._feed_all(coming, stop)
            while not self._is_over(stop):
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

    def _is_over(self, stop: Stop) -> bool:
        if any(worker.tasks for worker in self._workers.values()):
            return False
        return stop.requested or not (self._waiting or self._more)

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
            case (index, line):
                worker.drop({index})
                worker.since = time.monotonic()
                yield index, line
            case Forgotten(indices):
                worker.drop(indices)
            case error:
                raise error

    def _feed_all(self, coming: Iterator[Task], stop: Stop) -> None:
        if stop.requested:
            return
        for connection, worker in list(self._workers.items()):
            if worker.ready:
                self._feed(connection, worker, coming)

    def _feed(self, connection: Connection, worker: _Worker, coming: Iterator[Task]) -> None:
        """Fill the worker's hands; an input that has killed one goes alone."""
        if worker.alone and worker.tasks:
            return
        worker.alone = False
        while len(worker.tasks) < self._ahead:
            task = self._next(coming, alone=not worker.tasks)
            if task is None:
                return
            if not worker.tasks:
                worker.since = time.monotonic()
            worker.tasks.append(task)
            worker.alone = task.deaths > 0
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its death is heard of next
                connection.send(task)
            if worker.alone:
                return

    def _next(self, coming: Iterator[Task], *, alone: bool) -> Task | None:
        """The next task for a worker; one that has killed another only for a worker that has none."""
        if self._waiting and (alone or not self._waiting[0].deaths):
            return self._waiting.popleft()
        task = next(coming, None)
        self._more = task is not None
        return task

    def _bury(self, connection: Connection, stop: Stop) -> Iterator[tuple[int, Line]]:
        """A dead worker's tasks go to others, and so does its place."""
        worker, cause = self._replace(connection, stop)
        if not worker.tasks:
            return
        suspect = worker.tasks.popleft()
        suspect.deaths += 1
        self._waiting.extendleft(reversed(worker.tasks))
        if suspect.deaths < DEATHS:
            self._waiting.append(suspect)
            return
        message = f"the worker process {cause} while it worked on this input, {DEATHS} times; the others went on."
        yield suspect.index, _error(suspect, "ChildProcessError", message)

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
                    connection.send(None)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self._packed), daemon=True)
        with _interrupts_held_back():
            process.start()
        theirs.close()
        self._workers[ours] = _Worker(process)

    def _clean_up(self, worker: _Worker) -> None:
        """Take away what a dead worker was writing."""
        if worker.process.pid is not None:
            for folder in {(self._recipe.folder / file_name(task.item.id, ".npy")).parent for task in worker.tasks}:
                temporary_name(folder, worker.process.pid).unlink(missing_ok=True)


def work(connection: Connection, packed: bytes) -> None:
    """The life of a worker process: build the pipeline, then tasks in and lines out until the pipe ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            _serve(connection, pickle.loads(packed))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            connection.send(error)


def _serve(connection: Connection, recipe: Recipe) -> None:
    from speechconv.extraction.pipelines import one_torch_thread
    from speechconv.extraction.worker import Extractor

    with one_torch_thread():
        extractor = Extractor(recipe)
        connection.send(extractor.facts)
        for done in extractor.lines(_incoming(connection)):
            connection.send(done)


def _incoming(connection: Connection) -> Iterator[Task | None]:
    """Tasks as they are to be begun; None whenever there is none for now. While one is worked on, the system reads the
    files of those behind it."""
    hand: deque[Task] = deque()
    while True:
        if not hand:
            yield None
        while not hand or select.select([connection], [], [], 0)[0]:
            task = connection.recv()
            if task is None:
                connection.send(Forgotten(frozenset(task.index for task in hand)))
                hand.clear()
            else:
                _read_ahead(task.item)
                hand.append(task)
        yield hand.popleft()


def _read_ahead(item: Input) -> None:
    """Have the system bring the file's first part into memory while we do other things."""
    if item.is_command or not hasattr(os, "posix_fadvise"):
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(item.audio, os.O_RDONLY | os.O_NONBLOCK)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)


def _end_with_parent() -> None:
    """Wait for the parent's end, however it comes, and follow; a half-written feature file has no name yet."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


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
