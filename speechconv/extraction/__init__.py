"""Files -> features on disk, with a manifest and a report of everything that failed.

inputs         files, folders and globs -> what to read, under which id
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

from speechconv.extraction.engine import Interrupted, extract
from speechconv.extraction.summary import Summary

__all__ = ["Interrupted", "Summary", "extract"]
