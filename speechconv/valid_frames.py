"""The valid frames of a padded batch side by side, and back.

    (batch, frames, channels)  ->  (1, sum of lengths, channels)  ->  (batch, frames, channels), 0 past each length

On the way back the pads of a convolution cost no move of their own. Both ways are one lookup by row number, which
backpropagation turns into the other's like.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
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
        real = torch.arange(frames, device=lengths.device) < lengths[:, None]
        self._rows = real.flatten().nonzero()[:, 0]
        places = real.flatten().cumsum(0).view_as(real) - 1
        self._places = torch.where(real, places, len(self._rows))  # the row behind the last is the zeros'

    def __len__(self) -> int:
        return len(self._rows)

    def gather(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) -> (1, len(self), channels)."""
        return x.flatten(0, 1).index_select(0, self._rows)[None]

    def scatter(self, y: Tensor, left: int = 0, right: int = 0) -> Tensor:
        """(1, len(self), channels) -> (batch, left + frames + right, channels), 0 where no frame is valid."""
        places = F.pad(self._places, (left, right), value=len(self))
        rows = torch.cat((y[0], y.new_zeros(1, y.shape[2])))
        return rows.index_select(0, places.flatten()).unflatten(0, places.shape)
