"""Dither: normal noise that is a pure function of seed, frame and sample, so that every way to a frame adds the same.

    a, b = two 32-bit hashes of (seed, frame, sample)        z = sqrt(-2 ln((a + 1) / 2^32)) cos(2 pi b / 2^32)

A generator with a state would give other noise live than offline, and other noise to each row of a batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

WORD = 2**32


def normal_noise(seed: int, frames: Tensor, count: int) -> Tensor:
    """Standard normal noise, float32, the same for every type of signal: for each frame index its own `count` samples.

    Args:
        seed: 0 ... 2^32 - 1.
        frames: int64 indices of frames, any shape; taken modulo 2^32.
        count: samples of a frame.

    Shape:
        frames.shape -> (*frames.shape, count)

    Source: Box and Muller 1958, "A note on the generation of random normal deviates".

    >>> whole = normal_noise(0, torch.arange(9), 400)
    >>> torch.equal(normal_noise(0, torch.tensor([7]), 400)[0], whole[7])
    True
    """
    key = _hash(_hash(torch.full_like(frames, seed)) ^ (frames % WORD))[..., None]
    places = torch.arange(2 * count, device=frames.device)
    radius, angle = (_hash(key ^ _hash(part)).double() for part in places.view(2, count))
    return (torch.sqrt(-2 * torch.log((radius + 1) / WORD)) * torch.cos(angle * (2 * math.pi / WORD))).float()


def _hash(words: Tensor) -> Tensor:
    """A bijection of 32-bit words, held in int64, in which every bit of the input moves every bit of the output.

    Source: Wellons 2018, "Prospecting for hash functions", lowbias32. Its second multiplier is written less 2^32, so
    that no product leaves 63 bits.
    """
    words = words ^ (words >> 16)
    words = words * 0x7FEB352D % WORD
    words = words ^ (words >> 15)
    words = words * (0x846CA68B - WORD) % WORD
    return words ^ (words >> 16)
