"""check_streaming finds each way of breaking the law."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechconv as sc
from speechconv.combine import delay
from speechconv.plan import Clock, Edge, Memory, Plan, State


class MovingAverage(sc.Layer):
    """Right, unless a mutation below breaks it."""

    geometry = sc.Geometry(receptive_field=3, stride=2, pad_left=1, pad_right=1)
    in_channels = 2

    def valid(self, x: Tensor) -> Tensor:
        return F.avg_pool1d(x.transpose(1, 2), 3, 2).transpose(1, 2)


class TooManyFrames(MovingAverage):
    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        y = super().offline(x, lengths)
        return torch.cat((y, y[:, :1]), 1)


class OtherOffline(MovingAverage):
    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return super().offline(x, lengths) * (1 + 1e-9)


class LeakyPadding(MovingAverage):
    """Pads with what lies behind a row's end."""

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return super().offline(x if lengths is None else x + 1, None)


class WholeSignal(sc.Layer):
    """Subtracts the mean of all frames: no stream can."""

    in_channels = 2

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return x - x.mean(1, keepdim=True)

    def valid(self, x: Tensor) -> Tensor:
        return x


class Late(MovingAverage):
    """Right numbers, a frame after they were due."""

    def plan(self, edge: Edge, path: str = "") -> Plan:
        plan = super().plan(edge, path)
        waiting = Memory("waiting", (1, plan.out.channels))
        return replace(plan, out=plan.out.late(1), memories=(*plan.memories, waiting))

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        y, kept = super().step(x, state[:-1], plan, clock)
        y, waiting = delay(y, state[-1])
        return y, (*kept, waiting)


def test_a_layer_that_keeps_the_law_passes_and_reports() -> None:
    report = sc.check_streaming(MovingAverage())
    assert report.geometry == MovingAverage.geometry
    assert report.worst <= 1e-12
    assert {0, 1} <= set(report.lengths)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (TooManyFrames(), r"0 samples gave 0 frames|samples gave \d+ frames offline, the geometry says"),
        (OtherOffline(), r"of \d+ samples, live: frame \d+ is 1.0e-09 of the largest value off, 1e-12 is allowed"),
        (WholeSignal(), r"of \d+ samples, live: frame \d+ is"),
        (LeakyPadding(), "row . of a batch padded with NaN"),
        (Late(), "frame 0 is late: 2 samples should complete it"),
    ],
)
def test_every_broken_promise_is_named(layer: sc.Layer, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        sc.check_streaming(layer)


def test_the_copy_is_checked_and_the_layer_left_alone() -> None:
    layer = sc.Sequential(sc.Conv1d(1, 1, 3), nn.Dropout(0.5)).train()
    sc.check_streaming(layer)
    assert layer.training
    assert next(layer.parameters()).dtype == torch.float32


def test_a_layer_that_cannot_stream_says_so() -> None:
    net = sc.Parallel(
        sc.ConvSTFT(8, hop_length=4, pad_mode="reflect", output="power"),
        sc.ConvSTFT(8, hop_length=4, output="power"),
    )
    with pytest.raises(sc.NotStreamable):
        sc.check_streaming(net)
