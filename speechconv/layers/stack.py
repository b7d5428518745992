"""Frame stacking: n consecutive frames become one of n times the channels, at 1 / n of the rate."""

from __future__ import annotations

from torch import Tensor

from speechconv.checks import check_count
from speechconv.geometry import Geometry
from speechconv.layer import Layer


class StackFrames(Layer):
    """n frames side by side in one, without overlap; a rest of fewer than n at the end is dropped.

    Args:
        n: frames in one, >= 1.

    Shape:
        (batch, frames, channels) -> (batch, frames // n, n * channels), the earliest frame's channels first

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> import torch
        >>> StackFrames(2)(torch.arange(5.0)[None, :, None])
        tensor([[[0., 1.],
                 [2., 3.]]])
    """

    def __init__(self, n: int = 2) -> None:
        super().__init__()
        self.n = check_count("n", n)
        self.geometry = Geometry(self.n, self.n)

    def channels_after(self, channels: int) -> int:
        return self.n * channels

    def valid(self, x: Tensor) -> Tensor:
        whole = x.shape[1] // self.n
        return x[:, : whole * self.n].reshape(x.shape[0], whole, self.n * x.shape[2])

    def extra_repr(self) -> str:
        return f"{self.n}"
