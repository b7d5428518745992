"""Normalisation. Over channels each frame stands alone, so it streams as it is; over the frames of a batch it streams
once training has fixed its statistics.

y[c] = gamma[c] (x[c] - mean) / sqrt(var + eps) + beta[c]

LayerNorm: mean, var over the channels of one frame. BatchNorm: mean[c], var[c] over every valid frame of the batch in
training, and their running averages ever after.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechconv.checks import check_count, check_unit_interval
from speechconv.layer import Layer
from speechconv.plan import Clock, Plan, State
from speechconv.valid_frames import ValidFrames


class LayerNorm(Layer):
    """Layer normalisation of each frame over its channels (Ba, Kiros and Hinton 2016, arXiv 1607.06450).

    Args:
        channels: of a frame, >= 1.
        eps: added to the variance, > 0.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range.

    The same numbers and weight names as torch.nn.LayerNorm(channels); unlike that one it streams on its own.

    Example:
        >>> LayerNorm(4)(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])).round(decimals=2)
        tensor([[[-1.3400, -0.4500,  0.4500,  1.3400]]], grad_fn=<RoundBackward1>)
    """

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        channels = check_count("channels", channels)
        _check_eps(eps)
        self.channels = self.in_channels = self.out_channels = channels
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def valid(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (self.channels,), self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.channels}, eps={self.eps}"


class BatchNorm(Layer):
    """Batch normalisation of each channel over the valid frames of a batch.

    Args:
        channels: of a frame, >= 1.
        eps: added to the variance, > 0.
        momentum: share of the newest batch in the running averages, 0 ... 1.

    Attributes:
        running_mean, running_var: (channels,) averages over the batches seen in training; the variance is unbiased.
        num_batches_tracked: batches seen in training.

    Shape:
        (batch, frames, channels) -> the same

    Raises:
        ValueError: an argument outside its range; in training, a batch of fewer than two valid frames, or a stream.

    The same numbers and names as torch.nn.BatchNorm1d(channels) on the valid frames alone: what a batch is padded with
    counts for nothing, where torch's takes it into the statistics.

    Source: Ioffe and Szegedy 2015, "Batch normalization", arXiv 1502.03167, algorithms 1 and 2.

    Example:
        >>> norm = BatchNorm(1, momentum=1.0)
        >>> y, _ = norm(torch.tensor([[[1.0], [3.0]], [[5.0], [1e9]]]), torch.tensor([2, 1]))
        >>> y.detach().flatten().round(decimals=2), norm.running_mean, norm.running_var
        (tensor([-1.2200, -0.0000,  1.2200,  0.0000]), tensor([3.]), tensor([4.]))
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        channels = check_count("channels", channels)
        _check_eps(eps)
        check_unit_interval("momentum", momentum)
        self.channels = self.in_channels = self.out_channels = channels
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def valid(self, x: Tensor) -> Tensor:
        """By the statistics of these very frames in training, else by the running ones."""
        y = F.batch_norm(
            x.flatten(0, 1),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
        return y.unflatten(0, x.shape[:2])

    def offline(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        if not self.training:
            return super().offline(x, lengths)
        if lengths is not None:
            valid = ValidFrames(lengths, x.shape[1])
            return valid.scatter(self.offline(valid.gather(x), None))
        if (frames := x.shape[0] * x.shape[1]) < 2:
            raise ValueError(
                f"BatchNorm in training needs at least 2 valid frames to take a variance of, got {frames}; "
                "use longer or more rows, or call .eval()."
            )
        self.num_batches_tracked.add_(1)
        return self.valid(x)

    def step(self, x: Tensor, state: State, plan: Plan, clock: Clock) -> tuple[Tensor, State]:
        if self.training:
            raise ValueError("BatchNorm is in training mode: call .eval() before streaming.")
        return super().step(x, state, plan, clock)

    def extra_repr(self) -> str:
        return f"{self.channels}, eps={self.eps}, momentum={self.momentum}"


def _check_eps(eps: float) -> None:
    if eps <= 0:
        raise ValueError(f"eps (={eps}) must be > 0.")
