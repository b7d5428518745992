"""Shards of a run -> one manifest: OUT/manifest.jsonl names the features where they are, in OUT/shard-*/.

Lines are read and written one by one, shard after shard; nothing gets its name before all of it is there. What must be
kept in memory is every id, since no two lines may have the same one, and what a store's index (feats.scp) sorts.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from speechconv.runs.counts import Counts
from speechconv.runs.shards import Shards, find_shards, shard_name
from speechconv.stores.manifest import REPORTS, ErrorLine, Line, ManifestLine, SkippedLine, encode_line, read_lines
from speechconv.stores.record import ENDINGS, RUN, Record, read_record, total_of
from speechconv.stores.registry import STORES
from speechconv.stores.whole_file import whole_file

SHARED = ("ingredients", "versions", "options", "recipe", "store")
"""Keys of run.json that say how the features were made."""

TOTALS = ("files_ok", "files_failed", "files_skipped", "files_left", "frames", "audio_seconds", "wall_seconds")


@dataclass(kw_only=True)
class MergedRun(Counts):
    """What a merged run came to; its counts are of the merged reports.

    Attributes:
        out: the folder.
        status: "finished" if every shard is; else the worst that one of them says, "running" for a missing one.
        shards: how many there should be.
        missing: numbers of those that are not there.
        files_left: inputs that the shards did not come to, as far as they say.
        wall_seconds: of all shards together.
    """

    out: str
    status: str
    shards: int
    missing: tuple[int, ...] = ()
    files_left: int = 0
    wall_seconds: float = 0.0

    def __str__(self) -> str:
        text = f"{self.shards - len(self.missing)} of {self.shards} shards, {self.status}: {self.files_ok} files"
        text += f", {self.frames} frames, {self.audio_seconds:.1f} s of audio"
        if self.files_skipped:
            text += f"; {self.files_skipped} skipped"
        if self.files_failed:
            text += f"; {self.files_failed} failed, see {self.out}/errors.jsonl"
        return text


def merge_shards(out: str | os.PathLike[str], allow_missing: bool = False) -> MergedRun:
    """Write manifest.jsonl, errors.jsonl, skipped.jsonl, run.json and the store's index for the shards in `out`.

    No features are moved: paths of the new manifest begin with the shard's folder. Merging again, also after more
    shards came or went on, writes them anew. Of lines with one id the first wins; the others become error lines.

    Args:
        out: that `extract --shard i/n -o OUT` wrote into.
        allow_missing: merge what is there.

    Raises:
        FileNotFoundError: no shards.
        ValueError: missing shards, shards of different counts or made by different recipes, or a folder that holds a
            run of its own.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for number in (0, 1):
        ...         shard = Path(folder, shard_name(number, 2))
        ...         shard.mkdir()
        ...         _ = shard.joinpath("run.json").write_text('{"status": "finished"}')
        ...     print(merge_shards(folder))
        2 of 2 shards, finished: 0 files, 0 frames, 0.0 s of audio
    """
    out = Path(out)
    shards = find_shards(out)
    if shards.missing and not allow_missing:
        names = ", ".join(shard_name(number, shards.count) for number in shards.missing[:10])
        more = f" and {len(shards.missing) - 10} more" if len(shards.missing) > 10 else ""
        raise ValueError(f"not there: {names}{more}; run them, or merge what is there with --allow-missing.")
    if (earlier := read_record(out)) and "shards" not in earlier:
        raise ValueError(f"{out} holds a run of its own, which merging would overwrite; keep shards in another folder.")
    records = {folder: read_record(folder) for folder in shards.folders}
    _check_recipes(records)
    status = _status(shards, records)
    merged = MergedRun(out=str(out), status=status, shards=shards.count, missing=shards.missing)
    with whole_file(out / RUN) as run:  # gets its name last
        with ExitStack() as stack:
            reports = {kind: stack.enter_context(whole_file(out / name)) for kind, name in REPORTS.items()}
            _write_reports(reports, records, merged)
        _write_indexes(out)
        for record in records.values():
            merged.files_left += int(total_of(record, "files_left"))
            merged.wall_seconds += total_of(record, "wall_seconds")
        run.write((json.dumps(_run_fields(merged, records), indent=2) + "\n").encode())
    return merged


def _write_reports(reports: Mapping[type[Line], BinaryIO], records: Mapping[Path, Record], merged: MergedRun) -> None:
    for line in _lines(records):
        reports[type(line)].write(encode_line(line))
        merged.add(line)


def _write_indexes(out: Path) -> None:
    """For the stores' own tools, as `extract` writes them: feats.scp of all shards together."""
    for store in STORES.values():
        lines = (line for line in read_lines(out, ManifestLine) if line.path.endswith(store.suffix))
        if store.index_files and (first := next(lines, None)):
            store.index(out, chain([first], lines))


