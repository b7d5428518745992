"""Is everything there that the manifest says, and nothing else? One pass over all features.

missing      a line whose file, or whose key in it, is not there; an index that a tool of the store's needs
damaged      another shape, dtype or sha256 than the line's; values that are not finite
duplicate    an id, or a place, that two lines have
stray        features, also in a shard beside others, or temporary files that no line names
failed       an input that errors.jsonl tells about
unfinished   a run that did not get to its end
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np

from speechconv.stores.ids import TEMPORARY
from speechconv.stores.item import BLOCK, Rows
from speechconv.stores.manifest import ErrorLine, ManifestLine, manifest_of, read_lines
from speechconv.stores.open_shards import DamagedFeatures, MissingFeatures, OpenShards, digest
from speechconv.stores.record import RUN, read_record
from speechconv.stores.registry import STORES, store_of

Kind = Literal["missing", "damaged", "duplicate", "stray", "failed", "unfinished"]

STALE = "no line of the manifest names it, but who reads whole shards gets it; `convert` leaves it out"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: as above.
        name: the id, or the path of a file that belongs to none.
        message: what is wrong.
    """

    kind: Kind
    name: str
    message: str

    def __str__(self) -> str:
        """One line, whatever the name."""
        return f"{self.kind:<10}  {json.dumps(self.name)}  {' '.join(self.message.split())}"


@dataclass
class Check:
    """What a check found.

    Attributes:
        folder: that was checked.
        items: lines of its manifest.
        bytes: of features that were read.
        seconds: that it took.
        problems: all that is wrong.
    """

    folder: str
    items: int = 0
    bytes: int = 0
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    def to_json(self) -> str:
        """All of it, on one line."""
        return json.dumps({"good": self.good, **asdict(self)})

    def __str__(self) -> str:
        return (
            f"{self.items:,} items, {len(self.problems):,} problems; {self.bytes / 1e6:,.1f} MB in "
            f"{self.seconds:.1f} s, {self.bytes / 1e6 / max(self.seconds, 1e-9):,.0f} MB/s"
        )


def check(folder: str | os.PathLike[str]) -> Check:
    """Read all features again and compare them with the manifest.

    Args:
        folder: that `extract`, `merge` or `convert` wrote, in any store.

    Returns:
        What is wrong, if anything.

    Raises:
        FileNotFoundError: no manifest there.
        ValueError: a manifest that speechconv did not write.
        ImportError: the library of a store in it is not installed.

    Example:
        >>> import numpy, soundfile, tempfile
        >>> from speechconv.extraction import extract
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/tone.wav", numpy.sin(numpy.arange(16000.0)), 16000)
        ...     summary = extract(f"{folder}/tone.wav", out=f"{folder}/features")
        ...     before = check(f"{folder}/features")
        ...     Path(folder, "features", "tone.npy").unlink()
        ...     after = check(f"{folder}/features")
        >>> before.good, str(after.problems[0])
        (True, 'missing     "tone"  tone.npy is missing')
    """
    started = time.monotonic()
    folder = Path(folder)
    manifest_of(folder)
    result = Check(str(folder))
    named: set[bytes] = set()
    result.problems += _features(folder, result, named)
    result.problems += _strays(folder, named)
    result.problems += (
        Problem("failed", line.id, f"{line.stage}: {line.error}: {line.message}")
        for line in read_lines(folder, ErrorLine)
    )
    result.problems += _ending(folder)
    result.seconds = time.monotonic() - started
    return result


def _features(folder: Path, result: Check, named: set[bytes]) -> Iterator[Problem]:
    """Line by line; `named` gets a hash of every path."""
    ids: set[bytes] = set()
    places: set[bytes] = set()
    indexes: set[str] = set()
    packed: dict[str, None] = {}
    with OpenShards(folder) as shards:
        for line in read_lines(folder, ManifestLine):
            result.items += 1
            named.add(_hash(line.path))
            if line.key is not None:
                packed[line.path] = None
            if not _is_new(line.id, ids):
                yield Problem("duplicate", line.id, "the manifest has a line of this id before")
            if not _is_new(f"{line.path}\0{line.key}", places):
                yield Problem("duplicate", line.id, f"another line has its place, {line.path} {line.key or ''}")
            try:
                indexes.update(store_of(line.path).index_files)
                rows = shards.read(line)
            except MissingFeatures as error:
                yield Problem("missing", line.id, str(error))
                continue
            except ValueError as error:
                yield Problem("damaged", line.id, str(error))
                continue
            result.bytes += rows.nbytes
            if digest(rows) != line.sha256:
                yield Problem("damaged", line.id, f"{line.path}: the bytes have not the manifest's sha256")
            elif not _is_finite(rows):
                yield Problem("damaged", line.id, f"{line.path}: some values are not finite")
        for path in packed:
            yield from _strays_in(path, shards, places)
    for name in sorted(indexes):
        if not (folder / name).exists():
            yield Problem("missing", name, "the index of this store's shards is not there; `convert` writes it anew")


def _strays_in(path: str, shards: OpenShards, places: set[bytes]) -> Iterator[Problem]:
    """What a shard holds beside the manifest's features, such as those of an input that changed since."""
    with contextlib.suppress(DamagedFeatures):  # its lines said so
        for key in shards.keys(path):
            if _hash(f"{path}\0{key}") not in places:
                yield Problem("stray", f"{path} {key}", STALE)


def _strays(folder: Path, named: set[bytes]) -> Iterator[Problem]:
    suffixes = tuple(store.suffix for store in STORES.values())
    for place, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            path = Path(place, file).relative_to(folder).as_posix()
            ours = file.startswith(TEMPORARY) or file.endswith(suffixes)
            if ours and _hash(path) not in named:
                yield Problem("stray", path, "no line of the manifest names this file; a run that did not end left it")


def _ending(folder: Path) -> Iterator[Problem]:
    try:
        status = read_record(folder).get("status", "finished")
    except ValueError as error:
        yield Problem("damaged", RUN, str(error))
        return
    if status != "finished":
        yield Problem("unfinished", RUN, f"the run is {status!r}; the same extract command goes on with it")


def _is_finite(rows: Rows) -> bool:
    flat = rows.reshape(-1)
    return all(bool(np.isfinite(flat[start : start + BLOCK]).all()) for start in range(0, flat.size, BLOCK))


def _is_new(text: str, seen: set[bytes]) -> bool:
    """False where `seen` has it; now it does."""
    before = len(seen)
    seen.add(_hash(text))
    return len(seen) > before


def _hash(text: str) -> bytes:
    """A set of these stays small, however long the names are."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
