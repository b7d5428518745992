"""ChannelShuffle and ShuffleUnit: torch.nn.ChannelShuffle, and figure 2 of the paper in torch's modules."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from tests.layers.families.judges import as_frames, as_image, assert_equal_blocks


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 12])
def test_the_shuffle_is_torchs(groups: int) -> None:
    x = torch.randn(2, 5, 12)
    expected = as_frames(nn.ChannelShuffle(groups)(as_image(x)))
    assert torch.equal(sc.ChannelShuffle(12, groups=groups)(x), expected)


def test_every_group_behind_a_shuffle_sees_every_group_before_it() -> None:
    x = torch.arange(12)[None, None] // 4  # the number of each channel's group
    for group in sc.ChannelShuffle(12, groups=3)(x.double()).chunk(3, 2):
        assert group.unique().tolist() == [0, 1, 2]


class Figure2(nn.Module):
    """(b) with stride 1, (c) with stride 2."""

    def __init__(self, in_channels: int, out_channels: int, groups: int, stride: int) -> None:
        super().__init__()
        hidden, given = out_channels // 4, out_channels - (in_channels if stride > 1 else 0)
        self.stride = stride
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, groups=groups, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.ChannelShuffle(groups),
            nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.Conv2d(hidden, given, 1, groups=groups, bias=False),
            nn.BatchNorm2d(given),
        )
        self.pool = nn.AvgPool2d((3, 1), stride=stride, padding=(1, 0))

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return (x + self.body(x)).relu()
        return torch.cat((self.pool(x), self.body(x)), 1).relu()


@pytest.mark.parametrize(("in_channels", "groups", "stride"), [(24, 3, 1), (24, 2, 1), (12, 3, 2), (8, 4, 2)])
def test_the_unit_is_the_figure(in_channels: int, groups: int, stride: int) -> None:
    out_channels = in_channels if stride == 1 else 3 * in_channels + in_channels % 3 * 4
    out_channels += -out_channels % (4 * groups)
    ours = sc.ShuffleUnit(in_channels, out_channels, groups=groups, stride=stride)
    assert_equal_blocks(ours, Figure2(in_channels, out_channels, groups, stride))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_channels": 26}, "out_channels (=26) must be divisible by 4: the bottleneck has a quarter of them."),
        (
            {"out_channels": 48},
            "with stride 1 the branch is added to its input, so out_channels (=48) must be in_channels",
        ),
        (
            {"out_channels": 24, "stride": 2},
            "with stride 2 the input's channels are a part of the output, so out_channels",
        ),
        ({"out_channels": 24, "groups": 5}, "in_channels (=24) must be divisible by groups (=5)."),
        ({"out_channels": 24, "groups": 4}, "out_channels / 4 (=6) must be divisible by groups (=4)."),
        (
            {"out_channels": 24, "padding": (1, 0)},
            "padding (=(1, 0)) must keep the number of frames: left + right must",
        ),
    ],
)
def test_channels_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        sc.ShuffleUnit(24, **options)


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^channels \(=6\) must be divisible by groups \(=4\)\.$"):
        sc.ChannelShuffle(6, groups=4)
