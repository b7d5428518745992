"""One scale and one offset for every value: y = scale x + offset."""

from __future__ import annotations

from torch import Tensor

from speechconv.checks import check_number
from speechconv.layer import Layer


class Affine(Layer):
    """A fixed scale and offset, of a waveform or of frames.

    Args:
        scale: factor of every value.
        offset: added behind it.

    Shape:
        (batch, frames, channels) -> the same; in a composition also a waveform

    Raises:
        ValueError: an argument that is no finite number.

    Example:
        >>> import torch
        >>> Affine(scale=0.25, offset=1.0)(torch.tensor([[[-4.0, 0.0]]]))  # Whisper's (x + 4) / 4
        tensor([[[0., 1.]]])
    """

    def __init__(self, *, scale: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        check_number("scale", scale)
        check_number("offset", offset)
        self.scale, self.offset = scale, offset

    def valid(self, x: Tensor) -> Tensor:
        return self.scale * x + self.offset

    def extra_repr(self) -> str:
        return f"scale={self.scale}, offset={self.offset}"
