"""The valid frames of a padded batch side by side, and back.

    (batch, frames, channels)  ->  (1, sum of lengths, channels)  ->  (batch, frames, channels), 0 past each length

Both ways are one lookup by row number, which backpropagation turns into the other's like.
"""

from __future__ import annotations

import torch
from torch import Tensor


class ValidFrames:
    """Where the valid frames of a batch are.

    Args:
        lengths: (batch,) valid frames of each row.
        frames: of the padded batch.

    Example:
        >>> x = torch.tensor([[[1.0], [2.0]], [[3.0], [float("nan")]]])
        >>> valid = ValidFrames(torch.tensor([2, 1]), 2)
        >>> valid.gather(x).flatten(), valid.scatter(valid.gather(x)).flatten()
        (tensor([1., 2., 3.]), tensor([1., 2., 3., 0.]))
    """

    def __init__(self, lengths: Tensor, frames: int) -> None:
        real = (torch.arange(frames, device=lengths.device) < lengths[:, None]).flatten()
        self._shape = (len(lengths), frames)
        self._rows = real.nonzero()[:, 0]
        self._places = torch.where(real, real.cumsum(0) - 1, len(self._rows))  # the row behind the last is the zeros'

    def __len__(self) -> int:
        return len(self._rows)

    def gather(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) -> (1, len(self), channels)."""
        return x.flatten(0, 1).index_select(0, self._rows)[None]

    def scatter(self, y: Tensor) -> Tensor:
        """(1, len(self), channels) -> (batch, frames, channels), 0 where no frame is valid."""
        padded = torch.cat((y[0], y.new_zeros(1, y.shape[2])))
        return padded.index_select(0, self._places).unflatten(0, self._shape)
