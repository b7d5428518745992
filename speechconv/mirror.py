"""Reflect padding: the signal mirrored around its ends, again and again where it is short, as numpy.pad does."""

from __future__ import annotations

import torch
from torch import Tensor


def mirror_index(positions: Tensor, length: Tensor | int) -> Tensor:
    """Index in a signal of `length` samples that each position, before 0 or past the end, mirrors.

    Args:
        positions: integer tensor.
        length: samples, an int or an integer tensor that broadcasts; below 2 every position is sample 0.

    >>> mirror_index(torch.arange(-4, 5), 3).tolist()  # a b c b | a b c | b a of the signal a b c
    [0, 1, 2, 1, 0, 1, 2, 1, 0]
    """
    period = torch.as_tensor(2 * (length - 1)).clip(min=1)
    index = positions % period
    return torch.minimum(index, period - index)
