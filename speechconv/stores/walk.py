"""Features back out of the store: the arrays that the lines of a manifest name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from numpy.typing import NDArray

from speechconv.stores.manifest import ManifestLine, manifest_of, read_lines
from speechconv.stores.open_shards import DamagedFeatures, OpenShards, explained


def stored_features(folder: Path) -> Iterator[tuple[ManifestLine, NDArray]]:
    """Each line of the manifest with its (frames, channels) features, out of any store.

    Args:
        folder: that `extract` wrote.

    Raises:
        FileNotFoundError: no manifest there, or no features where a line says they are.
        ValueError: features that are damaged.
    """
    manifest_of(folder)
    with OpenShards(folder) as shards:
        for line in read_lines(folder, ManifestLine):
            yield line, _read(shards, folder, line)


def features_of(folder: Path, line: ManifestLine) -> NDArray:
    """The features of one line; errors as `stored_features`."""
    with OpenShards(folder) as shards:
        return _read(shards, folder, line)


def _read(shards: OpenShards, folder: Path, line: ManifestLine) -> NDArray:
    try:
        return shards.read(line)
    except DamagedFeatures as error:
        raise explained(error, folder, line) from None
