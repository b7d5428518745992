"""Inception: figure 2b of the paper in torch's modules is the judge."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from speechconv.layers.families.conv_block import Norm
from tests.layers.families.judges import assert_equal_blocks

# Table 1, inception (3a)
INCEPTION_3A: dict[str, Any] = {
    "pointwise_channels": 64,
    "reduced_channels": (96, 16),
    "branch_channels": (128, 32),
    "pool_channels": 32,
}
SMALL: dict[str, Any] = {
    "pointwise_channels": 4,
    "reduced_channels": (3, 2),
    "branch_channels": (5, 6),
    "pool_channels": 2,
}


def conv(in_channels: int, out_channels: int, size: int, norm: Norm | None) -> nn.Sequential:
    if norm is None:
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, size, padding=size // 2), nn.ReLU())
    bare = nn.Conv2d(in_channels, out_channels, size, padding=size // 2, bias=False)
    return nn.Sequential(bare, nn.BatchNorm2d(out_channels), nn.ReLU())


class Figure2b(nn.Module):
    def __init__(
        self,
        in_channels: int,
        pointwise_channels: int,
        reduced_channels: tuple[int, int],
        branch_channels: tuple[int, int],
        pool_channels: int,
        norm: Norm | None,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv(in_channels, pointwise_channels, 1, norm)])
        for reduced, given, size in zip(reduced_channels, branch_channels, (3, 5), strict=True):
            self.branches.append(nn.Sequential(conv(in_channels, reduced, 1, norm), conv(reduced, given, size, norm)))
        pool = nn.MaxPool2d(3, stride=1, padding=1)
        self.branches.append(nn.Sequential(pool, conv(in_channels, pool_channels, 1, norm)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize(("in_channels", "options"), [(192, INCEPTION_3A), (7, SMALL)])
def test_it_is_the_figure(in_channels: int, options: dict[str, Any], norm: Norm | None) -> None:
    ours = sc.Inception(in_channels, **options, norm=norm)
    assert_equal_blocks(ours, Figure2b(in_channels, **options, norm=norm), frames=(30, 5, 1))


@pytest.mark.parametrize(
    ("padding", "pads"),
    [
        ("same", [(0, 0), (1, 2), (3, 3), (1, 1)]),
        ("causal", [(0, 0), (3, 0), (6, 0), (2, 0)]),
        ((3, 3), [(0, 0), (2, 1), (3, 3), (1, 1)]),
        ((5, 1), [(0, 0), (3, 0), (5, 1), (2, 0)]),
        ((0, 6), [(0, 0), (0, 3), (0, 6), (0, 2)]),
    ],
    ids=str,
)
def test_narrower_windows_look_ahead_by_the_same_share(padding: Any, pads: list[tuple[int, int]]) -> None:
    branches = sc.Inception(7, **SMALL, kernel_sizes=(4, 7), pool_size=3, padding=padding)[0]
    geometries = [branch.geometry for branch in branches.children() if isinstance(branch, sc.Layer)]
    assert [(g.pad_left, g.pad_right) for g in geometries] == pads


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_sizes": (3,)}, "each wider branch needs one number of each kind, got 2 reduced_channels, 2 branch_"),
        ({"kernel_sizes": ()}, "kernel_sizes (=()) must be a tuple of integers >= 1, one for each wider branch."),
        ({"kernel_sizes": (3, 0)}, "kernel_sizes[1] (=0) must be an integer >= 1."),
        ({"pointwise_channels": 0}, "pointwise_channels (=0) must be an integer >= 1."),
        ({"pool_channels": 0}, "pool_channels (=0) must be an integer >= 1."),
        ({"padding": (1, 1)}, "padding (=(1, 1)) must keep the number of frames: left + right must be 4, "),
    ],
)
def test_arguments_outside_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        sc.Inception(7, **SMALL | options)
