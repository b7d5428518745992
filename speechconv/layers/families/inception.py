"""The inception module: filters of several widths side by side, each behind a pointwise reduction of its own.

y = [f(W_0 x), f(w_1 * f(W_1 x)), f(w_2 * f(W_2 x)), f(V max(x))]          f = ReLU(norm(.))
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from speechconv.checks import check_count, check_counts
from speechconv.combine import Parallel, Sequential
from speechconv.geometry import frame_keeping_pads
from speechconv.layers.families.conv_block import ConvBlock, Norm
from speechconv.layers.families.pooling import MaxPool1d

Sizes = tuple[int, ...]


class Inception(Sequential):
    """A pointwise branch, branches of wider filters behind a reduction, and a pooling branch, side by side.

    Args:
        in_channels: channels of a frame, >= 1.
        pointwise_channels: of the pointwise branch, >= 1.
        reduced_channels: between the two convolutions of each wider branch, each >= 1.
        branch_channels: that each wider branch gives, each >= 1.
        pool_channels: of the projection behind the pooling, >= 1.
        kernel_sizes: taps of each wider branch, each >= 1.
        pool_size: frames of the pooling's windows, >= 1.
        padding: "same", "causal", or (left, right) of the widest window, left + right one less than it; a narrower one
            looks ahead by the same share of its frames, rounded down.
        norm: "batch", "layer", or None, behind each convolution.

    Shape:
        (batch, frames, in_channels) -> (batch, frames, pointwise + branches + pool channels), in this order

    Raises:
        ValueError: an argument outside its range, or branches whose numbers are not equally many.

    Source: Szegedy et al. 2015, "Going deeper with convolutions", arXiv 1409.4842, section 4, figure 2b and table 1.

    Example:
        >>> import torch
        >>> inception_3a = Inception(
        ...     192, pointwise_channels=64, reduced_channels=(96, 16), branch_channels=(128, 32), pool_channels=32
        ... )
        >>> inception_3a(torch.zeros(1, 50, 192)).shape, inception_3a.geometry.lookahead
        (torch.Size([1, 50, 256]), 2)
    """

    def __init__(
        self,
        in_channels: int,
        *,
        pointwise_channels: int,
        reduced_channels: Sizes,
        branch_channels: Sizes,
        pool_channels: int,
        kernel_sizes: Sizes = (3, 5),
        pool_size: int = 3,
        padding: Literal["same", "causal"] | tuple[int, int] = "same",
        norm: Norm | None = None,
    ) -> None:
        super().__init__()
        sizes = {"reduced_channels": reduced_channels, "branch_channels": branch_channels, "kernel_sizes": kernel_sizes}
        self.reduced_channels, self.branch_channels, self.kernel_sizes = _check_sizes(sizes)
        self.pool_size = check_count("pool_size", pool_size)
        check_count("pointwise_channels", pointwise_channels)
        check_count("pool_channels", pool_channels)
        widest = max(*self.kernel_sizes, pool_size)
        frame_keeping_pads(padding, widest)
        branches: list[nn.Module] = [ConvBlock(in_channels, pointwise_channels, 1, norm=norm)]
        for reduced, given, size in zip(self.reduced_channels, self.branch_channels, self.kernel_sizes, strict=True):
            reduce = ConvBlock(in_channels, reduced, 1, norm=norm)
            branches.append(
                Sequential(reduce, ConvBlock(reduced, given, size, padding=_pads(padding, size, widest), norm=norm))
            )
        pool = MaxPool1d(pool_size, stride=1, padding=_pads(padding, pool_size, widest))
        branches.append(Sequential(pool, ConvBlock(in_channels, pool_channels, 1, norm=norm)))
        self._chain({"branches": Parallel(*branches, join="cat")})
        self.pointwise_channels, self.pool_channels, self.padding, self.norm = (
            pointwise_channels,
            pool_channels,
            padding,
            norm,
        )


def _check_sizes(sizes: dict[str, Sizes]) -> list[Sizes]:
    checked = [check_counts(name, values, "one for each wider branch") for name, values in sizes.items()]
    if len(set(map(len, checked))) > 1:
        counts = ", ".join(f"{len(values)} {name}" for name, values in sizes.items())
        raise ValueError(f"each wider branch needs one number of each kind, got {counts}.")
    return checked


def _pads(padding: Literal["same", "causal"] | tuple[int, int], size: int, widest: int) -> tuple[int, int]:
    """Pads of a window of `size` frames, under those of the widest one.

    >>> _pads((3, 1), 5, 5), _pads((2, 2), 3, 5), _pads("causal", 3, 5)
    ((3, 1), (1, 1), (2, 0))
    """
    if isinstance(padding, str):
        return frame_keeping_pads(padding, size)
    right = padding[1] * (size - 1) // (widest - 1) if widest > 1 else 0
    return size - 1 - right, right
