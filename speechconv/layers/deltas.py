"""Deltas: slopes of each channel over time, beside the channel itself.

    "kaldi"     d_1[t] = sum_j j x[t + j] / sum_j j^2        d_2 = the same sums over d_1        j = -h ... h
    "librosa"   d_i[t] = i-th derivative of the polynomial of degree i that fits x[t - h ... t + h] best

At the edges of the signal: "replicate" repeats the first and last frame; "interp" uses the first, or last, whole window
of 2 h + 1 frames, whose i-th derivative is the same everywhere.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from speechconv.checks import check_choice, check_count
from speechconv.exact import ExactConstants
from speechconv.geometry import Geometry
from speechconv.layout import check_real, zero_past
from speechconv.plan import Clock, Plan, State

Rule = Literal["kaldi", "librosa-interp", "librosa-nearest"]


class Deltas(ExactConstants):
    """Each frame, then its deltas of order 1, 2, ... beside it.

    Args:
        order: highest derivative, >= 1.
        width: frames that a first difference spans, odd, >= 3; Kaldi's delta-window is (width - 1) / 2.
        rule: "kaldi" (add-deltas: higher orders are differences of differences, edge frames replicated),
            "librosa-interp" (librosa.feature.delta's default) or "librosa-nearest" (its mode="nearest").

    Shape:
        (batch, frames, channels) -> (batch, frames, (order + 1) * channels)

    Raises:
        ValueError: an argument outside its range; an order that `width` frames cannot tell.

    Live, "kaldi" is late by order * (width - 1) / 2 frames, "librosa-nearest" by (width - 1) / 2 and "librosa-interp"
    by width - 1, because its first frame looks so far. A signal of fewer than `width` frames, which librosa refuses,
    takes replicated edges there.

    Source: Kaldi, feat/feature-functions.cc (DeltaFeatures); Savitzky and Golay 1964; librosa.feature.delta.

    Example:
        >>> Deltas(1, width=3)(torch.tensor([[[1.0], [2.0], [4.0]]])).tolist()
        [[[1.0, 0.5], [2.0, 1.5], [4.0, 1.0]]]
    """

    def __init__(self, order: int = 2, *, width: int = 5, rule: Rule = "kaldi") -> None:
        super().__init__()
        self.order, self.width = check_count("order", order), check_count("width", width, 3)
        check_choice("rule", rule, get_args(Rule))
        if self.width % 2 == 0:
            raise ValueError(f"width (={width}) must be odd: as many frames after a frame as before it.")
        if rule != "kaldi" and self.order >= self.width:
            raise ValueError(f"order (={order}) must be below width (={width}).")
        self.rule = rule
        kernels = _kaldi_kernels(order, width) if rule == "kaldi" else _polynomial_kernels(order, width)
        self.side = kernels.shape[1] // 2
        reach = 2 * self.side if rule == "librosa-interp" else self.side
        self.geometry = Geometry(2 * reach + 1, pad_left=reach, pad_right=reach)
        self.register_exact("kernels", kernels)

    def channels_after(self, channels: int) -> int:
        return (self.order + 1) * channels

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        frames = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        if not x.shape[1]:
            return x.new_zeros(len(x), 0, self.channels_after(x.shape[2]))
        y = self._deltas(self.padded(x, lengths), torch.zeros_like(frames), frames)
        return y if lengths is None else zero_past(y, lengths)

    def valid(self, x: Tensor) -> Tensor:
        """Of frames that have all their neighbours."""
        reach = self.geometry.pad_left
        frames = torch.full((len(x),), x.shape[1], device=x.device)
        return self._deltas(x, torch.full_like(frames, reach), frames)

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        joined = torch.cat((state[0], x), 1)  # unreal frames are never picked
        y = self._deltas(joined, plan.out.first_index(clock), plan.edge.total(clock))
        return y, (joined[:, x.shape[1] :],)

    def _deltas(self, x: Tensor, start: Tensor, total: Tensor) -> Tensor:
        """Frames `start` and on of signals of `total` frames; x begins pad_left frames before them."""
        check_real(x, "Deltas")
        reach, count = self.geometry.pad_left, x.shape[1] - 2 * self.geometry.pad_left
        first = start - reach  # number of x[:, 0]
        number = first[:, None] + torch.arange(x.shape[1], device=x.device)
        edged = _pick(x, torch.minimum(number, total[:, None] - 1).clip(min=0) - first[:, None])
        windows = edged.unfold(1, 2 * self.side + 1, 1)
        slopes = windows @ self.exact("kernels").T  # (batch, frames, channels, order)
        if self.rule == "librosa-interp":
            slopes = _pick(slopes, self._interpolated(start, total, count) - (start - self.side)[:, None])
        return torch.cat((x[:, reach : reach + count], *slopes.unbind(3)), 2)

    def _interpolated(self, start: Tensor, total: Tensor, count: int) -> Tensor:
        """Centre of the window that each frame takes its derivative from."""
        number = start[:, None] + torch.arange(count, device=start.device)
        last = (total - 1 - self.side)[:, None]
        inside = torch.minimum(number.clip(min=self.side), last)
        return torch.where(total[:, None] >= self.width, inside, number)

    def extra_repr(self) -> str:
        return f"{self.order}, width={self.width}, rule={self.rule!r}"


def _pick(x: Tensor, index: Tensor) -> Tensor:
    """x[b, index[b, t]]; what no real frame asks for may be anything."""
    index = index.clip(0, x.shape[1] - 1)
    return x.gather(1, index.view(*index.shape, *(1,) * (x.ndim - 2)).expand(-1, -1, *x.shape[2:]))


def _kaldi_kernels(order: int, width: int) -> Tensor:
    """(order, order (width - 1) + 1): row i is the first difference convolved with itself i times, centred."""
    ramp = torch.arange(width, dtype=torch.float64) - width // 2
    difference = ramp / ramp.square().sum()
    rows, kernel = [], torch.ones(1, dtype=torch.float64)
    for number in range(1, order + 1):
        kernel = torch.nn.functional.conv1d(
            kernel[None, None], difference.flip(0)[None, None], padding=width - 1
        ).flatten()
        rows.append(torch.nn.functional.pad(kernel, ((order - number) * (width // 2),) * 2))
    return torch.stack(rows)


def _polynomial_kernels(order: int, width: int) -> Tensor:
    """(order, width): row i - 1 gives i! times the leading coefficient of the best polynomial of degree i."""
    ramp = torch.arange(width, dtype=torch.float64) - width // 2
    rows = []
    for degree in range(1, order + 1):
        powers = ramp[:, None] ** torch.arange(degree + 1)
        rows.append(torch.linalg.pinv(powers)[degree] * torch.arange(1, degree + 1).prod())
    return torch.stack(rows)
