"""Features one after the other, for programs that keep them themselves; nothing stays on disk."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechconv.extraction.inputs import Input
from speechconv.extraction.progress import ProgressMode, announce
from speechconv.extraction.recipe import Recipe
from speechconv.extraction.task import Stop, Task
from speechconv.extraction.workforce import Workforce
from speechconv.stores.manifest import ErrorLine, Line, ManifestLine

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Extracted:
    """One input's features, as they get done.

    Attributes:
        id: the utterance's name.
        features: (frames, channels); None where there are none.
        line: all about it: a `ManifestLine`, or why there are no features: an `ErrorLine` or a `SkippedLine`.
    """

    id: str
    features: Tensor | None
    line: Line


def one_by_one(
    items: Sequence[Input], recipe: Recipe, workforce: Workforce, statements: Sequence[str], progress: ProgressMode
) -> Iterator[Extracted]:
    """Each input's features as they get done, of those with a problem first.

    Raises:
        ValueError, TypeError, FileNotFoundError: the recipe cannot be made.
    """
    announce(statements, progress)
    for item in items:
        if item.problem is not None:
            yield Extracted(item.id, None, ErrorLine(item.id, item.audio, item.stage, item.error, item.problem))
    tasks = (Task(place, item) for place, item in enumerate(items) if item.problem is None)
    with tempfile.TemporaryDirectory(prefix="speechconv-") as folder:
        engine = workforce.start(replace(recipe, folder=Path(folder)), len(items))
        try:
            engine.facts()
            with contextlib.closing(engine.run(tasks, Stop())) as results:
                for _, line in results:
                    yield Extracted(line.id, _taken(Path(folder), line), line)
        finally:
            engine.kill()


def _taken(folder: Path, line: Line) -> Tensor | None:
    """The features out of their file, which goes."""
    if not isinstance(line, ManifestLine):
        return None
    import torch

    path = folder / line.path
    features = torch.from_numpy(np.load(path))
    path.unlink()
    return features
