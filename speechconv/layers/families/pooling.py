"""Pooling: the largest value, or the mean, of each channel over a window of frames.

    max        y[t, c] = max x[s t - l + n, c]            over those n = 0 ... k - 1 that are real frames
    average    y[t, c] = sum x[s t - l + n, c] / k        a pad counts as a zero; or / the number of real frames

A pad never wins a maximum, whatever the sign of the signal. Live, the frames of the history are asked for their reality
again, because those that a stream starts with are pads too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from speechconv.checks import check_count, check_flag
from speechconv.geometry import Geometry, Padding, resolve_padding
from speechconv.layer import Layer
from speechconv.layout import keep, pad
from speechconv.plan import Clock, Plan, State


class Pooling(Layer):
    """Base of both: it tells `pool` which frames of its windows are real.

    Args:
        kernel_size: frames k of a window, >= 1.
        stride: frames between two windows, >= 1; None: k, as torch's.
        padding: as `Conv1d`'s.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(self, kernel_size: int, *, stride: int | None = None, padding: Padding = "valid") -> None:
        super().__init__()
        self.kernel_size = check_count("kernel_size", kernel_size)
        self.stride = None if stride is None else check_count("stride", stride)
        self.padding = padding
        self.geometry = Geometry(
            self.kernel_size, self.stride or self.kernel_size, *resolve_padding(padding, self.kernel_size)
        )

    def pool(self, x: Tensor, real: Tensor) -> Tensor:
        """(batch, n, channels) frames, of which a (batch, n) mask tells the real ones: (batch, windows, channels)."""
        raise NotImplementedError(f"{type(self).__name__} must define pool(x, real).")

    def valid(self, x: Tensor) -> Tensor:
        return self.pool(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        g = self.geometry
        frames = g.num_frames(x.shape[1])
        real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        if lengths is not None:
            real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        left, right = (g.pad_left, g.pad_right) if frames else (0, g.receptive_field)
        return self.pool(pad(x, left, right), pad(real, left, right))[:, :frames]

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        history = state[0].shape[1] if state else 0
        real = plan.edge.late(history).real(clock, history + x.shape[1]).mask
        joined, state = self.joined(x, state, plan, clock)
        return self.pool(joined, real[:, -joined.shape[1] :]), state

    def windows(self, real: Tensor) -> Tensor:
        """(batch, n) -> (batch, windows, k)"""
        return real.unfold(1, self.kernel_size, self.geometry.stride)

    def extra_repr(self) -> str:
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding!r}"


class MaxPool1d(Pooling):
    """The largest value of each channel in a window of frames; pads never win.

    Args:
        kernel_size: frames k of a window, >= 1.
        stride: frames between two windows, >= 1; None: k, as torch's.
        padding: as `Conv1d`'s: "valid", "causal", "same", or (left, right) with left + right <= k - 1.

    Shape:
        (batch, frames, channels) -> (batch, geometry.num_frames(frames), channels)

    Raises:
        ValueError: an argument outside its range.

    The numbers and the gradient of torch.nn.MaxPool1d, for any pads.

    Source: Yamaguchi et al. 1990, "A neural network for speaker-independent isolated word recognition", ICSLP; windows
    that overlap: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural
    networks", section 3.4.

    Example:
        >>> MaxPool1d(3, stride=1, padding="causal")(torch.tensor([[[-3.0], [-5.0], [-4.0], [-9.0]]])).flatten()
        tensor([-3., -3., -3., -4.])
    """

    def pool(self, x: Tensor, real: Tensor) -> Tensor:
        x = torch.where(real[..., None], x, -torch.inf)
        y = F.max_pool1d(x.transpose(1, 2), self.kernel_size, self.geometry.stride).transpose(1, 2)
        return keep(y, self.windows(real).any(2))


class AvgPool1d(Pooling):
    """The mean of each channel over a window of frames.

    Args:
        kernel_size: frames k of a window, >= 1.
        stride: frames between two windows, >= 1; None: k, as torch's.
        padding: as `Conv1d`'s: "valid", "causal", "same", or (left, right) with left + right <= k - 1.
        count_include_pad: divide by k, pads counting as zeros; False divides by the real frames of the window.

    Shape:
        (batch, frames, channels) -> (batch, geometry.num_frames(frames), channels)

    Raises:
        ValueError: an argument outside its range.

    The numbers and the gradient of torch.nn.AvgPool1d, for any pads.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.B, without the
    trained scale of its sub-sampling.

    Example:
        >>> x = torch.tensor([[[6.0], [0.0], [3.0]]])
        >>> AvgPool1d(2, stride=1, padding="causal")(x).flatten()
        tensor([3.0000, 3.0000, 1.5000])
        >>> AvgPool1d(2, stride=1, padding="causal", count_include_pad=False)(x).flatten()
        tensor([6.0000, 3.0000, 1.5000])
    """

    def __init__(
        self,
        kernel_size: int,
        *,
        stride: int | None = None,
        padding: Padding = "valid",
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding)
        self.count_include_pad = check_flag("count_include_pad", count_include_pad)

    def pool(self, x: Tensor, real: Tensor) -> Tensor:
        x = keep(x, real)
        y = F.avg_pool1d(x.transpose(1, 2), self.kernel_size, self.geometry.stride).transpose(1, 2)
        if self.count_include_pad:
            return y
        count = self.windows(real).sum(2, keepdim=True).clip(min=1)
        return y * (self.kernel_size / count.to(y.dtype))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, count_include_pad={self.count_include_pad}"
