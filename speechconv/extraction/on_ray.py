"""The engine on Ray Data: actors that build the pipeline once and keep it, on whatever machines the cluster has.

    tasks -> blocks of HANDFUL -> map_batches, `jobs` actors -> blocks of (index, line), as they get done

An actor that dies is started again and its block repeated, which gives the same bytes; see `in_hand` for inputs that
take down one after the other. Blocks lie in Ray's memory, so a large corpus goes in rounds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import threading
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any

from speechconv.extraction.order import (
    Order,
    anywhere,
    as_found,
    facts_of,
    pack_recipe,
    pack_tasks,
    placed,
    work_through,
)
from speechconv.extraction.recipe import Facts, Recipe
from speechconv.extraction.task import Results, Stop, Task

if TYPE_CHECKING:
    import pyarrow

HANDFUL = 16
"""Inputs of a block, times the sounds that go through the pipeline together."""
BLOCKS = 512
"""Blocks of a round, for each job."""
TICK = 0.2
"""Seconds between two looks at Ctrl-C."""
STORE_BYTES = 200_000_000
"""Ray's memory for objects where we start it: blocks are small, and features go through files."""
FAULT = -1
"""In the place of an index: the line is what was raised."""


class OnRay:
    """Hands out inputs to actors on a Ray cluster: the one that this program is connected to, or that RAY_ADDRESS
    names, or else one on this machine, which goes when the work has ended.

    Args:
        recipe: what to make of every input.
        jobs: actors, each with one CPU, and a share of the GPUs if it computes on one.

    Raises:
        ImportError: no Ray.
        ValueError: a numbered GPU.
        TypeError: a pipeline that cannot be sent to another process.
    """

    def __init__(self, recipe: Recipe, jobs: int) -> None:
        try:
            import ray
            import ray.data
            from ray import cloudpickle
        except ImportError as error:
            raise ImportError(f"engine='ray' needs Ray Data ({error}); pip install 'speechconv[ray]'") from error
        if recipe.device.startswith("cuda:"):
            raise ValueError(f"device (={recipe.device!r}): Ray chooses each actor's GPU; use 'cuda'.")
        self._recipe = anywhere(recipe)
        self._jobs = jobs
        self._packed = pack_recipe(self._recipe, cloudpickle.dumps)  # pyright: ignore[reportPrivateImportUsage] - its own
        self._ours = not ray.is_initialized()
        with _deaf_to_its_own_changes():
            ray.data.DataContext.get_current()
            if self._ours:
                _start(jobs)
        gpus = 0 if recipe.device == "cpu" else int(ray.cluster_resources().get("GPU", 0))
        self._gpus = gpu_share(jobs, gpus)
        self._remotely = ray.remote(num_cpus=1, num_gpus=self._gpus)(facts_of)
        self._facts: Facts | None = None

    def facts(self) -> Facts:
        """What the recipe came to: on the cluster if it computes on GPUs, which we need not have here.

        Raises:
            ValueError, TypeError, FileNotFoundError: it cannot be made.
            RuntimeError: a worker could not start.
        """
        if self._facts is None:
            self._facts = self._facts_there() if self._gpus else facts_of(self._packed)
        return self._facts

    def _facts_there(self) -> Facts:
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return ray.get(self._remotely.remote(self._packed))
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            raise _broken(error) from error

    def run(self, tasks: Iterable[Task], stop: Stop) -> Results:
        """(index, line) of each task, in the order in which they get done.

        Raises:
            OSError: the disk is full.
            RuntimeError: the cluster broke, or its workers cannot make the pipeline.
        """
        coming = iter(tasks)
        size = HANDFUL * (self._recipe.batch or 1)
        with _quiet():
            try:
                with placed(self._recipe, self._packed, self.facts()) as order, _withdrawn_on(stop, order):
                    while not stop.requested and (some := list(islice(coming, size * BLOCKS * self._jobs))):
                        fair = ceil(len(some) / (4 * self._jobs))  # of a few inputs each job gets some
                        yield from self._round(order, some, min(size, fair), stop)
            finally:
                self.kill()

    def kill(self) -> None:
        """Leave the cluster, and end it if it is ours."""
        if self._ours:
            import ray

            self._ours = False
            ray.shutdown()

    def _round(self, order: Order, tasks: list[Task], size: int, stop: Stop) -> Results:
        """Do tasks in blocks of `size`; what comes twice counts once."""
        missing = {task.index: task for task in tasks}
        blocks = [pack_tasks(tasks[first : first + size]) for first in range(0, len(tasks), size)]
        for index, packed in self._rows(order, blocks):
            line = pickle.loads(packed)
            if index == FAULT:
                raise line
            if task := missing.pop(index, None):
                yield index, as_found(task, line)
        if missing and not stop.requested:
            raise RuntimeError(f"a worker does not see {order.path.parent}; all machines must have it under this path.")

    def _rows(self, order: Order, blocks: list[bytes]) -> Iterator[tuple[int, bytes]]:
        """(index, packed line) of each input, as blocks come back."""
        import pyarrow
        import ray
        from ray.exceptions import RayError

        if not blocks:
            return
        data = ray.data.from_blocks([pyarrow.table({"tasks": pyarrow.array([block], "binary")}) for block in blocks])
        data.context.enable_progress_bars = False
        data.context.print_on_execution_start = False
        done = data.map_batches(
            _Actor,
            fn_constructor_args=(order,),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(self._jobs, len(blocks))),
            num_cpus=1,
            num_gpus=self._gpus,
        )
        try:
            tables: Iterator[Any] = iter(done.iter_batches(batch_size=None, batch_format="pyarrow"))
            for table in tables:
                yield from zip(table["index"].to_pylist(), table["line"].to_pylist(), strict=True)
        except RayError as error:
            raise _broken(error) from error


