"""Per-channel energy normalisation: each channel divided by its own recent level, then compressed.

    M[t] = (1 - s) M[t-1] + s x[t]                       M[-1] = 1
    y[t] = (x[t] / (eps + M[t])^gain + bias)^power - bias^power

The recursion is linear, so a block of frames behind the level M is one triangular product, and the share of M[-1] in
frame t is known: with Z the level of a smoother that starts at 0,

    Z[t + i] = (1 - s)^(i + 1) Z[t-1] + s sum_j (1 - s)^(i - j) x[t + j]          M[t] = Z[t] + (1 - s)^(t + 1)

Frames that are not real are 0, and 0 leaves Z at 0 until the first real frame: nothing else must be remembered.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechconv.checks import check_number
from speechconv.layer import Layer
from speechconv.layout import check_real
from speechconv.plan import Clock, Edge, Memory, Plan, State

BLOCK = 64
"""Frames that one triangular product smooths."""


class PCEN(Layer):
    """Per-channel energy normalisation of a mel spectrogram, causal.

    Args:
        gain: exponent of the level that is divided by, >= 0.
        bias: added before the compression, >= 0; 0 compresses by the power alone.
        power: exponent of the compression, >= 0; 0 is its limit, log(1 + x / (eps + M)^gain).
        smoothing: share of the newest frame in the level, 0 < s <= 1; `smoothing_of` gives it for a time constant.
        eps: added to the level, > 0.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range.

    The defaults are librosa's but for the smoothing, which librosa derives from 0.4 s (0.0247 at 100 frames a second).
    librosa expects amplitudes of 32-bit samples: at -1 ... 1 scale the input by 2^31, or choose a smaller eps and bias.

    Source: Wang et al. 2017, "Trainable frontend for robust and far-field keyword spotting" (arXiv 1607.05666);
    librosa.pcen, whose initial level is 1.

    Example:
        >>> PCEN(gain=1.0, bias=0.0, power=1.0)(torch.ones(1, 3, 1)).flatten()  # a level of 1 divides by 1 + eps
        tensor([1.0000, 1.0000, 1.0000])
    """

    def __init__(
        self,
        *,
        gain: float = 0.98,
        bias: float = 2.0,
        power: float = 0.5,
        smoothing: float = 0.025,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        for name, value in (("gain", gain), ("bias", bias), ("power", power)):
            check_number(name, value, least=0)
        if not 0 < smoothing <= 1:
            raise ValueError(f"smoothing (={smoothing}) must lie above 0 and at most at 1.")
        check_number("eps", eps, above=0)
        self.gain, self.bias, self.power, self.smoothing, self.eps = gain, bias, power, smoothing, eps

    def valid(self, x: Tensor) -> Tensor:
        zeros = x.new_zeros(len(x), x.shape[2], dtype=torch.float64)
        return self._normalise(x, zeros, torch.zeros(len(x), dtype=torch.int64, device=x.device))[0]

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        y, level = self._normalise(plan.edge.zero_unreal(x, clock), state[0], plan.edge.first_index(clock))
        return y, (level,)

    def plan(self, edge: Edge, path: str = "") -> Plan:
        memories = (Memory("level", (edge.channels,), torch.float64),)
        return Plan(self, path, edge, edge.after(self.geometry, edge.channels), memories)

    def _normalise(self, x: Tensor, level: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Frames from number `start` on, behind the level Z; the level behind them."""
        check_real(x, "PCEN")
        wide = x.double()
        smoothed, level = self._smooth(wide, level)
        number = start[:, None] + torch.arange(1, x.shape[1] + 1, device=x.device)
        smoothed = smoothed + ((1 - self.smoothing) ** number.clip(min=0).double())[..., None]
        divisor = torch.exp(self.gain * (math.log(self.eps) + torch.log1p(smoothed / self.eps)))
        return self._compress(wide / divisor).to(x.dtype), level

    def _smooth(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Z of every frame and of the last one."""
        keep, lag = 1 - self.smoothing, torch.arange(BLOCK, device=x.device)
        late = (lag[:, None] - lag).double()
        weights = torch.where(late < 0, 0.0, self.smoothing * keep ** late.clip(min=0))
        fade = keep ** (lag + 1).double()
        parts = []
        for block in x.split(BLOCK, 1):
            n = block.shape[1]
            parts.append(weights[:n, :n] @ block + fade[:n, None] * level[:, None])
            level = parts[-1][:, -1]
        return torch.cat(parts, 1), level

    def _compress(self, x: Tensor) -> Tensor:
        if self.power == 0:
            return torch.log1p(x)
        if self.bias == 0:
            silent = x <= 0  # a root has no finite gradient there
            return torch.where(silent, 0.0, torch.where(silent, 1.0, x) ** self.power)
        return self.bias**self.power * torch.expm1(self.power * torch.log1p(x / self.bias))

    def extra_repr(self) -> str:
        return f"gain={self.gain}, bias={self.bias}, power={self.power}, smoothing={self.smoothing}, eps={self.eps}"


def smoothing_of(time_constant: float, *, frame_rate: float) -> float:
    """The smoothing of a level with this time constant, as librosa computes it.

    Args:
        time_constant: seconds, > 0.
        frame_rate: frames a second, sample_rate / hop_length, > 0.

    >>> round(smoothing_of(0.4, frame_rate=100), 4)
    0.0247
    """
    frames = time_constant * frame_rate
    return (math.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)
