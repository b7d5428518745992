"""Files -> features on disk, with a manifest and a report of everything that failed.

inputs         files, folders, globs and lists -> what to read, under which id
pipelines      the pipeline of a run, built the same way in every process
rows           a waveform through a live session -> rows of features
feature_file   one .npy, growing row by row, visible only when whole
manifest       manifest.jsonl and errors.jsonl, whole lines only
worker         one input -> its feature file and its line
supervisor     many worker processes, any of which may die
ledger         lines as they come in -> reports in the order of the inputs
summary        what a run came to
run_record     run.json: what ran, with which versions, and how it ended
engine         extract: all of it in order
"""

from __future__ import annotations

from typing import Any

HOMES = {"Interrupted": "engine", "Summary": "summary", "extract": "engine"}
"""Name -> the module that has it; loaded when asked for, so that finding inputs costs no torch."""

__all__ = ["Interrupted", "Summary", "extract"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
