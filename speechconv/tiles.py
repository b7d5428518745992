"""A layer and the pointwise ones behind it, tile by tile: what one writes, the next finds in cache.

    log(mel(stft(x)))    as    for each tile of frames: log(mel(stft(x[tile])))

The numbers are the same; an STFT's spectra, several times the size of its input, never travel to memory. Only where no
gradient is asked for: backpropagation needs the intermediate results anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

import torch
from torch import Tensor, nn

from speechconv.geometry import Geometry
from speechconv.layer import Layer, run_offline


def tiled_runs(layers: Sequence[nn.Module]) -> Iterator[tuple[nn.Module, list[nn.Module]]]:
    """Each layer with the layers that share its tiles: none, or all pointwise ones behind one that has a `tile`."""
    start = 0
    while start < len(layers):
        head = layers[start]
        tileable = isinstance(head, Layer) and head.tile is not None
        followers = list(takewhile(is_pointwise, layers[start + 1 :])) if tileable else []
        yield head, followers
        start += 1 + len(followers)


def is_pointwise(layer: nn.Module) -> bool:
    """True for a frame-by-frame map: a torch module, or a layer of one frame that has no memory and no way of its own
    through the whole signal."""
    if not isinstance(layer, Layer):
        return True
    kind = type(layer)
    return layer.geometry == Geometry() and (kind.offline, kind.plan, kind.step) == (
        Layer.offline,
        Layer.plan,
        Layer.step,
    )


def run_tiles(head: nn.Module, followers: Sequence[nn.Module], x: Tensor, lengths: Tensor | None) -> Tensor:
    """`head`, then `followers`, on the whole input; tile by tile where that is possible."""
    layers = (head, *followers)
    if isinstance(head, Layer) and head.tile and not _needs_gradient(x, layers):
        frames = head.geometry.num_frames(x.shape[1])
        if frames and len(x):
            tile = head.tile * torch.get_num_threads()  # threads share each step of a tile
            return _run(head, followers, head.padded(x, lengths), frames, tile)
    for layer in layers:
        x = run_offline(layer, x, lengths)
    return x


def _run(head: Layer, followers: Sequence[nn.Module], padded: Tensor, frames: int, tile: int) -> Tensor:
    out = padded.new_empty(0)
    for rows, span, samples in tiles(head.geometry, len(padded), frames, tile):
        y = head.valid(padded[rows, samples])
        for layer in followers:
            y = run_offline(layer, y, None)
        if not out.numel():
            out = y.new_empty((len(padded), frames, y.shape[2]))
        out[rows, span] = y
    return out


def tiles(g: Geometry, batch: int, frames: int, tile: int) -> Iterator[tuple[slice, slice, slice]]:
    """Rows and frames of each tile, and the samples that it is made of; tiles are as even as can be."""
    rows = max(1, tile // frames)
    count = max(1, round(frames / tile))
    bounds = [frames * number // count for number in range(count + 1)]
    for row in range(0, batch, rows):
        for first, end in pairwise(bounds):
            samples = slice(first * g.stride, (end - 1) * g.stride + g.receptive_field)
            yield slice(row, row + rows), slice(first, end), samples


def _needs_gradient(x: Tensor, layers: Sequence[nn.Module]) -> bool:
    if not torch.is_grad_enabled():
        return False
    return x.requires_grad or any(p.requires_grad for layer in layers for p in layer.parameters())
