"""One run into a folder, from the first look at it to the last line of its reports."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from speechconv.checks import check_choice
from speechconv.disk import is_disk_full
from speechconv.extraction.inputs import Input
from speechconv.extraction.interrupt import stop_on_signals
from speechconv.extraction.ledger import Ledger
from speechconv.extraction.lock import only_run_in
from speechconv.extraction.progress import Progress, ProgressMode, announce
from speechconv.extraction.recipe import Facts, Recipe
from speechconv.extraction.resume import SPOOL, Earlier, forget_earlier_run, look_back
from speechconv.extraction.run_record import RunRecord
from speechconv.extraction.summary import Status, Summary
from speechconv.extraction.task import Engine, Task
from speechconv.extraction.workforce import Workforce
from speechconv.stores.manifest import MANIFEST, ErrorLine, ManifestLine, read_lines
from speechconv.stores.packer import Packer, next_number, remove_orphans
from speechconv.stores.record import read_record
from speechconv.stores.registry import store_named


class Run:
    """Features of inputs into a folder.

    Args:
        out: the folder.
        items: the inputs.
        recipe: what to make of them.
        options: as given, for run.json; "store", "shard_bytes", "overwrite" and "resume_mixed" are obeyed.
        statements: how each input was read, for run.json.
        progress: "auto", "off" or "json".

    Raises:
        ValueError: a store that does not fit: unknown, without that dtype, or another than the folder's; another
            progress.
    """

    def __init__(
        self,
        out: Path,
        items: Sequence[Input],
        recipe: Recipe,
        options: Mapping[str, Any],
        statements: Sequence[str],
        progress: ProgressMode,
    ) -> None:
        self._started = time.monotonic()
        self._out = out
        self._items = items
        self._options = options
        self._statements = statements
        self._progress: ProgressMode = progress
        self._store = store_named(options["store"])
        self._store.check(recipe.dtype)
        check_choice("progress", progress, get_args(ProgressMode))
        self._packs = not self._store.one_each
        self._recipe = replace(recipe, folder=out / SPOOL if self._packs else out)
        self._places: dict[str, int] = {}
        for place, item in enumerate(items):
            self._places.setdefault(item.id, place)
        self._check_folder()

    def __call__(self, workforce: Workforce) -> Summary:
        """Do all of it.

        Raises:
            ValueError, TypeError, FileNotFoundError: the recipe cannot be made, or the folder holds another one's
                features; nothing was written.
            RuntimeError: the engine broke; what is done is kept.
        """
        engine = workforce.start(self._recipe, len(self._items))
        try:
            facts = engine.facts()
            with only_run_in(self._out):
                return self._in_folder(engine, facts)
        finally:
            engine.kill()

    def _in_folder(self, engine: Engine, facts: Facts) -> Summary:
        if self._options["overwrite"]:
            forget_earlier_run(self._out)
        mixed = self._options["resume_mixed"]
        earlier = look_back(self._out, self._store, self._items, self._places, self._recipe, facts, mixed=mixed)
        record = RunRecord(self._out, facts, self._options, self._statements)
        record.begin()
        announce(self._statements, self._progress)
        with Ledger(self._out, self._places, self._packer(earlier.paths)) as ledger:
            ledger.tally.reuse(len(earlier.done), earlier.frames)
            progress = Progress(len(self._items), ledger.tally, self._progress)
            status: Status = "failed"
            try:
                status = self._drive(engine, earlier, ledger, progress)
            finally:
                progress.close()
                seconds = time.monotonic() - self._started
                summary = ledger.tally.summary(self._out, status, files=len(self._items), wall_seconds=seconds)
                with contextlib.suppress(OSError) if status == "disk full" else contextlib.nullcontext():
                    record.end(summary)
        return summary

    def _drive(self, engine: Engine, earlier: Earlier, ledger: Ledger, progress: Progress) -> Status:
        """Work until all is done, Ctrl-C, or a full disk; then put in place what is complete."""
        with stop_on_signals() as stop:
            try:
                self._begin(earlier, ledger)
                with contextlib.closing(engine.run(self._tasks(earlier), stop)) as results:
                    for _, line in results:
                        ledger.take(line)
                        progress.look()
                ledger.finish()
                self._index()
                return "interrupted" if stop.requested and ledger.tally.files < len(self._items) else "finished"
            except BaseException as error:
                status = _ending(error)
                with contextlib.suppress(OSError):  # a full disk may refuse this, too
                    ledger.give_up()
                    self._index()
                if status == "failed":
                    raise
                return status

    def _index(self) -> None:
        self._store.index(self._out, read_lines(self._out, ManifestLine))

    def _begin(self, earlier: Earlier, ledger: Ledger) -> None:
        """What is known before any work: features in the spool, and inputs with a problem."""
        for line in earlier.spooled:
            ledger.pack(line)
        for item in self._items:
            if item.problem is not None:
                ledger.take(ErrorLine(item.id, item.audio, item.stage, item.error, item.problem))

    def _tasks(self, earlier: Earlier) -> Iterator[Task]:
        for place, item in enumerate(self._items):
            if item.problem is None and place not in earlier.done:
                yield Task(place, item)

    def _packer(self, named: set[str]) -> Packer | None:
        if not self._packs:
            return None
        remove_orphans(self._out, named)
        return Packer(self._out, self._store, shard_bytes=self._options["shard_bytes"], first=next_number(named))

    def _check_folder(self) -> None:
        if self._out.exists() and not self._out.is_dir():
            raise ValueError(f"{self._out} is a file; expected a folder for the features.")
        if not (self._out / MANIFEST).exists() or self._options["overwrite"]:
            return
        store = read_record(self._out).get("store", self._store.name)
        if store != self._store.name:
            raise ValueError(
                f"{self._out} is a {store} store, not {self._store.name}; "
                f"go on with store={store!r} (--store {store}), "
                "choose another folder, or `speechconv convert` it when it is done."
            )


def _ending(error: BaseException) -> Status:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "disk full" if isinstance(error, OSError) and is_disk_full(error) else "failed"
