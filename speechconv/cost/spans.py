"""How torch's modules lie on what they are made of, along the first axis behind the channels."""

from __future__ import annotations

from typing import Any

from torch import nn

from speechconv.cost.rules import Shape
from speechconv.geometry import Geometry, resolve_padding
from speechconv.pointwise import ACTIVATIONS, DROPOUTS

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.LPPool1d, nn.LPPool2d, nn.MaxPool1d, nn.MaxPool2d)
KEEPING = (
    *ACTIVATIONS,
    *DROPOUTS,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LocalResponseNorm,
    nn.ChannelShuffle,
)
"""Place by place; of the statistics over all places of group and instance norms, receptive fields take no notice."""


def span_of(module: nn.Module, x: Shape, y: Shape) -> Geometry | None:
    """Receptive field, stride and pads of a module that makes `y` of `x`; None where it has none to tell.

    >>> span_of(nn.Conv2d(3, 96, 11, stride=4), (3, 227, 227), (96, 55, 55))
    Geometry(receptive_field=11, stride=4, pad_left=0, pad_right=0, mirror=None)
    """
    if len(x) > 1 and isinstance(module, (*CONVOLUTIONS, *POOLS)):
        return _window(module)
    return Geometry() if isinstance(module, KEEPING) and x[1:] == y[1:] else None


def _window(module: nn.Module) -> Geometry | None:
    sizes: Any = module
    kernel_size, dilation = _first(sizes.kernel_size), _first(getattr(module, "dilation", 1))
    stride = kernel_size if sizes.stride is None else _first(sizes.stride)  # LPPool keeps the default as None
    span = (kernel_size - 1) * dilation + 1
    padding: Any = getattr(module, "padding", 0)
    named = padding in ("same", "valid")
    try:
        left, right = resolve_padding(padding, span) if named else (_first(padding),) * 2
        return Geometry(span, stride, left, right)
    except ValueError:  # pads that a speech frame could not have
        return None


def _first(value: int | tuple[int, ...]) -> int:
    return value[0] if isinstance(value, tuple) else value
