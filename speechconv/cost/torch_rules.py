"""Rules of torch's own modules: convolutions and Linear multiply; norms, activations and pooling do not."""

from __future__ import annotations

from math import prod

from torch import nn

from speechconv.cost.rules import Shape, Work, rule
from speechconv.pointwise import ACTIVATIONS

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d


@rule(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def _(module: Conv, x: Shape, y: Shape) -> Work:
    return Work(prod(y) * (module.in_channels // module.groups) * prod(module.kernel_size))


@rule(nn.Linear)
def _(module: nn.Linear, x: Shape, y: Shape) -> Work:
    return Work(prod(y) * module.in_features)


@rule(
    *(kind for kind in ACTIVATIONS if kind is not nn.Identity),
    nn.GLU,
    nn.LogSoftmax,
    nn.Softmax,
    nn.Softmin,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.LPPool1d,
    nn.LPPool2d,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.ChannelShuffle,
    nn.ConstantPad1d,
    nn.ConstantPad2d,
    nn.ReflectionPad1d,
    nn.ReflectionPad2d,
    nn.ReplicationPad1d,
    nn.ReplicationPad2d,
    nn.ZeroPad1d,
    nn.ZeroPad2d,
)
def _(module: nn.Module, x: Shape, y: Shape) -> Work:
    """No products; an activation in place writes nothing new."""
    return Work(tensors=() if getattr(module, "inplace", False) else None)


@rule(nn.AlphaDropout, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Flatten, nn.Identity, nn.Unflatten)
def _(module: nn.Module, x: Shape, y: Shape) -> Work:
    """The input itself; dropout too, in inference."""
    return Work(tensors=())
