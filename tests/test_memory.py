"""Freed memory stays with the process: counted in page faults, by the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOOP = """
import resource, sys
from speechconv.memory import keep_freed_memory

kept = sys.argv[1] == "keep" and keep_freed_memory()
def turn():
    blocks = [bytearray(1 << 20) for _ in range(20)]  # zeroed, so every page is touched
turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    turn()
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> tuple[bool, int]:
    done = subprocess.run([sys.executable, "-c", LOOP, how], capture_output=True, text=True, check=True)
    kept, count = done.stdout.split()
    return kept == "1", int(count)


def test_memory_that_comes_back_is_not_cleared_again() -> None:
    kept, count = faults("keep")
    if not kept:
        pytest.skip("this C library has no mallopt, so nothing is kept")
    assert count < faults("leave")[1] / 10
