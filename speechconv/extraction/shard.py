"""--shard i/n: the part of all inputs that one of n runs does; an id's part never depends on the others.

part of an id = blake2b(id) mod n
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from speechconv.runs.shards import shard_name


@dataclass(frozen=True)
class Shard:
    """One part of n, counted from 0.

    >>> str(Shard(3, 8)), Shard(3, 8).folder
    ('3/8', 'shard-0003-of-0008')
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise ValueError(f"shard (={self}) must be I/N with 0 <= I < N, counted from 0.")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def folder(self) -> str:
        """Under the output folder."""
        return shard_name(self.number, self.count)

    def holds(self, id: str) -> bool:
        """Whether this part has that id."""
        digest = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.number


def parse_shard(text: str, environment: Mapping[str, str] = os.environ) -> Shard:
    """The part that "3/8" names, or "auto": of a Slurm array (SLURM_ARRAY_TASK_ID) or of torchrun (RANK, WORLD_SIZE).

    Raises:
        ValueError: no such part, or nothing in the environment to tell it.

    >>> parse_shard("auto", {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "8"})
    Shard(number=4, count=8)
    """
    if text == "auto":
        return _from_environment(environment)
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None:
        raise ValueError(f"shard (={text!r}) must be I/N, counted from 0, such as 0/8, or 'auto'.")
    return Shard(int(match[1]), int(match[2]))


def _from_environment(environment: Mapping[str, str]) -> Shard:
    slurm = [environment.get(f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "COUNT", "STEP")]
    if slurm[0] is not None and slurm[2] is not None:
        number, first, count, step = (int(value or default) for value, default in zip(slurm, (0, 0, 1, 1), strict=True))
        return Shard((number - first) // step, count)
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return Shard(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    raise ValueError(
        "shard 'auto' found neither SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT nor RANK and WORLD_SIZE in the "
        "environment; give I/N."
    )
