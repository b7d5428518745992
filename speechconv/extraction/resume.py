"""What an earlier run left in the output folder: what of it still holds, and what has to be done again.

A line of the manifest holds while its features are there, its input is the same, and it was made by the same recipe.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from speechconv.extraction.inputs import Input
from speechconv.extraction.recipe import Facts, Recipe
from speechconv.extraction.sound import content
from speechconv.stores.feature_file import is_whole, remove_temporaries
from speechconv.stores.ids import TEMPORARY
from speechconv.stores.manifest import (
    ERRORS,
    MANIFEST,
    SKIPPED,
    ErrorLine,
    ManifestLine,
    SkippedLine,
    read_lines,
    rewrite_lines,
)
from speechconv.stores.record import RUN, read_record
from speechconv.stores.registry import STORES
from speechconv.stores.store import Store

Other = TypeVar("Other", ErrorLine, SkippedLine)
SUM = 64
"""Digits of a sha256."""
SPOOL = f"{TEMPORARY}spool"
"""Folder under the output folder for features on their way into a shard; its manifest tells what is in it."""


@dataclass
class Earlier:
    """What need not be done again.

    Attributes:
        done: places of inputs whose features are stored.
        spooled: lines of features that wait to be packed; their paths are under the spool.
        paths: that the manifest still names.
        frames: of what need not be done.
    """

    done: set[int] = field(default_factory=set)
    spooled: list[ManifestLine] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    frames: int = 0

    def add(self, place: int, line: ManifestLine) -> None:
        self.done.add(place)
        self.frames += line.frames


def look_back(
    out: Path,
    store: Store,
    items: Sequence[Input],
    places: Mapping[str, int],
    recipe: Recipe,
    facts: Facts,
    *,
    mixed: bool,
) -> Earlier:
    """Leave in the reports of `out` what still holds; the inputs of this run start with no line but those.

    Args:
        out: the output folder.
        store: that it holds.
        items: all inputs.
        places: of their ids among `items`.
        recipe, facts: of this run.
        mixed: features of other recipes hold, too.

    Raises:
        ValueError: features of another recipe, or a manifest that speechconv did not write; nothing was changed.
    """
    remove_temporaries(out)
    earlier = Earlier()
    is_there = _each_is_whole(out) if store.one_each else _Exists(out)
    stale: set[str] = set()

    def held(line: ManifestLine) -> ManifestLine | None:
        if line.recipe != facts.recipe and not mixed:
            raise ValueError(_other_recipe(out, facts))
        if not is_there(line):
            return None
        place = places.get(line.id)
        if place is not None and items[place].problem is None:
            channel = recipe.channel if line.recipe == facts.recipe else line.channel  # it is an ingredient
            if not _same_input(line, items[place], recipe, channel):
                stale.add(line.path)
                return None
            earlier.add(place, line)
            line = _where_it_is(line, items[place])
        earlier.paths.add(line.path)
        return line

    def waiting(line: ManifestLine) -> ManifestLine | None:
        place = places.get(line.id)
        if place is None or place in earlier.done or items[place].problem is not None or line.recipe != facts.recipe:
            return None
        if not is_whole(out / SPOOL, line) or not _same_input(line, items[place], recipe, recipe.channel):
            return None
        earlier.add(place, line)
        earlier.spooled.append(_where_it_is(line, items[place]))
        return line

    def kept(line: Other) -> Other | None:
        return None if line.id in places else line

    rewrite_lines(out, ManifestLine, held)
    if store.one_each:
        _delete(out, stale - earlier.paths)
    rewrite_lines(out, ErrorLine, kept)
    rewrite_lines(out, SkippedLine, kept)
    if (out / SPOOL).is_dir():
        rewrite_lines(out / SPOOL, ManifestLine, waiting)
    return earlier


def forget_earlier_run(out: Path) -> None:
    """Delete `out`'s manifest, then the features that it names, and the other reports.

    Raises:
        ValueError: a manifest that another program wrote; nothing was deleted.
    """
    paths = dict.fromkeys(line.path for line in read_lines(out, ManifestLine))
    indices = [name for store in STORES.values() for name in store.index_files]
    for name in (MANIFEST, ERRORS, SKIPPED, RUN, *(indices if paths else ())):
        (out / name).unlink(missing_ok=True)
    _delete(out, paths)
    shutil.rmtree(out / SPOOL, ignore_errors=True)


def _delete(out: Path, paths: Iterable[str]) -> None:
    """Features that a manifest named; nothing else, and nothing outside of `out`, whatever it says."""
    suffixes = {store.suffix for store in STORES.values()}
    for path in map(Path, paths):
        if path.suffix in suffixes and not path.is_absolute() and ".." not in path.parts:
            (out / path).unlink(missing_ok=True)


def _each_is_whole(out: Path) -> Callable[[ManifestLine], bool]:
    return lambda line: is_whole(out, line)


class _Exists:
    """Whether a line's shard is there; asked once for each shard, however many features are in it."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._last: tuple[str, bool] = ("", False)

    def __call__(self, line: ManifestLine) -> bool:
        if line.path != self._last[0]:
            self._last = (line.path, os.path.isfile(self._out / line.path))
        return self._last[1]


def _same_input(line: ManifestLine, item: Input, recipe: Recipe, channel: str | int) -> bool:
    """Whether `item` is what the line was made of: the same segment of a file of the same size and time, or content."""
    channel = channel if item.channel is None else item.channel
    if (line.start, line.duration, line.channel) != (item.start, item.duration, channel):
        return False
    if item.is_command:
        return line.audio == item.audio
    try:
        status = os.stat(item.audio)
    except OSError:
        return False
    if recipe.identity == "sha256":
        return line.audio_bytes == status.st_size and line.audio_sha256 == content(item.audio)
    return (line.audio_bytes, line.audio_mtime_ns) == (status.st_size, status.st_mtime_ns)


def _where_it_is(line: ManifestLine, item: Input) -> ManifestLine:
    """The line of an input that may have moved since."""
    return line if line.audio == item.audio else replace(line, audio=item.audio)


def _other_recipe(out: Path, facts: Facts) -> str:
    before: dict[str, str] = read_record(out).get("ingredients") or {}
    changed = [name for name in facts.ingredients if before.get(name) != facts.ingredients[name]]
    words = ", ".join(_difference(name, before.get(name, ""), facts.ingredients[name]) for name in changed)
    return (
        f"{out} holds features of another recipe ({words or 'see its manifest'}); choose another folder, replace them "
        "by overwrite=True (--overwrite), or keep both by resume_mixed=True (--resume-mixed)."
    )


def _difference(name: str, before: str, now: str) -> str:
    """An ingredient's name, and what it was and is; of a long one the first line that differs; of a sum nothing.

    >>> _difference("pipeline", "a = 1\\nb = 2", "a = 1\\nb = 3"), _difference("weights", "0" * 64, "1" * 64)
    ("pipeline: 'b = 2' -> 'b = 3'", 'weights')
    """
    lines = zip_longest(before.splitlines(), now.splitlines(), fillvalue="")
    first, second = next(((a, b) for a, b in lines if a != b), (before, now))
    return name if len(first) == SUM == len(second) else f"{name}: {first!r} -> {second!r}"
