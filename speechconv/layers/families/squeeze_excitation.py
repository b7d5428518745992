"""Squeeze and excitation: each channel is weighted by what all channels do on average.

    z_t = mean of x over the frames 0 ... t ("cumulative"), or over all frames ("utterance")
    y_t = x_t . sigmoid(W_2 ReLU(W_1 z_t + b_1) + b_2)

Live, the sum of the real frames so far is kept in float64; their number is the frame's index and one.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from speechconv.checks import check_choice, check_count
from speechconv.cumulative import BLOCK
from speechconv.layer import Layer
from speechconv.layout import keep, zero_past
from speechconv.plan import Clock, Edge, Memory, NotStreamable, Plan, State

Statistics = Literal["cumulative", "utterance"]


class SqueezeExcitation(Layer):
    """A gate for each channel, from the mean of all channels over time.

    Args:
        channels: C of a frame, >= 1.
        hidden_channels: of the gate's hidden layer, >= 1; None: C // 16, at least 1.
        statistics: "cumulative" takes the mean of the frames so far, so that each has a gate of its own, and streams;
            "utterance" takes that of each row's valid frames, as the paper does, and cannot.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range.

    Source: Hu, Shen and Sun 2018, "Squeeze-and-excitation networks", arXiv 1709.01507, section 3, equations 2-4; over
    frames, with an utterance's mean, Han et al. 2020 (ContextNet, arXiv 2005.03191), section 2.2.2.

    Example:
        >>> layer = SqueezeExcitation(64)
        >>> layer(torch.zeros(1, 50, 64)).shape, layer.geometry.lookahead
        (torch.Size([1, 50, 64]), 0)
    """

    def __init__(
        self, channels: int, *, hidden_channels: int | None = None, statistics: Statistics = "cumulative"
    ) -> None:
        super().__init__()
        self.channels = self.in_channels = self.out_channels = check_count("channels", channels)
        self.hidden_channels = None if hidden_channels is None else check_count("hidden_channels", hidden_channels)
        check_choice("statistics", statistics, get_args(Statistics))
        self.statistics: Statistics = statistics
        hidden = hidden_channels or max(1, channels // 16)
        self.squeeze, self.excite = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def gate(self, mean: Tensor) -> Tensor:
        return self.excite(self.squeeze(mean).relu()).sigmoid()

    def valid(self, x: Tensor) -> Tensor:
        total = x.new_zeros(len(x), self.channels, dtype=torch.float64)
        first = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        parts = []
        for block in x.split(BLOCK, 1):
            y, total = self._gated(block, block, total, first)
            parts.append(y)
            first = first + block.shape[1]
        return torch.cat(parts, 1)

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return x * self.gate(_mean(x, lengths)) if self.statistics == "utterance" else super().offline(x, lengths)

    def _gated(self, x: Tensor, real: Tensor, total: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Frames from number `first` on, behind those that `total` sums; `real` is x with 0 where it is not real."""
        sums = total[:, None] + real.double().cumsum(1)
        number = first[:, None] + torch.arange(1, x.shape[1] + 1, device=x.device)
        mean = (sums / number.clip(min=1)[..., None]).to(x.dtype)
        return x * self.gate(mean), sums[:, -1]

    def plan(self, edge: Edge, path: str = "") -> Plan:
        if self.statistics == "utterance":
            raise NotStreamable(
                path,
                "SqueezeExcitation takes its mean from the whole utterance.",
                ["statistics='cumulative'", "forward on the whole waveform, or extract"],
            )
        memories = (Memory("total", (self.channels,), torch.float64),)
        return Plan(self, path, edge, edge.after(self.geometry, self.channels_after(edge.channels)), memories)

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        real = keep(x, plan.edge.real(clock, x.shape[1]).mask)
        y, total = self._gated(x, real, state[0], plan.edge.first_index(clock))
        return y, (total,)

    def extra_repr(self) -> str:
        return f"{self.channels}, hidden_channels={self.hidden_channels}, statistics={self.statistics!r}"


def _mean(x: Tensor, lengths: Tensor | None) -> Tensor:
    """(batch, 1, channels) over the valid frames."""
    wide = x.double() if lengths is None else zero_past(x, lengths).double()
    count = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
    return (wide.sum(1, keepdim=True) / count.clip(min=1)[:, None, None]).to(x.dtype)
