"""The worker's end of the supervisor's pipe, whose messages `supervisor` lists: a process that works until the pipe
ends, and ends at once when its parent is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import select
import signal
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

from speechconv.extraction.inputs import Input
from speechconv.extraction.recipe import Recipe
from speechconv.extraction.task import Task
from speechconv.memory import keep_freed_memory


@dataclass(frozen=True)
class Forgotten:
    """Tasks that a worker was told not to begin."""

    indices: frozenset[int]


def work(connection: Connection, packed: bytes, handful: int) -> None:
    """The life of a worker process: build the pipeline, then tasks in and lines out until the pipe ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            _serve(connection, pickle.loads(packed), handful)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            connection.send(error)


def _serve(connection: Connection, recipe: Recipe, handful: int) -> None:
    from speechconv.extraction.pipelines import one_torch_thread
    from speechconv.extraction.worker import Extractor

    with one_torch_thread():
        extractor = Extractor(recipe, handful=handful)
        connection.send(extractor.facts)
        for done in extractor.handfuls(_incoming(connection)):
            connection.send(done)


def _incoming(connection: Connection) -> Iterator[Task | None]:
    """Tasks as they are to be begun; None whenever there is none for now. While one is worked on, the system reads the
    files of those behind it."""
    hand: deque[Task] = deque()
    while True:
        if not hand:
            yield None
        while not hand or select.select([connection], [], [], 0)[0]:
            handful = connection.recv()
            if not handful:
                connection.send(Forgotten(frozenset(task.index for task in hand)))
                hand.clear()
            for task in handful:
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