def _lines(records: Mapping[Path, Record]) -> Iterator[Line]:
    """Every line of every shard, as it stands in the merged reports."""
    homes: dict[str, str] = {}
    for folder, record in records.items():
        for line in read_lines(folder, ManifestLine):
            _check_line(line, record, folder)
            if line.id in homes:
                yield _second(line, homes[line.id], folder.name)
            else:
                homes[line.id] = folder.name
                yield replace(line, path=f"{folder.name}/{line.path}")
        yield from read_lines(folder, ErrorLine)
        yield from read_lines(folder, SkippedLine)


def _second(line: ManifestLine, home: str, folder: str) -> ErrorLine:
    message = f"the id stands in {home} already; the features that {folder} made for it are left out of the manifest."
    return ErrorLine(line.id, line.audio, "input", "ValueError", message)


def _check_line(line: ManifestLine, record: Record, folder: Path) -> None:
    """A folder that was resumed with other options may say so; then its lines may be of several recipes."""
    mixed = (record.get("options") or {}).get("resume_mixed")
    if record.get("recipe") not in (None, line.recipe) and not mixed:
        raise ValueError(
            f"the features of {line.id!r} in {folder} were made by another recipe than its run.json says; extract that "
            "shard again."
        )


def _check_recipes(records: Mapping[Path, Record]) -> None:
    (first, one), *others = records.items()
    for folder, other in others:
        if None not in (one.get("recipe"), other.get("recipe")) and one["recipe"] != other["recipe"]:
            raise ValueError(
                f"{first.name} and {folder.name} were made by different recipes ({one['recipe']}, {other['recipe']}); "
                "extract them with the same pipeline and options."
            )
        if one.get("versions") != other.get("versions"):
            warnings.warn(
                f"{first.name} and {folder.name} were made by different versions of the libraries; the last digits may "
                "differ.",
                stacklevel=3,
            )


def _status(shards: Shards, records: Mapping[Path, Record]) -> str:
    found = {record.get("status", "running") for record in records.values()} | (
        {"running"} if shards.missing else set()
    )
    return next((status for status in ENDINGS if status in found), "finished")


def _run_fields(merged: MergedRun, records: Mapping[Path, Record]) -> Record:
    """run.json of the whole: how the features were made, from the first shard; when and what came of it, from all."""
    first, *_ = records.values()
    started, ended = ([record[key] for record in records.values() if record.get(key)] for key in ("started", "ended"))
    counted = asdict(merged)
    return {
        **{key: first.get(key) for key in SHARED},
        "argv": sys.argv,
        "started": min(started, default=None),
        "ended": max(ended) if len(ended) == len(records) else None,
        "status": merged.status,
        "totals": {key: counted[key] for key in TOTALS},
        "real_time_factor": merged.wall_seconds / merged.audio_seconds if merged.audio_seconds else None,
        "shard": None,
        "shards": merged.shards,
        "missing": list(merged.missing),
    }
