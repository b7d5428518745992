"""Normalisation over time that streams: each frame by the mean and variance of all frames up to it.

    y[t, c] = gamma[c] (x[t, c] - mean_t[c]) / sqrt(var_t[c] + eps) + beta[c]        mean_t, var_t over frames 0 ... t

The statistics are kept in float64 as count, mean and sum of squared deviations. With d = x - mean so far,

    n = n_0 + 1 ... m      s = cumsum d      mean_t = mean + s / n      scatter_t = scatter + cumsum d^2 - s^2 / n
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechconv.checks import check_count
from speechconv.layer import Layer
from speechconv.layout import keep
from speechconv.plan import Clock, Edge, Memory, Plan, State

BLOCK = 1 << 10
"""Frames that are taken at a time, so that their float64 statistics stay small."""


@dataclass(frozen=True)
class _Running:
    """(batch, 1) frames so far, their (batch, channels) mean and sum of squared deviations; float64."""

    count: Tensor
    mean: Tensor
    scatter: Tensor


class CumulativeNorm(Layer):
    """Normalisation of each channel over all frames so far: a group norm over time that is causal.

    Args:
        channels: of a frame, >= 1.
        eps: added to the variance, > 0.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range.

    Source: the cumulative layer norm of Luo and Mesgarani 2019 (Conv-TasNet, arXiv 1809.07454, eq. 9), here with one
    group per channel. Frame 0 is its own mean, so it gives beta.

    Example:
        >>> CumulativeNorm(1)(torch.tensor([[[5.0], [7.0], [6.0]]])).flatten().round(decimals=2)
        tensor([0., 1., 0.], grad_fn=<RoundBackward1>)
    """

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels = self.in_channels = self.out_channels = check_count("channels", channels)
        if eps <= 0:
            raise ValueError(f"eps (={eps}) must be > 0.")
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def valid(self, x: Tensor) -> Tensor:
        zeros = x.new_zeros(len(x), self.channels, dtype=torch.float64)
        running = _Running(zeros[:, :1], zeros, zeros)
        first = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        parts = []
        for block in x.split(BLOCK, 1):
            y, running = self._normalise(block, running, first, None)
            parts.append(y)
        return torch.cat(parts, 1)

    def _normalise(self, x: Tensor, running: _Running, first: Tensor, real: Tensor | None) -> tuple[Tensor, _Running]:
        """(batch, m, channels) frames, of which `first` is the first real one, behind those that `running` counts."""
        wide = x.double()
        start = wide.gather(1, first.clip(max=x.shape[1] - 1)[:, None, None].expand(-1, 1, self.channels))[:, 0]
        pivot = torch.where(running.count > 0, running.mean, start)[:, None]
        deviation = wide - pivot if real is None else keep(wide - pivot, real)
        ones = torch.ones_like(deviation[..., :1]) if real is None else real[..., None].double()
        count = running.count[:, None] + ones.cumsum(1)
        total, frames = deviation.cumsum(1), count.clip(min=1)
        mean = pivot + total / frames
        squares = running.scatter[:, None] + deviation.square().cumsum(1)
        scatter = (squares - total.square() / frames).clip(min=0)
        y = (wide - mean) * torch.rsqrt(scatter / frames + self.eps) * self.weight + self.bias
        return y.to(x.dtype), _Running(count[:, -1], mean[:, -1], scatter[:, -1])

    def plan(self, edge: Edge, path: str = "") -> Plan:
        memories = tuple(
            Memory(name, (size,), torch.float64)
            for name, size in (("count", 1), ("mean", self.channels), ("scatter", self.channels))
        )
        return Plan(self, path, edge, edge.after(self.geometry, self.channels_after(edge.channels)), memories)

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        real = plan.edge.real(clock, x.shape[1])
        y, after = self._normalise(x, _Running(*state), real.first, real.mask)
        return y, (after.count, after.mean, after.scatter)

    def extra_repr(self) -> str:
        return f"{self.channels}, eps={self.eps}"
