"""Features back out of the store: the arrays that the lines of a manifest name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechconv.stores.manifest import MANIFEST, ManifestLine, read_lines


def check_run(folder: Path) -> None:
    """FileNotFoundError unless `folder` has a manifest."""
    if not (folder / MANIFEST).is_file():
        shards = any(folder.glob("shard-*-of-*"))
        hint = f"`speechconv merge {folder}` makes it from the shards." if shards else "expected what `extract` wrote."
        raise FileNotFoundError(f"no {MANIFEST} in {folder}; {hint}")


def stored_features(folder: Path) -> Iterator[tuple[ManifestLine, NDArray]]:
    """Each line of the manifest with its (frames, channels) features, which stay on disk until they are looked at.

    Args:
        folder: that `extract` wrote.

    Raises:
        FileNotFoundError: no manifest there, or no features where a line says they are.
        ValueError: features of another shape than their line says.
    """
    check_run(folder)
    for line in read_lines(folder, ManifestLine):
        yield line, features_of(folder, line)


def features_of(folder: Path, line: ManifestLine) -> NDArray:
    """The features of one line; errors as `stored_features`."""
    path = folder / line.path
    if not path.is_file():
        raise FileNotFoundError(f"the features of {line.id!r} are not at {path}; extract them again.")
    array = np.load(path, mmap_mode="r")
    if array.shape != (line.frames, line.channels):
        raise ValueError(
            f"the features of {line.id!r} at {path} have shape {array.shape}, their line in the manifest says "
            f"{(line.frames, line.channels)}; extract them again."
        )
    return array
