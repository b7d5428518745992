"""Training past batch norm, on the valid frames alone.

    norm(linear(x)), lengths    as    scatter(norm(linear(gather(x))))

Batch norm in training takes its statistics over valid frames, so it needs them gathered. The layers beside it that
treat each frame by itself take them as they are: one gathering serves them all, and what the batch is padded with costs
none of them anything. The numbers are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from torch import Tensor, nn

from speechconv.layer import Layer, num_frames_of, run_offline
from speechconv.norm import BatchNorm
from speechconv.tiles import is_pointwise
from speechconv.valid_frames import ValidFrames


def gathered_runs(layers: Sequence[nn.Module]) -> Iterator[list[nn.Module]]:
    """Layers that share one gathering: neighbours that treat each frame by itself, batch norms in training among them,
    and one behind them that pads; every other layer alone."""
    start = 0
    while start < len(layers):
        run = list(takewhile(_takes_gathered, layers[start:]))
        if not any(map(gathers, run)):
            run = [layers[start]]
        elif start + len(run) < len(layers) and _pads(layers[start + len(run)]):
            run.append(layers[start + len(run)])
        yield run
        start += len(run)


def run_gathered(run: Sequence[nn.Module], x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """One of `gathered_runs` on a padded batch: its frames and their numbers."""
    if len(run) == 1:
        return run_offline(run[0], x, lengths), num_frames_of(run[0], lengths)
    valid, last = ValidFrames(lengths, x.shape[1]), run[-1]
    y = valid.gather(x)
    for layer in takewhile(_takes_gathered, run):
        y = run_offline(layer, y, None)
    if _takes_gathered(last):
        return valid.scatter(y), lengths
    assert isinstance(last, Layer)
    g = last.geometry
    padded = valid.scatter(y, g.pad_left, g.pad_right)
    return last.on_padded(padded, g.num_frames(x.shape[1])), last.num_frames(lengths)


def gathers(layer: nn.Module) -> bool:
    """True for a batch norm in training."""
    return isinstance(layer, BatchNorm) and layer.training


def _takes_gathered(layer: nn.Module) -> bool:
    return isinstance(layer, BatchNorm) or is_pointwise(layer)


def _pads(layer: nn.Module) -> bool:
    """True for a layer that sets zeros around each row, and does nothing else through the whole signal."""
    if not isinstance(layer, Layer) or type(layer).offline is not Layer.offline:
        return False
    return layer.geometry.mirror is None and layer.geometry.pad_left + layer.geometry.pad_right > 0
