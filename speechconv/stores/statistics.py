"""Global mean and variance of every channel over all that was extracted, in float64: one pass, and in any parts.

Merged by Chan, Golub and LeVeque 1983, so that neither the number of frames nor an offset costs digits:

    n = n_a + n_b        d = mean_b - mean_a        mean = mean_a + d n_b / n
    scatter = scatter_a + scatter_b + d^2 n_a n_b / n                               variance = scatter / n
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechconv.stores.statistics_file import Numbers, read_statistics, write_statistics
from speechconv.stores.walk import stored_features

BLOCK = 1 << 18
"""Values that are taken to float64 at a time."""


class FeatureStatistics(Numbers):
    """Of the frames of many utterances, all taken as one heap.

    Attributes:
        count: frames.
        mean, variance: (channels,) float64; the variance is divided by the count.
        recipes: by which the features were made (`ManifestLine.recipe`), sorted; one, unless recipes were mixed.
            Kaldi's files do not hold them.

    Example:
        >>> a = FeatureStatistics.of(np.array([[1.0], [2.0]]))
        >>> both = a.merge(FeatureStatistics.of(np.array([[6.0]])))
        >>> both.count, both.mean, both.variance.round(3)
        (3, array([3.]), array([4.667]))
    """

    @property
    def channels(self) -> int:
        return len(self.mean)

    @classmethod
    def of(cls, frames: NDArray, recipe: str = "") -> FeatureStatistics:
        """Of (n, channels) frames, n >= 1."""
        wide = np.asarray(frames, np.float64)
        mean = wide.mean(axis=0)
        recipes = (recipe,) if recipe else ()
        return cls(len(wide), mean, np.square(wide - mean).mean(axis=0), recipes)

    def merge(self, other: FeatureStatistics) -> FeatureStatistics:
        """Of both heaps together.

        Raises:
            ValueError: another number of channels.
        """
        if self.channels != other.channels:
            raise ValueError(
                f"statistics of {self.channels} channels cannot be merged with those of {other.channels}; "
                "the features must come from the same pipeline."
            )
        count = self.count + other.count
        share = other.count / count
        step = other.mean - self.mean
        variance = self.variance * (1 - share) + other.variance * share + np.square(step) * (share * (1 - share))
        recipes = tuple(sorted({*self.recipes, *other.recipes}))
        return FeatureStatistics(count, self.mean + step * share, variance, recipes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FeatureStatistics:
        """What `save`, or Kaldi's compute-cmvn-stats, wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: neither of these.
        """
        return cls(**vars(read_statistics(Path(path))))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file, whole or not at all: .json, or Kaldi's sums in .ark, .stats or .mat (binary) or .txt (text).

        Raises:
            FileNotFoundError: no such folder.
            ValueError: another extension.
        """
        write_statistics(Path(path), self)


def feature_statistics(*sources: str | os.PathLike[str]) -> FeatureStatistics:
    """Global statistics over all frames of all sources, for `with_cmvn` and `extract --cmvn`.

    One pass in bounded memory. The same sources in the same order give the same bits; in other parts or another order,
    the same numbers to about 1e-14.

    Args:
        sources: folders that `extract` wrote, and files of statistics (`FeatureStatistics.save`, or Kaldi's).

    Raises:
        FileNotFoundError: no such folder or file, a folder without a manifest, or features that are missing.
        ValueError: no frames at all, damaged features, NaN or infinite values, or different numbers of channels.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, frames in (("a", [[1.0, 0.0], [2.0, 0.0]]), ("b", [[6.0, 3.0]])):
        ...         FeatureStatistics.of(np.array(frames)).save(Path(folder, f"{name}.json"))
        ...     feature_statistics(Path(folder, "a.json"), Path(folder, "b.json")).mean
        array([3., 1.])
    """
    if not sources:
        raise ValueError("expected folders that `extract` wrote, or files of statistics; got none.")
    parts = (part for source in sources for part in _parts(Path(source)))
    first = next(parts, None)
    if first is None:
        raise ValueError(f"there is not one frame in {', '.join(map(str, sources))}.")
    return reduce(FeatureStatistics.merge, parts, first)


def _parts(source: Path) -> Iterator[FeatureStatistics]:
    if source.is_dir():
        for line, features in stored_features(source):
            yield from _blocks(features, line.recipe, f"the features of {line.id!r} in {source}")
    else:
        yield FeatureStatistics.load(source)


def _blocks(features: NDArray, recipe: str, what: str) -> Iterator[FeatureStatistics]:
    size = max(1, BLOCK // max(1, features.shape[1]))
    for first in range(0, len(features), size):
        block = features[first : first + size]
        if not np.isfinite(block).all():
            raise ValueError(f"{what} hold NaN or infinite values; `speechconv check` finds all that do.")
        yield FeatureStatistics.of(block, recipe)
