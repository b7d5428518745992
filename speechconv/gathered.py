"""Training past batch norm, on the valid frames alone.

    norm(linear(x)), lengths    as    scatter(norm(linear(gather(x))))

Batch norm in training takes its statistics over valid frames, so it needs them gathered. The layers beside it that
treat each frame by itself take them as they are: one gathering serves them all, and what the batch is padded with costs
none of them anything. The numbers are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from torch import Tensor, nn

from speechconv.layer import num_frames_of, run_offline
from speechconv.norm import BatchNorm
from speechconv.tiles import is_pointwise
from speechconv.valid_frames import ValidFrames


def gathered_runs(layers: Iterable[nn.Module]) -> Iterator[list[nn.Module]]:
    """Layers that share one gathering: neighbours that treat each frame by itself, batch norms in training among them;
    every other layer alone."""
    for frame_by_frame, group in groupby(layers, _takes_gathered):
        run = list(group)
        if frame_by_frame and any(map(_is_gatherer, run)):
            yield run
        else:
            yield from ([layer] for layer in run)


def run_gathered(run: list[nn.Module], x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """One of `gathered_runs` on a padded batch: its frames and their numbers."""
    if len(run) == 1:
        return run_offline(run[0], x, lengths), num_frames_of(run[0], lengths)
    valid = ValidFrames(lengths, x.shape[1])
    y = valid.gather(x)
    for layer in run:
        y = run_offline(layer, y, None)
    return valid.scatter(y), lengths


def _is_gatherer(layer: nn.Module) -> bool:
    return isinstance(layer, BatchNorm) and layer.training


def _takes_gathered(layer: nn.Module) -> bool:
    return isinstance(layer, BatchNorm) or is_pointwise(layer)
