"""Many worker processes, any of which may die; one input at a time for each.

    parent -> worker    an Input
    worker -> parent    None: ready for the first one;  a Line: done, ready for the next;  an OSError: the disk is full

A worker whose pipe ends has died: its input becomes an error line and another worker takes its place. One that died
between two inputs costs none: the next one goes to its successor. A worker whose parent has died ends at once.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from speechconv.stores.feature_file import temporary_name
from speechconv.extraction.inputs import Input
from speechconv.stores.manifest import ErrorLine, Line
from speechconv.extraction.pipelines import one_torch_thread
from speechconv.extraction.worker import Extractor, Recipe, feature_path


@dataclass(frozen=True)
class Task:
    """An input and its place in the order of all."""

    index: int
    item: Input


class Supervisor:
    """Hands out inputs to worker processes and collects their lines.

    Args:
        recipe: what to make of every input.
        workers: processes at the same time, >= 1.
    """

    def __init__(self, recipe: Recipe, workers: int) -> None:
        self._recipe = recipe
        self._packed = pickle.dumps(recipe)
        self._count = workers
        self._processes: dict[Connection, SpawnProcess] = {}
        self._working: dict[Connection, Task] = {}

    def run(self, tasks: Sequence[Task]) -> Generator[tuple[int, Line], None, None]:
        """(index, line) of every task, in the order in which they are done. Closing the iterator ends all workers.

        Raises:
            OSError: the disk is full.
            RuntimeError: a worker could not start.
        """
        waiting = deque(tasks)
        try:
            for _ in range(min(self._count, len(waiting))):
                self._start()
            while self._processes:
                for connection in wait(list(self._processes)):
                    yield from self._hear(connection, waiting)  # pyright: ignore[reportArgumentType] - wait gives back what it got
        finally:
            self._kill_all()

    def _hear(self, connection: Connection, waiting: deque[Task]) -> Iterator[tuple[int, Line]]:
        try:
            message = connection.recv()
        except (EOFError, OSError):  # also "got end of file during message"
            yield self._bury(connection)
            if waiting:
                self._start()
            return
        if isinstance(message, OSError):
            raise message
        if message is not None:
            yield self._working.pop(connection).index, message
        self._employ(connection, waiting)

    def _employ(self, connection: Connection, waiting: deque[Task]) -> None:
        """Give the worker its next input, or let it go."""
        if not waiting:
            self._let_go(connection)
            return
        task = self._working[connection] = waiting.popleft()
        try:
            connection.send(task.item)
        except (BrokenPipeError, ConnectionResetError):  # it died idle
            waiting.appendleft(self._working.pop(connection))
            self._let_go(connection)
            self._start()

    def _bury(self, connection: Connection) -> tuple[int, ErrorLine]:
        """What a dead worker was at becomes an error line."""
        process = self._let_go(connection)
        task = self._working.pop(connection, None)
        cause = _cause_of_death(process.exitcode)
        if task is None:
            raise RuntimeError(
                f"a worker process {cause} before it could begin; what it said is above. A script that calls extract "
                "with jobs > 1 must do so under `if __name__ == '__main__':`."
            )
        self._clean_up(process, task)
        message = f"the worker process {cause} while it worked on this input; the others went on."
        return task.index, ErrorLine(task.item.id, task.item.audio, "worker", "ChildProcessError", message)

    def _let_go(self, connection: Connection) -> SpawnProcess:
        """No more inputs for a worker, which ends by that unless it has ended already."""
        process = self._processes.pop(connection)
        connection.close()
        process.join()
        return process

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self._packed), daemon=True)
        with _interrupts_held_back():
            process.start()
        theirs.close()
        self._processes[ours] = process

    def _kill_all(self) -> None:
        for connection, process in self._processes.items():
            process.kill()
            process.join()
            connection.close()
            if connection in self._working:
                self._clean_up(process, self._working[connection])
        self._processes.clear()

    def _clean_up(self, process: SpawnProcess, task: Task) -> None:
        folder = feature_path(self._recipe.out, task.item).parent
        if process.pid is not None:
            temporary_name(folder, process.pid).unlink(missing_ok=True)


def work(connection: Connection, packed: bytes) -> None:
    """The life of a worker process: build the pipeline, then inputs in and lines out until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with one_torch_thread():
        extractor = Extractor(pickle.loads(packed))
        try:
            connection.send(None)
            while True:
                item = connection.recv()
                connection.send(_attempt(extractor, item))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _end_with_parent() -> None:
    """Wait for the parent's end, however it comes, and follow; a half-written feature file has no name yet."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt(extractor: Extractor, item: Input) -> Line | OSError:
    try:
        return extractor(item)
    except OSError as error:
        return error


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"was ended by {signal.Signals(-exit_code).name}"
    return f"ended with status {exit_code}"


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """A process started inside is deaf to Ctrl-C from its first moment; ours only hears it later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
