"""Mirrored padding: the signal around its ends, again and again where it is short, as numpy.pad does.

reflect     period 2 (N - 1)     index = min(n mod period, period - n mod period)
symmetric   period 2 N           index = min(n mod period, period - 1 - n mod period)
"""

from __future__ import annotations

import torch
from torch import Tensor

from speechconv.geometry import Mirror, MirrorKind


def mirror_index(positions: Tensor, length: Tensor | int, kind: MirrorKind = "reflect") -> Tensor:
    """Index in a signal of `length` samples that each position, before 0 or past the end, mirrors.

    Args:
        positions: integer tensor.
        length: samples, an int or an integer tensor that broadcasts; below 2 every position is sample 0.
        kind: "reflect" turns on the edge sample, "symmetric" repeats it.

    >>> mirror_index(torch.arange(-4, 5), 3).tolist()  # a b c b | a b c | b a of the signal a b c
    [0, 1, 2, 1, 0, 1, 2, 1, 0]
    >>> mirror_index(torch.arange(-4, 5), 3, "symmetric").tolist()  # c c b a | a b c | c b
    [2, 2, 1, 0, 0, 1, 2, 2, 1]
    """
    repeated = int(kind == "symmetric")
    period = torch.as_tensor(2 * (length - 1 + repeated)).clip(min=1)
    index = positions % period
    return torch.minimum(index, period - repeated - index)


def mirrored(x: Tensor, lengths: Tensor | None, mirror: Mirror) -> Tensor:
    """A waveform (batch, samples >= 1) with each row's own mirror on both sides of its signal."""
    samples = x.shape[1]
    if lengths is None:  # the ends alone: most of a long signal stays where it is
        before = torch.arange(-mirror.left, 0, device=x.device)
        after = torch.arange(samples, samples + mirror.right, device=x.device)
        left, right = (x[:, mirror_index(end, samples, mirror.kind)] for end in (before, after))
        return torch.cat((left, x, right), 1)
    positions = torch.arange(-mirror.left, samples + mirror.right, device=x.device)[None]
    index = mirror_index(positions, lengths[:, None], mirror.kind)
    return x.gather(1, index.expand(x.shape[0], -1))
