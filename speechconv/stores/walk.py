"""Features back out of the store: the arrays that the lines of a manifest name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from numpy.typing import NDArray

from speechconv.stores.manifest import MANIFEST, ManifestLine, read_lines
from speechconv.stores.open_shards import OpenShards


def check_run(folder: Path) -> None:
    """FileNotFoundError unless `folder` has a manifest."""
    if not (folder / MANIFEST).is_file():
        shards = any(folder.glob("shard-*-of-*"))
        hint = f"`speechconv merge {folder}` makes it from the shards." if shards else "expected what `extract` wrote."
        raise FileNotFoundError(f"no {MANIFEST} in {folder}; {hint}")


def stored_features(folder: Path) -> Iterator[tuple[ManifestLine, NDArray]]:
    """Each line of the manifest with its (frames, channels) features, out of any store.

    Args:
        folder: that `extract` wrote.

    Raises:
        FileNotFoundError: no manifest there, or no features where a line says they are.
        ValueError: features that are damaged.
    """
    check_run(folder)
    with contextlib.closing(OpenShards(folder)) as shards:
        for line in read_lines(folder, ManifestLine):
            yield line, shards.read(line)


def features_of(folder: Path, line: ManifestLine) -> NDArray:
    """The features of one line; errors as `stored_features`."""
    with contextlib.closing(OpenShards(folder)) as shards:
        return shards.read(line)
