"""Timing that is fair: everyone in turn in one process, so that a slow moment of the machine hits all alike."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

Work = Callable[[], object]

PAUSE = 0.15
"""Seconds between two works. BLAS workers spin for 0.1 s when they are done, on a core that the next work needs."""


def time_in_turn(works: Mapping[str, Work], *, repeats: int, warm_up: int = 2) -> dict[str, float]:
    """Median seconds of each work; every round times each of them once, in another order.

    Before it is timed a work waits for the last one's threads to fall asleep, then runs once to find its own place in
    the caches.

    Args:
        works: by name.
        repeats: rounds that count, >= 1.
        warm_up: rounds before these that do not.
    """
    names = list(works)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    shuffle = random.Random(0).shuffle
    for turn in range(warm_up + repeats):
        shuffle(names)
        for name in names:
            time.sleep(PAUSE)
            works[name]()
            elapsed = time_once(works[name])
            if turn >= warm_up:
                seconds[name].append(elapsed)
    return {name: statistics.median(seconds[name]) for name in works}


def time_once(work: Work) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 ... 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def machine() -> str:
    """CPU model and cores of this machine."""
    return f"{_cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown CPU"


def versions(packages: Iterable[str]) -> str:
    """Python's and the packages' versions, in one line."""
    found = [f"{package} {importlib.metadata.version(package)}" for package in packages]
    return ", ".join([f"Python {platform.python_version()}", *found])


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; the first column to the left, the others to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
