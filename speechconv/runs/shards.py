"""Shards of a run: whole run folders of their own, OUT/shard-0003-of-0008, counted from 0."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from speechconv.stores.manifest import MANIFEST
from speechconv.stores.record import RUN

FIRST = 0
"""Number of the first shard."""


@dataclass(frozen=True)
class Shards:
    """The shards of one run.

    Attributes:
        count: of shards that there should be.
        folders: of those that are there, in order.
        missing: numbers of those that are not.
    """

    count: int
    folders: tuple[Path, ...]
    missing: tuple[int, ...]


def shard_name(number: int, count: int) -> str:
    """Name of a shard's folder.

    >>> shard_name(3, 8)
    'shard-0003-of-0008'
    """
    return f"shard-{number:04d}-of-{count:04d}"


def find_shards(out: Path) -> Shards:
    """The shards in `out`; one that has neither manifest nor run.json is missing.

    Raises:
        FileNotFoundError: there are none.
        ValueError: they are of different counts, or have a number that cannot be.
    """
    found: dict[int, Path] = {}
    counts: set[int] = set()
    for folder in sorted(out.glob("shard-*-of-*")):
        match = re.fullmatch(r"shard-(\d{4,})-of-(\d{4,})", folder.name)
        if match is None or not any((folder / name).is_file() for name in (MANIFEST, RUN)):
            continue
        number, count = map(int, match.groups())
        counts.add(count)
        found[number] = folder
    if not counts:
        raise FileNotFoundError(
            f"no shards in {out}; expected {shard_name(FIRST, 8)}, as `extract --shard` writes them."
        )
    if len(counts) > 1:
        raise ValueError(
            f"{out} holds shards of {' and of '.join(map(str, sorted(counts)))}; a run has one number of shards: "
            "move the others away."
        )
    (count,) = counts
    numbers = range(FIRST, FIRST + count)
    for number, folder in found.items():
        if number not in numbers:
            raise ValueError(f"{folder.name} cannot be: shards of {count} have the numbers {FIRST} to {numbers[-1]}.")
    missing = tuple(number for number in numbers if number not in found)
    return Shards(count, tuple(found[number] for number in sorted(found)), missing)
