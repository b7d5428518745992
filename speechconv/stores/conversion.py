"""From one store to another, bit by bit.

    lines of DIR -> Packer -> shards of OUT -> .speechconv-manifest.tmp -> reports -> manifest.jsonl, last

Every item's sha256 is compared on the way, so that damage is never copied. OUT has a manifest only when all of it is
there; one that a killed conversion left is cleared by the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from speechconv.stores.feature_file import SUFFIX
from speechconv.stores.ids import TEMPORARY, file_name
from speechconv.stores.item import Item, Rows
from speechconv.stores.kaldi_ark import KALDI, ArkStream
from speechconv.stores.manifest import (
    ERRORS,
    MANIFEST,
    SKIPPED,
    JsonLines,
    ManifestLine,
    decode_line,
    manifest_of,
    read_lines,
)
from speechconv.stores.open_shards import DamagedFeatures, OpenShards, digest, explained
from speechconv.stores.packer import SHARD_BYTES, Packer, remove_orphans
from speechconv.stores.record import RUN, Record, read_record
from speechconv.stores.registry import STORES, store_named
from speechconv.stores.store import Store
from speechconv.stores.whole_file import whole_text

UNFINISHED = f"{TEMPORARY}manifest{SUFFIX}"
REPORTS = (RUN, ERRORS, SKIPPED)
ARK_TO_STDOUT = "ark:-"


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | BinaryIO,
    *,
    store: str = "kaldi",
    dtype: str | None = None,
    overwrite: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> int:
    """The features of one folder in another store; the manifest keeps its lines, each with its new place.

    Args:
        source: folder that `extract`, `merge` or `convert` wrote.
        out: another folder; or "ark:-" for a Kaldi archive on stdout, or an open binary file for one.
        store: "npy", "kaldi", "hdf5", "tar", "safetensors" or "parquet".
        dtype: "float32" or "float16"; None leaves each item its own. Narrowing rounds.
        overwrite: forget the earlier run that `out` holds.
        shard_bytes: of features in a shard, at most.

    Returns:
        How many items were converted.

    Raises:
        FileNotFoundError: `source` has no manifest.
        ValueError: `out` is in use or holds `source`, the store cannot hold the dtype, features are missing or damaged,
            or a report is not what speechconv wrote.
        ImportError: the store's library is not installed.
        OSError: as on a full disk; nothing of the conversion stays.

    Example:
        >>> import numpy, soundfile, tempfile
        >>> from speechconv.extraction import extract
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     soundfile.write(f"{folder}/tone.wav", numpy.sin(numpy.arange(16000.0)), 16000)
        ...     summary = extract(f"{folder}/tone.wav", out=f"{folder}/features")
        ...     count = convert(f"{folder}/features", f"{folder}/kaldi", store="kaldi")
        ...     count, Path(folder, "kaldi", "utt2num_frames").read_text()
        (1, 'tone 101\\n')
    """
    source = Path(source)
    manifest_of(source)
    if out == ARK_TO_STDOUT:
        if sys.stdout is None:
            raise ValueError("stdout is closed; expected somewhere to write the archive to.")
        out = sys.stdout.buffer
    if not isinstance(out, str | os.PathLike):
        return _stream(source, out, dtype)
    record = read_record(source)
    target = store_named(store)
    for stored in {dtype} if dtype else {line.dtype for line in read_lines(source, ManifestLine)}:
        target.check(stored)
    out = Path(out)
    _prepare(source, out, overwrite)
    try:
        count = _pack(source, out, target, dtype, shard_bytes)
        target.index(out, _lines_of(out / UNFINISHED))
        _copy_reports(source, out)
        if record:
            with whole_text(out / RUN) as file:
                json.dump(_converted(record, target, dtype), file, indent=2)
                file.write("\n")
        os.replace(out / UNFINISHED, out / MANIFEST)
    except BaseException:
        _forget(out)
        raise
    return count


class _Source:
    """Items of the source's features, in the dtype that they shall have.

    Attributes:
        digests: sha256 by id, of items whose bytes are others now.
    """

    def __init__(self, folder: Path, shards: OpenShards, dtype: str | None) -> None:
        self.digests: dict[str, str] = {}
        self._folder = folder
        self._shards = shards
        self._dtype = dtype
        self._from: dict[str, str] = {}

    def lines(self) -> Iterator[ManifestLine]:
        """The manifest's lines with the dtype that they shall have."""
        for line in read_lines(self._folder, ManifestLine):
            if self._dtype is not None and line.dtype != self._dtype:
                self._from[line.id] = line.dtype
                line = replace(line, dtype=self._dtype, recipe=_cast_recipe(line.recipe, self._dtype))
            yield line

    def item(self, line: ManifestLine) -> Item:
        return Item(line.id, (line.frames, line.channels), np.dtype(line.dtype), lambda: (self.rows(line),))

    def rows(self, line: ManifestLine) -> Rows:
        """Features of one of `lines`, compared with their sha256.

        Raises:
            DamagedFeatures: they are missing or others.
        """
        stored = replace(line, dtype=self._from.get(line.id, line.dtype))
        try:
            rows = self._shards.read(stored)
            if digest(rows) != line.sha256:
                raise DamagedFeatures(f"{line.path} is damaged: the bytes have not the manifest's sha256")
        except DamagedFeatures as error:
            raise explained(error, self._folder, line) from error
        if stored.dtype != line.dtype:
            rows = _cast(rows, line)
            self.digests[line.id] = digest(rows)
        return rows

    def placed(self, line: ManifestLine) -> ManifestLine:
        """A line whose features are in their place: with the sha256 that they have now."""
        self._from.pop(line.id, None)
        return replace(line, sha256=self.digests.pop(line.id, line.sha256))


