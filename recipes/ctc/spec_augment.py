"""SpecAugment: in training, stretches of time and of channels are set to the utterance's mean.

Source: Park et al. 2019, SpecAugment (arXiv 1904.08779).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Holes:
    """How many stretches are blotted out, and how long they may be.

    Args:
        time_masks, time_mask: of time; the longest in frames.
        channel_masks, channel_mask: of channels; the longest as a share of them.
    """

    time_masks: int = 2
    time_mask: int = 10
    channel_masks: int = 2
    channel_mask: float = 0.15


@dataclass(frozen=True)
class SpecAugment:
    """Holes in the frames of a batch, drawn by a seed."""

    holes: Holes
    seed: int

    def __call__(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, channels) with each row's holes at the row's own mean."""
        generator = np.random.default_rng(self.seed)
        own, channels = self.holes, frames.shape[2]
        keep = np.ones(frames.shape, bool)
        widest = round(own.channel_mask * channels)
        for row, count in enumerate(lengths.tolist()):
            for _ in range(own.time_masks):
                start, stop = _stretch(count, min(own.time_mask, count // 4), generator)
                keep[row, start:stop] = False
            for _ in range(own.channel_masks):
                start, stop = _stretch(channels, widest, generator)
                keep[row, :, start:stop] = False
        mean = frames.sum((1, 2), keepdim=True) / (lengths[:, None, None].clip(min=1) * channels)
        return torch.where(torch.from_numpy(keep).to(frames.device), frames, mean.detach())


def _stretch(size: int, longest: int, generator: np.random.Generator) -> tuple[int, int]:
    length = int(generator.integers(longest + 1))
    start = int(generator.integers(size - length + 1))
    return start, start + length