class _Actor:
    """What each actor runs; the pipeline stays with its process."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def __call__(self, block: pyarrow.Table) -> pyarrow.Table:
        import pyarrow

        rows: list[tuple[int, bytes]] = []
        try:
            for packed in block["tasks"].to_pylist():
                rows += [(index, pickle.dumps(line)) for index, line in work_through(self._order, packed)]
        except Exception as error:  # Ray Data would put its own in the place of ours
            rows = [(FAULT, pickle.dumps(error))]
        return pyarrow.table(
            {
                "index": pyarrow.array([index for index, _ in rows], "int64"),
                "line": pyarrow.array([line for _, line in rows], "binary"),
            }
        )


def gpu_share(jobs: int, gpus: int) -> float:
    """Of a GPU, that each of `jobs` actors takes so that all of them fit.

    >>> gpu_share(8, 0), gpu_share(2, 4), gpu_share(3, 2)
    (0, 1, 0.5)
    """
    return 1 / ceil(jobs / gpus) if gpus and jobs > gpus else min(gpus, 1)


def _start(jobs: int) -> None:
    """Connect to the cluster that RAY_ADDRESS names, or start one here that says and reports nothing."""
    import ray

    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address="auto", **quiet)
    else:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        ray.init(address="local", num_cpus=jobs, include_dashboard=False, object_store_memory=STORE_BYTES, **quiet)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What Ray says about blocks and actors is not said; what becomes of inputs is in the reports.

    Workers that die would be told on stdout, where results go. That has no other switch than the one of Ray's debugger.
    """
    from ray._private import worker

    logger = logging.getLogger("ray.data")
    before = logger.level, getattr(worker, "_worker_logs_enabled", True)
    logger.setLevel(logging.CRITICAL)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        logger.setLevel(before[0])
        worker._worker_logs_enabled = before[1]


@contextlib.contextmanager
def _deaf_to_its_own_changes() -> Iterator[None]:
    """Ray warns of changes to come in things of its own that we do not use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`\w+` is deprecated", DeprecationWarning)
        yield


@contextlib.contextmanager
def _withdrawn_on(stop: Stop, order: Order) -> Iterator[None]:
    """Whoever waits for Ray cannot look at Ctrl-C, so another thread does."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(TICK):
            if stop.requested:
                order.withdraw()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _broken(error: BaseException) -> RuntimeError:
    words = str(error).strip().splitlines() or [type(error).__name__]
    return RuntimeError(f"Ray could not go on ({words[0].rstrip('.')}); the same call again goes on from here.")
