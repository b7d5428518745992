"""Sounds -> features on disk, with a manifest and a report of everything that failed.

inputs         files, folders, globs and lists -> what to read, under which id
shard          the part of them that one of n runs does
recipe         what to make of every input, and the name of that
pipelines      the pipeline of a recipe, built the same way in every process
sound          one pass over one input
rows           a sound -> rows of features, at once or block by block
worker         one input -> its feature file and its line
task           what an engine works on
supply         tasks in handfuls of about equal work
in_process     engine: this process
supervisor     engine: many worker processes, any of which may die or hang
worker_process what each of them does
order          what calls on a cluster are told, and what they do
in_hand        what a call on a cluster works on, for the one that repeats it
on_executor    engine: an executor of concurrent.futures, such as Dask's
on_ray         engine: Ray Data
workforce      which engine
interrupt      Ctrl-C as a wish
lock           one run at a time in a folder
resume         what an earlier run left, and what of it still holds
ledger         lines as they come in -> reports in the order of the inputs
progress       how far a run is
summary        what a run came to
run_record     run.json: what ran, with which versions, and how it ended
run            all of it in order, into a folder
one_by_one     all of it in order, for programs that keep the features themselves
options        what extract can be told, for type checkers
engine         extract
"""

from speechconv.extraction.engine import Interrupted, extract
from speechconv.extraction.one_by_one import Extracted
from speechconv.extraction.summary import Summary

__all__ = ["Extracted", "Interrupted", "Summary", "extract"]
