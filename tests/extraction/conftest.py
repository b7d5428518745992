"""Shared by the tests of extract."""

from __future__ import annotations

import multiprocessing

import pytest


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are forked from a process that has loaded torch once, for loading it takes each spawned one seconds.

    For tests of what workers do. How they start is tested without it: by every command, by
    `test_two_jobs_write_the_bytes_and_the_lines_of_one`, and where workers die before they are ready.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["speechconv.extraction.worker", "speechconv.extraction.pipelines"])
    monkeypatch.setattr(multiprocessing, "get_context", lambda _=None: context)
