"""Who does the work: this process, workers of its own, an executor, or a Ray cluster."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

from speechconv.checks import check_number
from speechconv.extraction.recipe import Recipe
from speechconv.extraction.task import Engine

EngineName = Literal["local", "ray"]


@dataclass(frozen=True)
class Workforce:
    """Who does the work.

    Args:
        jobs: workers.
        timeout: seconds after which an input is given up; None: never.
        engine: "local", "ray", or an executor.

    Raises:
        ValueError: an engine that is none of these, or a timeout that it cannot keep.
    """

    jobs: int = 1
    timeout: float | None = None
    engine: EngineName | Executor = "local"

    def __post_init__(self) -> None:
        if self.timeout is not None:
            check_number("timeout", self.timeout, above=0)
        if not isinstance(self.engine, Executor) and self.engine not in ("local", "ray"):
            raise ValueError(f"engine (={self.engine!r}) must be 'local', 'ray' or a concurrent.futures executor.")
        if self.timeout is not None and self.engine != "local":
            raise ValueError("timeout is kept by the local engine alone; leave it out, or use the cluster's own.")

    def start(self, recipe: Recipe, inputs: int) -> Engine:
        """The engine, on its way to be ready for at most `inputs` inputs.

        Raises:
            ValueError, TypeError, FileNotFoundError: the recipe cannot be made.
        """
        if isinstance(self.engine, Executor):
            from speechconv.extraction.on_executor import OnExecutor

            return OnExecutor(recipe, self.engine)
        if self.engine == "ray":
            from speechconv.extraction.on_ray import OnRay

            return OnRay(recipe, self.jobs)
        jobs = min(self.jobs, max(1, inputs))
        if jobs == 1 and self.timeout is None:
            from speechconv.extraction.in_process import InProcess

            return InProcess(recipe)
        from speechconv.extraction.supervisor import Supervisor

        return Supervisor(recipe, jobs, timeout=self.timeout)
