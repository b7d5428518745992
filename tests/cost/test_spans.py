"""How torch's modules lie on their input, against what changes their outputs: a field is told right or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechconv as sc

FRAMES = 100


class Around(nn.Module):
    """A convolution of 3 frames, then a function of its output and of the module's input."""

    def __init__(self, then: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.then = nn.Conv1d(2, 2, 3, padding=1), then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self.conv(x), x)


@torch.no_grad()
def seen(module: nn.Module) -> int:
    """Input frames, from the first to the last, that the output's frame in the middle changes with: each is changed in
    a row of a batch."""
    x = torch.randn(2, FRAMES, dtype=torch.float64)
    changed = x + torch.eye(FRAMES)[:, None]
    before, after = (module.double()(batch.clone())[..., FRAMES // 2] for batch in (x[None], changed))
    places = (before != after).any(1).nonzero()
    return int(places.max() - places.min()) + 1


def add_mean(y: Tensor, x: Tensor) -> Tensor:
    y += F.avg_pool1d(x, 31, stride=1, padding=15)
    return y


def gate(y: Tensor, x: Tensor) -> Tensor:
    y *= torch.sigmoid(y.mean(2, keepdim=True))
    return y


def add_to_one_channel(y: Tensor, x: Tensor) -> Tensor:
    y[:, :1].add_(x.roll(7, 2)[:, 1:])
    return y


def write_running_sum(y: Tensor, x: Tensor) -> Tensor:
    torch.cumsum(y, 2, out=y)
    return y


def input_and_all(y: Tensor, x: Tensor) -> Tensor:
    x += y.sum(2, keepdim=True)
    return x


@torch.no_grad()
@pytest.mark.parametrize("then", [add_mean, gate, add_to_one_channel, write_running_sum, input_and_all])
def test_what_is_written_over_with_other_values_has_no_field(then: Callable[[Tensor, Tensor], Tensor]) -> None:
    module = Around(then)
    assert sc.describe(module, (2, FRAMES)).total.geometry is None
    assert seen(module) > 3


@torch.no_grad()
@pytest.mark.parametrize("function", [torch.relu_, torch.sigmoid_, lambda y: y.clamp_(-1).mul_(2)])
def test_a_function_of_each_value_in_place_keeps_the_field(function: Callable[[Tensor], Tensor]) -> None:
    module = Around(lambda y, x: function(y))
    torch.nn.init.constant_(module.conv.weight, 0.1)
    torch.nn.init.constant_(module.conv.bias, 5.0)  # pyright: ignore[reportArgumentType] - Conv1d has one here
    geometry = sc.describe(module, (2, FRAMES)).total.geometry
    assert geometry is not None
    assert geometry.receptive_field == seen(module) == 3