def _cast_recipe(recipe: str, dtype: str) -> str:
    """Names the bytes that are others now; an unknown recipe stays one."""
    return recipe and f"{recipe}+{dtype}"


def _cast(rows: Rows, line: ManifestLine) -> Rows:
    with np.errstate(over="ignore"):
        cast = rows.astype(line.dtype)
    if np.isinf(cast).sum() != np.isinf(rows).sum():
        raise ValueError(
            f"features of {line.id!r} are up to {np.abs(rows[np.isfinite(rows)]).max():g} in size, and {line.dtype} "
            "ends at 65504; leave them float32."
        )
    return cast


def _pack(source: Path, out: Path, store: Store, dtype: str | None, shard_bytes: int) -> int:
    """Everything into its place; the lines into the manifest to be."""
    count = 0
    with OpenShards(source) as shards, JsonLines(out / UNFINISHED) as manifest:
        origin = _Source(source, shards, dtype)
        packer = Packer(out, store, shard_bytes=shard_bytes, item=origin.item)

        def write_down(lines: list[ManifestLine]) -> int:
            for line in lines:
                manifest.append(origin.placed(line))
            return len(lines)

        try:
            for line in origin.lines():
                count += write_down(packer.take(line))
            return count + write_down(packer.close())
        except BaseException:
            packer.discard()
            if store.one_each:
                for line in read_lines(source, ManifestLine):
                    _remove(out, file_name(line.id, store.suffix))
            raise


def _stream(source: Path, file: BinaryIO, dtype: str | None) -> int:
    count = 0
    with OpenShards(source) as shards:
        origin, ark = _Source(source, shards, dtype), ArkStream(file)
        for line in origin.lines():
            KALDI.check(line.dtype)
            ark.write(line.id, origin.rows(line))
            origin.placed(line)
            count += 1
    return count


def _prepare(source: Path, out: Path, overwrite: bool) -> None:
    """An empty folder, or what an earlier run and the user leave in it."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; expected a folder for the features.")
    if out.resolve() in (source.resolve(), *source.resolve().parents):
        raise ValueError(f"{out} is the folder to convert, or holds it; choose another one.")
    if (out / MANIFEST).exists():
        if not overwrite:
            raise ValueError(
                f"{out} holds an earlier run ({MANIFEST}); choose another folder, or replace that run by "
                "overwrite=True (--overwrite)."
            )
        for _ in read_lines(out, ManifestLine):
            """Is it speechconv's? It says so, or raises."""
        os.replace(out / MANIFEST, out / UNFINISHED)
    if (out / UNFINISHED).exists():
        _forget(out)
    elif out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty, and holds no {MANIFEST}; choose a folder that speechconv may fill.")
    out.mkdir(parents=True, exist_ok=True)


def _forget(out: Path) -> None:
    """Delete what an unfinished conversion, or the run before it, left in `out`, and `out` itself if nothing stays."""
    root = out.resolve()
    for line in _lines_of(out / UNFINISHED):
        if (out / line.path).resolve().is_relative_to(root):
            _remove(out, line.path)
    if not out.exists():
        return
    for name in (*REPORTS, *(name for store in STORES.values() for name in store.index_files)):
        (out / name).unlink(missing_ok=True)
    remove_orphans(out, set())
    with contextlib.suppress(OSError):
        out.rmdir()


def _remove(out: Path, name: str) -> None:
    """Delete a file, and its folders if nothing else is in them."""
    (out / name).unlink(missing_ok=True)
    for folder in Path(name).parents:
        with contextlib.suppress(OSError):
            (out / folder).rmdir()


def _lines_of(path: Path) -> Iterator[ManifestLine]:
    if path.exists():
        with open(path, "rb") as file:
            for number, data in enumerate(file, 1):
                if data.endswith(b"\n"):
                    yield decode_line(data, ManifestLine, f"{path}, line {number}")


def _converted(record: Record, store: Store, dtype: str | None) -> Record:
    """run.json with the store, dtype and recipe that it is now; the recipe as its lines have it."""
    now = record | {"store": store.name}
    if dtype is None:
        return now
    if dtype != (record.get("dtype") or (record.get("options") or {}).get("dtype")):
        now["recipe"] = _cast_recipe(record.get("recipe") or "", dtype) or None
    return now | {"dtype": dtype}


def _copy_reports(source: Path, out: Path) -> None:
    for name in (ERRORS, SKIPPED):
        if (source / name).exists():
            shutil.copyfile(source / name, out / name)
