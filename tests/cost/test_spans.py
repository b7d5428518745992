"""How torch's modules lie on their input, against what changes their outputs: a field is told right or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechconv as sc
from speechconv.geometry import Geometry

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


def test_torch_s_convolutions_lie_on_their_input_as_ours_do() -> None:
    """The words and numbers of padding, dilation and stride; what flattens an axis breaks the chain."""
    theirs = nn.Sequential(
        nn.Conv1d(2, 4, 5, dilation=3, padding="same"),
        nn.ReLU(),
        nn.Conv1d(4, 4, 4, stride=2, padding=1, dilation=2),
        nn.AvgPool1d(3, stride=2),
        nn.Flatten(1, 2),
    )
    ours = sc.Sequential(
        sc.Conv1d(2, 4, 5, dilation=3, padding="same"),
        nn.ReLU(),
        sc.Conv1d(4, 4, 4, stride=2, padding=(1, 1), dilation=2),
        sc.Conv1d(4, 4, 3, stride=2),
    )
    geometries = [stage.geometry for stage in sc.describe(theirs, (2, 60)).stages]
    assert geometries == [*(stage.geometry for stage in sc.describe(ours, 60).stages), None]


def fields(*layers: nn.Module, shape: tuple[int, ...] = (8, 60)) -> list[Geometry | None]:
    return [stage.geometry for stage in sc.describe(nn.Sequential(*layers), shape).stages]


@pytest.mark.parametrize("stride", [None, 2])
def test_lp_pools_lie_on_their_input_as_averages_do(stride: int | None) -> None:
    average = nn.AvgPool1d(3, stride=stride)  # pyright: ignore[reportArgumentType] - None is its default
    ours = fields(nn.Conv1d(8, 8, 3), nn.LPPool1d(2, 3, stride=stride), nn.LPPool1d(1, 2))
    assert ours == fields(nn.Conv1d(8, 8, 3), average, nn.AvgPool1d(2))
    flat = fields(nn.LPPool2d(2, (3, 2), stride=stride), nn.LPPool2d(1, 2), shape=(3, 20, 20))
    assert flat == fields(nn.AvgPool2d((3, 2), stride=stride), nn.AvgPool2d(2), shape=(3, 20, 20))
    assert None not in (*ours, *flat)


@pytest.mark.parametrize(
    ("norm", "size"),
    [
        (nn.GroupNorm(8, 8), 1),
        *((kind(8), size) for size, kind in enumerate((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), 1)),
        *((kind(8), size) for size, kind in enumerate((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), 1)),
    ],
)
def test_norms_of_each_channel_s_places_keep_the_field(norm: nn.Module, size: int) -> None:
    """Group norm of one channel and instance norm compute the same."""
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[size - 1](8, 8, 3)
    before, behind = fields(conv, norm, shape=(8, *(9,) * size))
    assert before == behind == Geometry(3)
