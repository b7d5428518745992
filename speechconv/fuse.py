"""Fusing: an equal network for inference, whose weights take in what is constant after training.

In inference batch norm is an affine map per channel, which the filters before it take in, zero pads included:

    s (w * u + b - mean) + beta = (s w) * u + s (b - mean) + beta          s = gamma / sqrt(var + eps)

Before a convolution with pads it cannot: its beta would be missing from the pads. There it stays.

A layer with more to fuse has a method `fuse`, which gives an equal layer: a positional embedding its normed filters. A
chain with something to fuse (`Sequential`, or a class that only says what stands in one, as the families do) becomes a
plain Sequential of fused parts. Everything else is copied as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn

from speechconv.combine import Parallel, Residual, Sequential, named_parts
from speechconv.conv import Conv1d
from speechconv.layers.families.pointwise_conv import PointwiseConv
from speechconv.norm import BatchNorm

RUNS = ("forward", "offline", "plan", "step", "num_frames", "channels_after")
"""What a class of one's own may not redefine, if it is to be no more than the chain of its parts."""


def fused(layer: nn.Module) -> nn.Module:
    """An equal layer for inference, independent of `layer`, which must be in eval mode.

    A part that is in training mode all the same stays as it is.

    Raises:
        ValueError: a layer in training mode.

    Example:
        >>> import torch, speechconv as sc
        >>> net = sc.Sequential(sc.Residual(sc.ConformerConvModule(8)), sc.ConvBlock(8, 2, 3)).eval()
        >>> x = torch.randn(1, 50, 8)
        >>> torch.allclose(fused(net)(x), net(x), atol=1e-6)
        True
        >>> [type(part).__name__ for part in fused(sc.ConvBlock(8, 2, 3).eval())]
        ['Conv1d', 'ReLU']
    """
    if layer.training:
        raise ValueError("fuse() is for inference: call .eval() first.")
    return _fused(layer)


def fused_parts(parts: Iterable[tuple[str, nn.Module]]) -> dict[str, nn.Module]:
    """Equal layers under the names of `parts`, of which each follows the one before it; a batch norm behind a
    convolution is folded into it, and its name is gone."""
    kept: dict[str, nn.Module] = {}
    conv = None
    for name, part in parts:
        if conv is not None and type(part) is BatchNorm and not part.training:
            _fold(conv, part)
        else:
            kept[name] = _fused(part)
            conv = _conv_at_end(kept[name])
    return kept


def _fused(layer: nn.Module) -> nn.Module:
    if hasattr(layer, "fuse") and not layer.training:
        return layer.fuse()  # pyright: ignore[reportCallIssue] - the protocol is the method alone
    if not any(type(part) is BatchNorm or hasattr(part, "fuse") for part in layer.modules()):
        return copy.deepcopy(layer)
    if _is_chain(layer):
        twin = Sequential(*fused_parts(named_parts(layer)).values())
    elif type(layer) is Parallel:
        twin = Parallel(*(_fused(branch) for _, branch in named_parts(layer)), join=layer.join)
    elif type(layer) is Residual:
        twin = Residual(_fused(layer.body), scale=layer.scale)
    else:
        return copy.deepcopy(layer)
    twin.training = layer.training  # of the composition alone: a part in training mode stays in it
    return twin


def _is_chain(layer: nn.Module) -> bool:
    """True for a Sequential whose class, if it is another, adds nothing to how one runs."""
    kind = type(layer)
    return isinstance(layer, Sequential) and all(getattr(kind, name) is getattr(Sequential, name) for name in RUNS)


def _conv_at_end(layer: nn.Module) -> Conv1d | nn.Linear | None:
    """The convolution whose output `layer` gives as it is, if there is one."""
    while type(layer) is Sequential and len(layer):
        layer = layer[-1]
    return (
        layer if isinstance(layer, Conv1d | nn.Linear) and type(layer) in (Conv1d, PointwiseConv, nn.Linear) else None
    )


@torch.no_grad()
def _fold(conv: Conv1d | nn.Linear, norm: BatchNorm) -> None:
    """Let `conv` do what `norm` does behind it; in float64, rounded once."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = 0 if conv.bias is None else conv.bias.double()
    bias = scale * (bias - norm.running_mean.double()) + norm.bias.double()
    filters = conv.weight.double().flatten(1)
    conv.weight.copy_((scale[:, None] * filters).view_as(conv.weight))
    conv.bias = nn.Parameter(bias.to(conv.weight.dtype))
