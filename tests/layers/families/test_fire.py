"""Fire: figure 1 of the paper in torch's modules is the judge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from tests.layers.families.judges import assert_equal_blocks


class Figure1(nn.Module):
    def __init__(self, in_channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat((self.expand1x1(x).relu(), self.expand3x3(x).relu()), 1)


@pytest.mark.parametrize(("in_channels", "squeezed", "out_channels"), [(6, 3, 10), (96, 16, 128)])
def test_it_is_the_figure(in_channels: int, squeezed: int, out_channels: int) -> None:
    ours = sc.Fire(in_channels, out_channels, squeeze_channels=squeezed)
    assert_equal_blocks(ours, Figure1(in_channels, squeezed, out_channels // 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_channels": 5, "squeeze_channels": 2}, r"^out_channels \(=5\) must be even: each expansion gives half"),
        ({"out_channels": 6, "squeeze_channels": 0}, r"^squeeze_channels \(=0\) must be an integer >= 1\.$"),
    ],
)
def test_arguments_outside_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.Fire(4, **options)
