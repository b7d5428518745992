"""Fusing: an equal network for inference, whose weights take in what is constant after training.

A layer that can be fused has a method `fuse`, which gives an equal layer: a positional embedding its normed filters, a
Conformer module its depthwise filters with batch norm folded in. Everything else is copied as it is.
"""

from __future__ import annotations

import copy

from torch import nn

from speechconv.combine import Parallel, Residual, Sequential, named_parts


def fused(layer: nn.Module) -> nn.Module:
    """An equal layer for inference, independent of `layer`, which must be in eval mode.

    Raises:
        ValueError: a layer in training mode.

    Example:
        >>> import torch, speechconv as sc
        >>> net = sc.Sequential(sc.Residual(sc.ConformerConvModule(8)), nn.Linear(8, 2)).eval()
        >>> x = torch.randn(1, 50, 8)
        >>> torch.allclose(fused(net)(x), net(x), atol=1e-6)
        True
    """
    if layer.training:
        raise ValueError("fuse() is for inference: call .eval() first.")
    if hasattr(layer, "fuse"):
        return layer.fuse()  # pyright: ignore[reportCallIssue] - the protocol is the method alone
    if type(layer) is Sequential:
        return Sequential(*(fused(part) for part in layer)).eval()
    if type(layer) is Parallel:
        return Parallel(*(fused(branch) for _, branch in named_parts(layer)), join=layer.join).eval()
    if type(layer) is Residual:
        return Residual(fused(layer.body), scale=layer.scale).eval()
    return copy.deepcopy(layer)
